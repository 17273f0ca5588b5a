"""A broken state file is rebuilt from the others; a kill in the middle of that loses nothing."""

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.core.errors import CorruptState, Refused
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, Counters, Session
from ardaemon.core.run_record import Judged, Queued
from ardaemon.experiment import choose, history, ledger, repair
from ardaemon.experiment import state as experiments
from ardaemon.host import state
from tests.support.folders import calls_of_files, experiment
from tests.support.runs import killed_at, start

NAMES = ("best.json", ".ar-session.json", "results.tsv")


def broken_copies(made: Experiment, name: str) -> list[bytes]:
    return [path.read_bytes() for path in made.folder.glob(f"{name}.broken-*")]


def session_of(made: Experiment) -> Session:
    found = state.read(made.session, Session)
    assert found is not None
    return found


def test_each_file_of_an_experiment_is_opened_once_and_looked_at_once_when_it_is_open(
    made: Experiment,
) -> None:
    """`status` does that each time: four files, in three folders whose owner is looked at."""
    calls = calls_of_files(lambda: experiments.load(choose.resolve(str(made.project), made.slug, trusted=())))
    assert calls.count("open") == calls.count("fstat") == 3 + 4


@pytest.mark.promise("one-owner")
def test_a_best_from_before_is_kept_aside_and_the_newest_stands_again(made: Experiment) -> None:
    """As where a backup of that file alone was put back: the next run would beat what was beaten before."""
    newest = made.best.read_bytes()
    best = state.read(made.best, Best)
    assert best is not None
    assert best.advances == session_of(made).counters.advance == 2
    first = history.record_of(made.run("r0001"))
    assert first is not None
    assert isinstance(first.state, Judged)
    assert first.state.decision.best is not None
    state.write(made.best, first.state.decision.best)
    older = made.best.read_bytes()
    with pytest.raises(CorruptState, match="is a copy from before"):
        experiments.load(made)
    found = repair.load_or_repair(made)
    assert made.best.read_bytes() == newest
    assert broken_copies(made, "best.json") == [older]
    assert any("best.json was a copy from before, with r0001" in warning for warning in found.warnings)
    state.write(made.best, replace(first.state.decision.best, advances=0))  # an earlier version's: who knows
    assert experiments.load(made).best is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_repair_that_is_killed_anywhere_is_done_again_with_nothing_lost(
    made: Experiment, name: str
) -> None:
    rows, best = made.results.read_bytes(), made.best.read_bytes()
    steps = 0
    for step in range(1, 50):
        for copy in made.folder.glob("*.broken-*"):
            copy.unlink()
        (made.folder / name).unlink()
        (made.folder / name).write_bytes(b"who wrote this?")
        if not killed_at(step, lambda: repair.load_or_repair(made)):
            break
        steps += 1
        assert broken_copies(made, name) == [b"who wrote this?"] or (
            (made.folder / name).read_bytes() == b"who wrote this?"
        )
        repair.load_or_repair(made)
        assert broken_copies(made, name) == [b"who wrote this?"]
        assert (made.results.read_bytes(), made.best.read_bytes()) == (rows, best)
        assert session_of(made).counters.total == session_of(made).last_run == 3
    assert 2 <= steps < 40


def test_a_repair_that_is_killed_again_and_again_keeps_one_copy(made: Experiment) -> None:
    made.best.write_bytes(b"{broken")
    for _ in range(5):
        assert killed_at(2, lambda: repair.load_or_repair(made))
    assert broken_copies(made, "best.json") == [b"{broken"]
    made.best.unlink()
    made.best.write_bytes(b"{broken otherwise")
    repair.load_or_repair(made)
    assert sorted(broken_copies(made, "best.json")) == [b"{broken", b"{broken otherwise"]


