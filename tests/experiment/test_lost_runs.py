"""An experiment whose runs are gone, and its relatives: nothing that is left is lost, and ids go on."""

import shutil
from pathlib import Path

import pytest

from ardaemon.core import lost_runs
from ardaemon.core.errors import Refused, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, Session
from ardaemon.experiment import create, ledger, placing, ready, session, versions
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import state
from tests.support.folders import TRAIN
from tests.support.runs import STARTED_HERE, everything, start, tried


def command(error: Refused | UsageError) -> str:
    """The command that the error names, up to its end."""
    return error.mend[error.mend.index("arctl session stop") :]


def test_each_command_that_needs_a_run_names_the_same_way_on(made: Experiment) -> None:
    shutil.rmtree(made.runs)
    with pytest.raises(Refused, match="all runs of 261122-test are gone") as run:
        ready.require_ready(made, load_or_repair(made), STARTED_HERE)
    with pytest.raises(Refused) as again:
        start(made)
    with pytest.raises(Refused) as revert:
        start(made, resume="revert")
    with pytest.raises(UsageError) as init:
        create.require_free(made)
    (warning,) = load_or_repair(made).warnings
    way = command(run.value)
    assert way.endswith("arctl session start --resume fresh --yes --expr 261122-test")
    assert {command(error.value) for error in (again, revert, init)} == {way}
    assert f"{way})" in warning


@pytest.mark.parametrize("how", ["moved", "emptied", "a link to a disk that is away"])
def test_nothing_is_changed_until_a_person_has_decided(made: Experiment, tmp_path: Path, how: str) -> None:
    before, away = everything(made.folder), tmp_path / "away"
    shutil.copytree(made.runs, away, symlinks=True)
    shutil.rmtree(made.runs)
    if how == "emptied":
        made.runs.mkdir()
    elif how != "moved":
        made.runs.symlink_to(tmp_path / "unmounted")
    assert load_or_repair(made).best == state.read(made.best, Best)
    with pytest.raises(Refused):
        start(made)
    if made.runs.is_symlink():
        made.runs.unlink()
    shutil.copytree(away, made.runs, symlinks=True, dirs_exist_ok=True)
    assert load_or_repair(made).warnings == []
    assert everything(made.folder) == before


LEFT = {
    "all else": (),
    "all but the session": (".ar-session.json",),
    "all but the second copies": (".versions",),
    "the table": (".ar-session.json", ".versions", "best.json"),
    "the second copies": (".ar-session.json", "results.tsv", "best.json"),
}


@pytest.mark.parametrize("left", LEFT)
def test_fresh_puts_aside_what_is_left_and_ids_go_on(made: Experiment, left: str) -> None:
    made.train.write_text("print('an edit')\n")
    shutil.rmtree(made.runs)
    for name in LEFT[left]:
        path = made.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if made.session.exists():
        session.stop(made)
    start(made, resume="fresh")
    (archived,) = made.archive.iterdir()
    assert (archived / "train.py").read_text() == "print('an edit')\n"
    for name in {"results.tsv", "best.json"} - {*LEFT[left]}:
        assert (archived / name).exists(), name
    original = TRAIN if ".versions" not in LEFT[left] else "print('an edit')\n"
    assert made.run("r0000").train.read_text() == made.train.read_text() == original
    assert ledger.last(made.results, 9) == []
    assert tried(made, 0.7).run_id == "r0004"
    assert load_or_repair(made).warnings == []


def test_the_original_alone_comes_back_from_its_copy(made: Experiment) -> None:
    shutil.rmtree(made.run("r0000").folder)
    assert not lost_runs.are_gone(made)
    placing.kept(made, "r0000")
    assert made.run("r0000").train.read_text() == TRAIN


def test_a_run_that_somebody_removed_stays_removed(made: Experiment) -> None:
    shutil.rmtree(made.run("r0002").folder)
    data = versions.copy(made, "r0002")
    assert data is not None
    best = state.read(made.best, Best)
    assert best is not None
    assert not versions.put_right(made, "r0002", best.sha256)
    assert not made.run("r0002").folder.exists()


def test_a_table_that_was_cut_is_told_without_the_session_too(made: Experiment) -> None:
    """The runs' own folders know what is missing."""
    whole = made.results.read_text()
    lines = whole.splitlines(keepends=True)
    for kept in (1, 2, 3):
        made.results.write_text("".join(lines[:kept]))
        made.session.unlink()
        warnings = load_or_repair(made).warnings
        assert warnings[0].startswith("results.tsv had lost rows: kept as results.tsv.broken-")
        assert made.results.read_text() == whole
        rebuilt = state.read(made.session, Session)
        assert rebuilt is not None
        assert (rebuilt.counters.total, rebuilt.last_run) == (3, 3)
    made.results.unlink()
    made.session.unlink()
    load_or_repair(made)
    assert made.results.read_text() == whole


def test_rows_whose_runs_are_gone_are_kept_when_the_others_come_back(made: Experiment) -> None:
    lines = made.results.read_text().splitlines(keepends=True)
    shutil.rmtree(made.run("r0001").folder)
    made.results.write_text("".join([lines[0], lines[1]]))
    made.session.unlink()
    load_or_repair(made)
    assert made.results.read_text() == "".join(lines)
