"""Live values: which source is taken, and which folders are watched for it."""

from pathlib import Path

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query
from ardaemon.metrics.csv_rows import CSV
from ardaemon.pipeline import live
from tests.support import attempt
from tests.support.folders import bytes_read

LOSS = Query(Primary("loss"))


def evidence(project: Path) -> AttemptOutput:
    run = project / ".autoresearch/x/runs/r[1]"
    (run / "a1").mkdir(parents=True)
    return attempt.evidence(project, run)


def watched(project: Path, found: AttemptOutput, *patterns: str) -> set[str]:
    return {str(folder.relative_to(project)) for folder in live.folders(found, patterns)}


def test_the_first_source_that_has_a_value_is_taken(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    sources = [live.LogFollower(found.log, LOSS), CSV.follower(found, LOSS)]
    assert live.latest(sources) is None
    (found.run_folder / "metrics.csv").write_text("loss\n2\n")
    assert live.latest(sources) == 2.0
    found.log.write_text("loss: 1\nloss: 0.")
    assert live.latest(sources) == 1.0


def test_the_folders_below_the_run_are_watched_and_no_link_is_followed(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (found.run_folder / "data").symlink_to(tmp_path / "data")
    (found.run_folder / "logs" / "v0").mkdir(parents=True)
    run = ".autoresearch/x/runs/r[1]"
    for pattern in ("{run_dir}/**/metrics.csv", "{run_dir}", "{run_dir}/metrics.csv"):
        assert watched(tmp_path, found, pattern) == {
            f"{run}{below}" for below in ("", "/a1", "/logs", "/logs/v0")
        }


def test_of_the_project_itself_only_the_top_is_watched(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    own = ".autoresearch/x/runs/r[1]/a1"
    assert watched(tmp_path, found, "*/metrics.csv") == {own, "."}
    assert watched(tmp_path, found, "out/*/metrics.csv") == {own, "."}
    (tmp_path / "out" / "v1").mkdir(parents=True)
    assert watched(tmp_path, found, "out/*/metrics.csv") == {own, "out", "out/v1"}


def test_the_number_of_watched_folders_is_bounded(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    for number in range(2 * live.FOLDERS_MAX):
        (tmp_path / "out" / str(number)).mkdir(parents=True)
    assert len(live.folders(found, ["out/**/m.csv"])) == live.FOLDERS_MAX + 1


def test_of_a_log_that_grew_by_a_terabyte_the_end_is_read(tmp_path: Path) -> None:
    """Half of the line in which the reading goes on says nothing."""
    found = evidence(tmp_path)
    follower = live.LogFollower(found.log, LOSS)
    with found.log.open("wb") as log:
        log.truncate(1 << 40)
        log.seek(0, 2)
        log.write(b"loss: 3\n" + b"x" * (live.FEED_MAX - 12) + b"loss: 2\n")
    before = bytes_read()
    follower.feed()
    assert follower.latest is None
    assert bytes_read() - before < live.FEED_MAX * 2
    with found.log.open("ab") as log:
        log.write(b"loss: 1\n")
    follower.feed()
    assert follower.latest == 1.0