def test_where_hard_links_are_refused_the_broken_bytes_are_copied(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    made.best.write_bytes(b"{broken")
    assert repair.load_or_repair(made).best is not None
    assert broken_copies(made, "best.json") == [b"{broken"]


def test_a_link_is_moved_and_not_what_it_leads_to_also_where_hard_links_are_refused(
    made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    best = made.best.rename(tmp_path / "elsewhere")
    made.best.symlink_to(best)
    assert repair.load_or_repair(made).best is not None
    (aside,) = made.folder.glob("best.json.broken-*")
    assert aside.readlink() == best
    assert made.best.is_file()
    assert not made.best.is_symlink()


def test_a_best_that_is_gone_is_rebuilt_whole_from_the_run_that_advanced_last(made: Experiment) -> None:
    known = state.read(made.best, Best)
    made.best.unlink()
    with pytest.raises(CorruptState, match=r"best\.json is missing"):
        experiments.load(made)
    found = repair.load_or_repair(made)
    assert found.best == known
    assert known is not None
    assert known.conditions, "and so does what it was measured under"
    assert any("best.json is missing" in warning for warning in found.warnings)
    assert experiments.load(made).warnings == []


@pytest.mark.promise("one-owner")
def test_a_best_that_is_rebuilt_beside_a_session_that_is_rebuilt_keeps_how_often_it_was_measured(
    made: Experiment,
) -> None:
    """Else a best.json from between two launches is taken for the newest later."""
    record = history.record_of(made.run("r0002"))
    assert record is not None
    assert isinstance(record.state, Judged)
    decision = record.state.decision
    assert decision.best is not None
    measured = replace(decision, best=replace(decision.best, measured=5))
    state.write(made.run("r0002").record, replace(record, state=Judged(measured)))
    made.session.unlink()
    made.best.unlink()
    best = repair.load_or_repair(made).best
    assert best is not None
    assert (best.run_id, best.measured) == ("r0002", 5)


@pytest.mark.parametrize("content", [None, b"{broken"])
def test_where_no_run_that_advanced_is_left_a_person_goes_on_without_a_best_and_the_next_load_is_content(
    made: Experiment, content: bytes | None
) -> None:
    for run_id in ("r0001", "r0002"):
        made.run(run_id).record.unlink()
    made.best.unlink()
    if content is not None:
        made.best.write_bytes(content)
    with pytest.raises(Refused, match="has lost its best"):
        repair.load_or_repair(made)
    found = repair.load_or_repair(made, without_results=True)
    assert (found.best, found.session.counters.advance, found.session.counters.revert) == (None, 0, 1)
    assert any("no best" in warning for warning in found.warnings)
    assert experiments.load(made).warnings == []
    assert not made.best.exists()


def test_a_broken_record_of_the_best_does_not_stop_the_repair(made: Experiment) -> None:
    made.run("r0002").record.write_bytes(b"{broken")
    for name in ("best.json", "results.tsv"):
        (made.folder / name).write_bytes(b"broken too")
    found = repair.load_or_repair(made)
    assert found.best is not None
    assert found.best.run_id == "r0001"
    assert [row["run_id"] for row in ledger.last(made.results, 9)] == ["r0001", "r0002", "r0003"]
    assert any("r0001/run.json" in warning for warning in found.warnings)


def test_an_experiment_without_an_advance_needs_no_best(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    start(made)
    assert experiments.load(made).best is None
    state.write(made.session, replace(session_of(made), counters=Counters(crash=3)))
    assert experiments.load(made).best is None


def test_a_load_reads_no_history_to_find_that_all_is_well(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_whole(*_: object) -> None:
        raise AssertionError("the whole history was read")

    monkeypatch.setattr(ledger, "last", read_whole)
    assert experiments.load(made).best is not None


@pytest.mark.parametrize("loss", ["deleted", "cut", "emptied"])
def test_rows_that_were_lost_are_written_again_from_the_results(made: Experiment, loss: str) -> None:
    rows = made.results.read_text()
    if loss == "deleted":
        made.results.unlink()
    else:
        made.results.write_text("" if loss == "emptied" else "".join(rows.splitlines(keepends=True)[:-1]))
    found = repair.load_or_repair(made)
    assert "had lost rows" in found.warnings[0]
    assert made.results.read_text() == rows
    assert experiments.load(made).warnings == []


def test_a_rebuilt_table_says_how_many_runs_it_lacks(made: Experiment) -> None:
    """As where the record of one was put back as well: nobody believes its result then."""
    last = made.run(ledger.last(made.results, 1)[0]["run_id"])
    record = history.record_of(last)
    assert record is not None
    state.write(last.record, replace(record, state=Queued()))
    made.results.write_text("".join(made.results.read_text().splitlines(keepends=True)[:-1]))
    (warning,) = (line for line in repair.load_or_repair(made).warnings if "had lost rows" in line)
    assert warning.endswith("; 1 of the runs that were judged left no result")


def test_a_best_whose_snapshot_is_gone_is_put_aside_for_the_one_before(made: Experiment) -> None:
    best = experiments.load(made).best
    assert best is not None
    shutil.rmtree(made.run(best.run_id).folder)
    found = repair.load_or_repair(made)
    assert f"names {best.run_id}, whose train.py is gone or was changed" in found.warnings[0]
    assert found.best is not None
    assert made.run(found.best.run_id).train.exists()
    assert broken_copies(made, "best.json")
    assert experiments.load(made).warnings == []


@pytest.mark.parametrize("name", ["../../../elsewhere", "/{}/elsewhere", "..", "a/b"])
def test_a_session_that_names_a_way_out_of_the_archive_moves_nothing_there(
    made: Experiment, tmp_path: Path, name: str
) -> None:
    """It may have come with a clone."""
    state.write(made.session, replace(session_of(made), archiving=name.format(tmp_path)))
    repair.load_or_repair(made)
    assert not (tmp_path / "elsewhere").exists()
    assert not made.archive.exists()
    assert made.run("r0003").record.exists()
