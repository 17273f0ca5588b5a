"""Live values: which source is taken, and what is watched for it."""

import os
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core import folders
from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query
from ardaemon.metrics.csv_rows import CSV
from ardaemon.metrics.log_follower import FEED_MAX, LogFollower
from ardaemon.metrics.searches import Searches
from ardaemon.pipeline import live
from tests.support import attempt
from tests.support.folders import bytes_read

LOSS = Query(Primary("loss"))


def evidence(project: Path, **given: Any) -> AttemptOutput:
    run = project / ".autoresearch/x/runs/r[1]"
    (run / "a1").mkdir(parents=True)
    return attempt.evidence(project, run, **given)


def test_the_first_source_that_has_a_value_is_taken(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    sources = [LogFollower(found.log, LOSS), CSV.follower(found, LOSS)]
    assert live.latest(sources)[:3] == (None, None, [])
    (found.run_folder / "metrics.csv").write_text("loss\n2\n")
    assert live.latest(sources)[:3] == (2.0, None, [])
    found.log.write_text("loss: 1\nloss: 0.")
    assert live.latest(sources)[:3] == (1.0, None, [])


def test_the_files_that_are_read_are_watched_and_no_folder_but_the_logs(tmp_path: Path) -> None:
    """A job may write thousands of other files beside them."""
    found = evidence(tmp_path, searches=Searches(live.SEARCHED_S))
    (found.run_folder / "logs").mkdir()
    for name in ("metrics.csv", "logs/metrics.csv", "logs/other.csv"):
        (found.run_folder / name).write_text("loss\n2\n")
    assert live.watched(found) == {found.attempt_folder}
    live.latest([CSV.follower(found, LOSS)])
    paths = [Path(os.path.realpath(found.run_folder / name)) for name in ("metrics.csv", "logs/metrics.csv")]
    assert live.watched(found) == {found.attempt_folder, *paths}
    paths[0].unlink()
    assert live.watched(found) == {found.attempt_folder, paths[1]}


def test_the_number_of_watches_is_bounded(tmp_path: Path) -> None:
    found = evidence(tmp_path, searches=Searches(live.SEARCHED_S))
    for number in range(2 * live.WATCHED_MAX):
        (found.run_folder / str(number)).mkdir()
        (found.run_folder / str(number) / "metrics.csv").touch()
    live.latest([CSV.follower(found, LOSS)])
    assert len(live.watched(found)) == live.WATCHED_MAX + 1


def test_a_source_with_too_much_to_look_through_is_left_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "NAMES_MAX", 3)
    found = evidence(tmp_path)
    for number in range(4):
        (found.run_folder / str(number)).touch()
    found.log.write_text("loss: 1\n")
    sources = [CSV.follower(found, LOSS), LogFollower(found.log, LOSS)]
    why = "{run_dir}/**/metrics.csv: more than 3 files and folders are there: name a smaller folder"
    assert live.latest(sources)[:3] == (1.0, None, [why])
    assert live.latest(sources)[:3] == (1.0, None, [])


@pytest.mark.promise("trust")
def test_of_a_log_that_grew_by_a_terabyte_the_end_is_read(tmp_path: Path) -> None:
    """Half of the line in which the reading goes on says nothing."""
    found = evidence(tmp_path)
    follower = LogFollower(found.log, LOSS)
    with found.log.open("wb") as log:
        log.truncate(1 << 40)
        log.seek(0, 2)
        log.write(b"loss: 3\n" + b"x" * (FEED_MAX - 12) + b"loss: 2\n")
    before = bytes_read()
    follower.feed()
    assert follower.latest is None
    assert bytes_read() - before < FEED_MAX * 2
    with found.log.open("ab") as log:
        log.write(b"loss: 1\n")
    follower.feed()
    assert follower.latest == 1.0
