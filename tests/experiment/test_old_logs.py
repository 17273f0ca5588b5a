"""Old logs: which go, what stands in their place, and what a kill, a link or a full disk does to that."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.layout import Experiment, Run
from ardaemon.experiment import ledger, old_logs, which_logs
from ardaemon.experiment.which_logs import RunLogs
from ardaemon.host import operations

pytestmark = pytest.mark.promise("logs")
BY = "arctl prune --keep-logs 1"


def ran(folder: Path, count: int, attempts: int = 1, log: bytes = b"step 1\n" * 1000) -> Experiment:
    """An experiment with so many committed runs, each with its logs and samples."""
    made = Experiment(folder / "261122-test")
    made.runs.mkdir(parents=True)
    for number in range(1, count + 1):
        run = made.run(f"r{number:04d}")
        for nth in range(1, attempts + 1):
            attempt = run.attempt(nth)
            attempt.folder.mkdir(parents=True)
            attempt.log.write_bytes(log)
            attempt.check_log.write_text("checked\n")
            attempt.samples.write_text('{"t": 1}\n' * 1000)
            for path in (attempt.log, attempt.check_log, attempt.samples):
                os.utime(path, (number, number))
        run.train.write_text("x = 1\n")
        run.result.write_text("{}")
    rows = "".join(f"r{number:04d}" + "\t" * 10 + "\n" for number in range(1, count + 1))
    made.results.write_bytes(ledger.HEADER + rows.encode())
    return made


def remove(made: Experiment, *run_ids: str, samples: bool = False) -> list[str]:
    going = [one for one in old_logs.committed(made) if one.run.run_id in run_ids]
    return [one.run.run_id for one in old_logs.remove(going, BY, samples=samples)]


def names(run: Run) -> list[str]:
    """The files of a run, but for half-written ones: those of this process, which lives, stay."""
    found = (path for path in run.folder.rglob("*") if path.is_file() and path.suffix != ".tmp")
    return sorted(str(path.relative_to(run.folder)) for path in found)


def test_a_line_stands_in_the_place_of_a_log_and_all_else_is_as_before(tmp_path: Path) -> None:
    made = ran(tmp_path, 2, attempts=2)
    assert remove(made, "r0001") == ["r0001"]
    run = made.run("r0001")
    line = run.attempt(1).log.read_text()
    assert line.startswith("… the log (")
    assert line.endswith(f"Z by {BY} …\n")
    assert run.attempt(2).log.read_text() == line
    assert names(run) == [
        "a1/run.log",
        "a1/samples.jsonl",
        "a2/run.log",
        "a2/samples.jsonl",
        "result.json",
        "train.py",
    ]
    assert len(names(made.run("r0002"))) == 8
    assert [one.run.run_id for one in old_logs.committed(made) if one.logs] == ["r0002"], (
        "it is not found again"
    )
    assert remove(made, "r0001", samples=True) == ["r0001"]
    assert names(run) == ["a1/run.log", "a2/run.log", "result.json", "train.py"]
    assert run.attempt(1).log.read_text().startswith("… the log and the samples (")
    assert old_logs.of_run(run).size == 0


def test_of_runs_that_are_not_committed_nothing_is_found(tmp_path: Path) -> None:
    made = ran(tmp_path, 3)
    made.results.write_bytes(ledger.HEADER + b"r0002" + b"\t" * 10 + b"\n")
    assert [one.run.run_id for one in old_logs.committed(made)] == ["r0002"]


@pytest.mark.promise("trust")
def test_no_link_is_followed_that_a_clone_may_have_brought_along(tmp_path: Path) -> None:
    made, others = ran(tmp_path, 2), ran(tmp_path / "others", 1)
    for target, link in (
        (others.run("r0001").folder, "r0001"),
        (others.run("r0001").attempt(1).folder, "r0002/a2"),
    ):
        place = made.runs / link
        if place.exists():
            place.rename(tmp_path / "aside")
        place.symlink_to(target)
    log = made.run("r0002").attempt(1).log
    log.unlink()
    log.symlink_to(others.run("r0001").attempt(1).log)
    remove(made, "r0001", "r0002", samples=True)
    assert others.run("r0001").attempt(1).log.read_bytes() == b"step 1\n" * 1000
    assert others.run("r0001").attempt(1).samples.exists()


class Killed(BaseException):
    """In the place of SIGKILL."""


@pytest.mark.parametrize("samples", [False, True])
def test_killed_at_any_operation_each_log_is_whole_or_gone_and_the_next_call_does_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: bool
) -> None:
    whole = b"step 1\n" * 1000
    for nth in range(1000):
        made = ran(tmp_path / str(nth), 3, attempts=2)
        count = iter(range(nth))

        def killed(name: str, *_: Any, count: Iterator[int] = count) -> None:
            if next(count, None) is None:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(operations, "hook", killed)
            try:
                remove(made, "r0001", "r0002", samples=samples)
            except Killed:
                pass
            else:
                break  # it has no more operations than that
        for number in (1, 2):
            for attempt in (1, 2):
                data = made.run(f"r{number:04d}").attempt(attempt).log.read_bytes()
                assert data == whole or (data.count(b"\n") == 1 and BY.encode() in data), nth
        remove(made, "r0001", "r0002", samples=samples)
        for run in (made.run("r0001"), made.run("r0002")):
            left = 0 if samples else 2
            assert len(names(run)) == 4 + left, (nth, names(run))
            assert not old_logs.of_run(run).logs
        assert len(names(made.run("r0003"))) == 8
    assert nth > 15, "the operations of two runs"


def test_where_not_even_a_block_is_free_the_line_is_written_over_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ran(tmp_path, 1)
    log = made.run("r0001").attempt(1).log
    inode = log.stat().st_ino

    def full(name: str, *_: Any) -> None:
        if name == "create":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", full)
        assert remove(made, "r0001") == ["r0001"]
    assert log.stat().st_ino == inode
    assert log.read_text().startswith("… the log (")
    assert log.read_text().endswith(f"by {BY} …\n")
    assert [path.suffix for path in log.parent.iterdir() if path.name.startswith(".")] == []


def kept(number: int, size: int = 16384, written: float | None = None, logs: bool = True) -> RunLogs:
    run = Run(Path(f"/p/r{number:04d}"))
    path = (run.attempt(1).log,) if logs else ()
    return RunLogs(run, path, (), size, size, float(number) if written is None else written)


def ids(runs: Any) -> list[str]:
    return [one.run.run_id for one in runs]


def test_the_last_ones_and_the_best_keep_their_logs() -> None:
    runs = [kept(1), kept(2), kept(3, logs=False), kept(4), kept(5)]
    assert ids(which_logs.all_but(runs, 2, "r0001")) == ["r0002"]
    assert ids(which_logs.all_but(runs, 0, None)) == ["r0001", "r0002", "r0004", "r0005"]
    assert which_logs.all_but(runs, 5, None) == which_logs.all_but(runs, 9, None) == []


def test_a_quota_takes_neither_the_best_nor_the_last_ones_nor_what_frees_nothing() -> None:
    runs = [kept(number) for number in range(1, 7)] + [kept(7, size=8192), kept(8), kept(9), kept(10)]
    assert ids(which_logs.first_to_go(runs, "r0002")) == ["r0001", "r0003", "r0004", "r0005", "r0006"]
    assert which_logs.first_to_go(runs[:3], None) == []
    assert ids(which_logs.last_to_go(runs, "r0002")) == ["r0002", "r0008", "r0009", "r0010"]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=8), st.integers(-3, 40))
def test_the_oldest_go_until_enough_is_free_and_none_more(sizes: list[tuple[int, int]], wanted: int) -> None:
    runs = [kept(number, size, written) for number, (size, written) in enumerate(sizes)]
    gone = list(which_logs.until_freed(runs, wanted))
    assert max((one.written for one in gone), default=0) <= min(
        (one.written for one in runs if one not in gone), default=9
    )
    freed = sum(one.size for one in gone)
    assert freed >= wanted or len(gone) == len(runs)
    assert not gone or freed - gone[-1].size < wanted


def test_runs_are_named_shortly() -> None:
    assert which_logs.names(["r0001", "r0003", "r0002", "r0007", "r10000"]) == "r0001-r0003, r0007, r10000"
