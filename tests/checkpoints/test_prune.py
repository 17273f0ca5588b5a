"""What goes: former bests in .ckpt/, and, with --keep-checkpoints, what runs leave in their output."""

import errno
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.checkpoints import prune
from ardaemon.checkpoints.leftovers import Leftovers
from ardaemon.checkpoints.promote import Promotion
from ardaemon.core import folders
from ardaemon.core.folders import Look
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, Result, Settings
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment.locks import Locks
from ardaemon.host import operations, state
from ardaemon.host.disk import Disks
from ardaemon.pipeline import apply, decide, pruner
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.pruner import Pruner
from tests.pipeline.test_apply import committed, live
from tests.support.checkpoints import GLOB, over, saved, torch_file
from tests.support.folders import experiment
from tests.support.promises import some
from tests.support.runs import everything

trust = pytest.mark.promise("trust")

OWN = Settings(seconds=1, checkpoint_glob="{run_dir}/ckpt-*", keep_checkpoints=2)
SHARED = Settings(seconds=1, checkpoint_glob="out/checkpoint-*", keep_checkpoints=2)
CAPTURED = Settings(seconds=1, keep_checkpoints=1)


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """An experiment with a live session."""
    found = experiment(tmp_path)
    live(found)
    return found


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A former best is not kept for who reads on, but where a test says so."""
    monkeypatch.setattr(prune, "FORMER_KEPT_S", 0.0)


def ran(
    made: Experiment, number: int, value: float, settings: Settings = OWN, names: str = "ckpt-1"
) -> Result:
    """A run that left these checkpoints is committed."""
    run = over(made, number, value, settings)
    folder = made.project / "out" if settings is SHARED else run.run.job
    for name in names.split():
        saved(folder, name, weights=f"weights of r{number:04d}".encode())
    return committed(run)


def left(made: Experiment) -> list[str]:
    """What is there of all runs."""
    found = [*made.runs.glob("r*/job/ckpt-*"), *made.runs.glob("r*/job/state*"), *made.project.glob("out/*")]
    return sorted(str(path.relative_to(made.project)).removeprefix(".autoresearch/") for path in found)


def of_run(made: Experiment, number: int, name: str = "ckpt-1") -> str:
    return f"{made.slug}/runs/r{number:04d}/job/{name}"


# --- .ckpt/ ---


def test_pruning_keeps_what_best_json_names_and_what_is_not_ours(made: Experiment) -> None:
    for number, value in ((1, 1.0), (2, 0.5)):
        ran(made, number, value, GLOB)
        (made.checkpoints / "by-hand").mkdir(exist_ok=True)
    assert sorted(os.listdir(made.checkpoints)) == ["by-hand", "r0002"]
    ran(made, 3, 2.0, GLOB)
    assert sorted(os.listdir(made.checkpoints)) == ["by-hand", "r0002"]


def test_a_former_best_stays_while_a_run_that_was_given_it_is_under_way(made: Experiment) -> None:
    ran(made, 1, 1.0, GLOB)
    given = Promotion(in_use=frozenset([os.path.realpath(made.best_checkpoint)]))
    run = over(made, 2, 0.5, GLOB)
    saved(run.run.job)
    apply.apply(made, run.run, decide.decide(run), (), given)
    assert sorted(os.listdir(made.checkpoints)) == ["r0001", "r0002"]
    ran(made, 3, 2.0, GLOB)  # it is over: the next commit, whatever its verdict, removes it
    assert sorted(os.listdir(made.checkpoints)) == ["r0002"]


def test_a_former_best_stays_a_while_for_who_has_followed_the_link(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "FORMER_KEPT_S", 60.0)
    for number in (1, 2, 3):
        ran(made, number, 1.0 / number, GLOB)
    assert sorted(os.listdir(made.checkpoints)) == ["r0001", "r0002", "r0003"]
    hour = 3600.0
    for number in (1, 2, 3):  # the second took the first one's place an hour ago, the third the second's now
        path = made.checkpoints / f"r000{number}/meta.json"
        now = path.stat().st_mtime
        os.utime(path, (now, now - hour * max(3 - number, 0) * (number < 3)))
    ran(made, 4, 2.0, GLOB)
    assert sorted(os.listdir(made.checkpoints)) == ["r0002", "r0003"]


def refusing(names: set[str], times: int = 1) -> Any:
    """The disk refuses the first `times` operations of these names; what was met stands in `.met`."""

    def hook(name: str, *given: object) -> None:
        if name in names and ".tmp" not in str(given[0]):
            hook.met.append(f"{name} {given[0]}")  # type: ignore[attr-defined]
            if len(hook.met) <= times:  # type: ignore[attr-defined]
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    hook.met = []  # type: ignore[attr-defined]
    return hook


@pytest.mark.parametrize("refused", ["rename", "unlink", "rmdir"])
def test_a_former_best_that_the_disk_would_not_let_go_goes_without_another_commit(
    made: Experiment, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr(prune, "REFUSED_S", 0.01)
    for number in (1, 2):
        ran(made, number, 1.0 / number, GLOB)
    best = state.read(made.best, Best)
    assert best is not None
    state.write(made.best, replace(best, run_id="r0003", checkpoint=None))  # it advanced without one
    hook = refusing({refused}, times=3)

    async def pruned() -> float | None:
        async with anyio.create_task_group() as tasks:
            first = prune.prune(made)
            assert first is not None
            one = Pruner(Locks(), frozenset, tasks, Disks())
            one.later(made, first)
            one.later(made, first)
            assert len(one._waiting) == 1, "one task for each experiment"
        return first

    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", hook)
        assert anyio.run(pruned) == prune.REFUSED_S
    assert len(hook.met) > 3
    assert os.listdir(made.checkpoints) == []


def test_what_a_disk_never_lets_go_is_left_alone_in_the_end(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "REFUSED_S", 0.001)
    ran(made, 1, 1.0, GLOB)
    hook = refusing({"rename"}, times=1000)

    async def pruned() -> None:
        async with anyio.create_task_group() as tasks:
            Pruner(Locks(), frozenset, tasks, Disks()).later(made, prune.REFUSED_S)

    best = state.read(made.best, Best)
    assert best is not None
    state.write(made.best, replace(best, checkpoint=None))
    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", hook)
        anyio.run(pruned)
    assert len(hook.met) == pruner.REFUSED_MAX
    assert os.listdir(made.checkpoints) == ["r0001"]


def test_a_fresh_former_best_says_when_it_may_go(made: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "FORMER_KEPT_S", 60.0)
    ran(made, 1, 1.0, GLOB)
    assert prune.prune(made) is None
    run = over(made, 2, 0.5, GLOB)
    saved(run.run.job)
    told = Promotion()
    apply.apply(made, run.run, decide.decide(run), (), told)
    assert told.prune_in_s is not None
    assert 50 < told.prune_in_s <= 60
    os.utime(made.checkpoints / "r0002/meta.json", (4e9, 4e9))  # the clock was set back since
    found = prune.prune(made)
    assert found is not None
    assert found <= 60


# --- --keep-checkpoints ---


def test_without_it_nothing_that_a_run_leaves_is_ever_removed(made: Experiment) -> None:
    for number in range(1, 5):
        ran(made, number, 1.0 / number, GLOB)
    assert left(made) == [of_run(made, number) for number in range(1, 5)]
    assert not made.leftovers.exists()


def test_the_last_n_stay_and_the_bests_whatever_its_age(made: Experiment) -> None:
    for number, value in ((1, 0.1), (2, 1.0), (3, 1.0), (4, 1.0)):
        ran(made, number, value)
    assert left(made) == [of_run(made, 1), of_run(made, 3), of_run(made, 4)]
    ran(made, 5, 0.05)
    ran(made, 6, 1.0)
    assert left(made) == [of_run(made, 5), of_run(made, 6)]


def test_of_one_run_the_oldest_go_first_by_their_number(made: Experiment) -> None:
    ran(made, 1, 1.0, names="ckpt-200 ckpt-1000 ckpt-30")
    assert left(made) == [of_run(made, 1, "ckpt-1000"), of_run(made, 1, "ckpt-200")]
    assert os.listdir(made.best_checkpoint / "ckpt-1000")


def test_in_a_folder_that_all_runs_share_what_was_there_before_them_stays(made: Experiment) -> None:
    out = made.project / "out"
    saved(out, "checkpoint-1", b"a person's")
    saved(out, "checkpoint-2", b"a person's")
    ran(made, 1, 1.0, SHARED, "checkpoint-2 checkpoint-3 checkpoint-4 checkpoint-5")
    assert left(made) == [f"out/checkpoint-{n}" for n in (1, 2, 4, 5)]
    ran(made, 2, 0.5, SHARED, "checkpoint-6 checkpoint-7")
    assert left(made) == [f"out/checkpoint-{n}" for n in (1, 2, 6, 7)]


def test_what_a_later_run_overwrites_is_the_later_runs(made: Experiment) -> None:
    ran(made, 1, 1.0, SHARED, "checkpoint-1 checkpoint-2")
    ran(made, 2, 2.0, SHARED, "checkpoint-1")
    assert left(made) == ["out/checkpoint-1", "out/checkpoint-2"]
    ran(made, 3, 2.0, SHARED, "checkpoint-3")  # checkpoint-2 is older, but the best's
    assert left(made) == ["out/checkpoint-1", "out/checkpoint-2", "out/checkpoint-3"]
    ran(made, 4, 0.5, SHARED, "checkpoint-4")
    assert left(made) == ["out/checkpoint-3", "out/checkpoint-4"]


def test_what_was_changed_since_its_run_is_not_its_any_more(made: Experiment) -> None:
    ran(made, 1, 1.0, SHARED, "checkpoint-1")
    ran(made, 2, 2.0, SHARED, "checkpoint-2")
    (made.project / "out/checkpoint-2/notes.txt").write_text("a person's")
    for number in (3, 4, 5):
        ran(made, number, 2.0, SHARED, f"checkpoint-{number}")
    assert left(made) == [f"out/checkpoint-{n}" for n in (1, 2, 4, 5)]


def test_nothing_outside_the_project_or_behind_a_link_is_removed(made: Experiment, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (made.project / "out").symlink_to(elsewhere)
    for number in (1, 2, 3, 4):
        ran(made, number, 1.0, SHARED, f"checkpoint-{number}")
    assert len(os.listdir(elsewhere)) == 4
    absolute = Settings(seconds=1, checkpoint_glob=f"{elsewhere}/checkpoint-*", keep_checkpoints=1)
    for number in (5, 6, 7):
        run = over(made, number, 1.0, absolute)
        saved(elsewhere, f"checkpoint-{number}")
        committed(run)
    assert len(os.listdir(elsewhere)) == 7
    assert left(made) == [f"out/checkpoint-{n}" for n in range(1, 8)]


def test_a_link_that_the_glob_matches_stays_and_what_it_leads_to_as_well(made: Experiment) -> None:
    kept = saved(made.project / "data", "weights")
    for number in (1, 2, 3, 4):
        run = over(made, number, 1.0, OWN)
        (run.run.job / "ckpt-link").symlink_to(kept)
        (kept / "weights").write_bytes(f"{number}".encode())
        committed(run)
    assert left(made) == [of_run(made, number, "ckpt-link") for number in (1, 2, 3, 4)]
    assert sorted(os.listdir(kept)) == ["optimizer", "weights"]


@pytest.mark.parametrize("glob", ["**/*", ".autoresearch/**/*", "{run_dir}/**", "{run_dir}/*", ".auto*"])
def test_nothing_of_the_daemons_own_is_removed_by_the_widest_of_globs(made: Experiment, glob: str) -> None:
    widest = Settings(seconds=1, checkpoint_glob=glob, keep_checkpoints=1)
    for number in (1, 2, 3, 4):
        run = over(made, number, 1.0, widest)
        run.run.attempt(1).log.write_text("val/loss: 1.0\nmore\n")
        (run.run.attempt(1).folder / "exit.json").write_text("{}")
        saved(run.run.job, "ckpt-1")
        committed(run)
    for number in (1, 2, 3, 4):
        run_of = made.run(f"r{number:04d}")
        assert {"train.py", "run.json", "result.json", "run.log", "a1"} <= set(os.listdir(run_of.folder))
        assert {"run.log", "exit.json", "before.json"} == set(os.listdir(run_of.attempt(1).folder))
    assert {"train.py", "best.json", ".ar-session.json", "results.tsv", "runs"} <= set(
        os.listdir(made.folder)
    )


def test_what_is_captured_without_a_glob_is_kept_likewise(made: Experiment) -> None:
    for number, value in ((1, 0.5), (2, 1.0), (3, 1.0)):
        run = over(made, number, value, CAPTURED)
        (run.run.job / "state.pt").write_bytes(b"weights")
        committed(run)
    assert left(made) == [of_run(made, 1, "state.pt"), of_run(made, 3, "state.pt")]


def test_where_the_best_has_no_copy_all_that_its_run_left_stays(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(name: str, *_: object) -> None:
        if name == "copy":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", refused)
        result = ran(made, 1, 1.0, names="ckpt-1 ckpt-2 ckpt-3")
    assert (result.verdict, result.checkpoint) == ("advance", None)
    for number in (2, 3, 4):
        ran(made, number, 2.0)
    mine = [of_run(made, 1, name) for name in ("ckpt-1", "ckpt-2", "ckpt-3")]
    assert left(made) == [*mine, of_run(made, 3), of_run(made, 4)]


def test_what_is_known_of_the_runs_leavings_stays_bounded(made: Experiment) -> None:
    for number in range(1, 9):
        ran(made, number, 1.0 if number == 1 else 2.0)
    found = state.read(made.leftovers, Leftovers)
    assert found is not None
    assert [one.run_id for one in found.left] == ["r0001", "r0007", "r0008"]


def test_a_list_that_cannot_be_read_removes_nothing_and_holds_up_nothing(made: Experiment) -> None:
    for number in (1, 2):
        ran(made, number, 2.0)
    made.leftovers.write_text("{ torn")
    for number in (3, 4, 5):
        ran(made, number, 2.0)
    assert left(made) == [of_run(made, n) for n in (1, 2, 4, 5)]


@pytest.mark.parametrize(
    "settings", [SHARED, Settings(seconds=1, checkpoint_glob="out/*.pt", keep_checkpoints=2)]
)
@pytest.mark.parametrize("refused", ["rename", "unlink", "rmdir"])
def test_what_the_disk_would_not_let_go_goes_at_the_next_commit(
    made: Experiment, monkeypatch: pytest.MonkeyPatch, refused: str, settings: Settings
) -> None:
    def make(number: int) -> None:
        run = over(made, number, 0.1 if number == 1 else 2.0, settings)
        folder = made.project / "out"
        folder.mkdir(exist_ok=True)
        if settings is SHARED:
            saved(folder, f"checkpoint-{number}")
        else:
            torch_file(folder / f"{number}.pt")
        committed(run)

    for number in (1, 2, 3):
        make(number)
    hook = refusing({refused}, times=1000)
    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", lambda *given: hook(*given) if "out/" in str(given[1]) else None)
        make(4)
    known = state.read(made.leftovers, Leftovers)
    assert known is not None
    make(5)
    names = sorted(os.listdir(made.project / "out"))
    assert names == (
        [f"checkpoint-{n}" for n in (1, 4, 5)] if settings is SHARED else ["1.pt", "4.pt", "5.pt"]
    )
    found = state.read(made.leftovers, Leftovers)
    assert found is not None
    assert (len(found.left), found.going) == (3, ())
    touched = (settings is SHARED) or refused == "unlink"
    assert bool(hook.met) == touched
    assert (len(known.left), len(known.going)) == (
        (4, 0) if touched and (refused == "rename" or settings is not SHARED) else (3, int(touched))
    )


class Killed(BaseException):
    """In the place of SIGKILL."""


def test_cut_at_any_operation_and_done_again_it_leaves_what_an_uncut_commit_leaves(
    made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every operation from the first word of what goes: killed right before it, then stage two again."""

    def last(root: Path) -> tuple[Experiment, Ended, RunRecord]:
        root.mkdir()
        one = experiment(root)
        live(one)
        for number in (1, 2):
            ran(one, number, 1.0 / number, SHARED, f"checkpoint-{number} checkpoint-{number + 10}")
        run = over(one, 3, 0.1, SHARED)
        for name in ("checkpoint-3", "checkpoint-13"):
            saved(one.project / "out", name)
        return one, run, decide.decide(run)

    def pictured(one: Experiment) -> dict[str, Any]:
        found = everything(one.project)
        return {name: data for name, data in found.items() if not name.endswith(".json")}

    met: list[tuple[str, str]] = []
    one, run, record = last(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", lambda name, *given: met.append((name, str(given[0]))))
        apply.apply(one, run.run, record)
    wanted = pictured(one)
    assert sorted(name for name in wanted if name.startswith("out/checkpoint-1")), wanted
    first = next(nth for nth, (_, subject) in enumerate(met) if "left.json" in subject)
    assert len(met) - first > 15
    for nth in some(range(first, len(met)), 12):
        one, run, record = last(tmp_path / f"cut-{nth}")
        count = iter(range(len(met)))

        def killed(*_: object, nth: int = nth, count: Any = count) -> None:
            if next(count, None) == nth:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(operations, "hook", killed)
            with pytest.raises(Killed):
                apply.apply(one, run.run, record)
        apply.apply(one, run.run, state.read(run.run.record, RunRecord) or record)
        found = {name: data for name, data in pictured(one).items() if ".tmp" not in name}
        assert found.keys() == wanted.keys(), f"{nth}: before {met[nth]}"


def test_marks_see_every_change_of_a_file_in_a_folder(made: Experiment) -> None:
    folder = saved(made.project / "out", "checkpoint-1")
    before = checkpoint.mark(folder, Look(folder))
    assert checkpoint.mark(folder, Look(folder)) == before
    (folder / "optimizer/state").write_bytes(b"other")
    assert checkpoint.mark(folder, Look(folder)) != before


def test_where_there_is_too_much_to_look_through_every_checkpoint_stays_and_the_result_says_so(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        ran(made, number, number, SHARED, f"checkpoint-{number}")
    monkeypatch.setattr(folders, "NAMES_MAX", 1)
    result = ran(made, 3, 3.0, SHARED, "checkpoint-3")
    assert result.verdict == "revert"
    assert "its checkpoints all stay: out/checkpoint-*: " in str(result.reason)
    monkeypatch.undo()
    ran(made, 4, 4.0, SHARED, "checkpoint-4")
    assert {path.name for path in (made.project / "out").iterdir()} >= {"checkpoint-3", "checkpoint-4"}


# --- a .ckpt that came with a clone ---


@trust
def test_a_link_to_another_disk_is_used_and_what_else_lies_there_is_left_alone(
    made: Experiment, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    for name, meta in (
        ("data", '{"schema": 1, "run_id": "data"}'),
        ("r0009", '{"schema": 1, "run_id": "r0010"}'),
    ):
        (disk / name).mkdir(parents=True)
        (disk / name / "meta.json").write_text(meta)
    made.checkpoints.symlink_to(disk)
    for number in (1, 2):
        ran(made, number, 1.0 / number)
    assert sorted(os.listdir(disk)) == ["data", "left.json", "r0002", "r0009"]
    assert (made.best_checkpoint / "ckpt-1/weights").read_bytes() == b"weights of r0002"


@trust
def test_a_link_to_another_experiments_checkpoints_changes_nothing_there(
    made: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = experiment(tmp_path / "other")
    live(other)
    for number in (1, 2):
        ran(other, number, 1.0 / number)
    before = everything(other.folder)
    made.checkpoints.symlink_to(other.checkpoints)
    result = ran(made, 1, 1.0)
    assert (result.verdict, result.checkpoint) == ("advance", None)
    assert "checkpoint not promoted: .ckpt is a link into .autoresearch" in str(result.reason)
    assert everything(other.folder) == before
