"""The checks of a run without a daemon: what they print, what is left of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.host import command, processes
from ardaemon.host.command import CommandEnd, Commands, KillPolicy
from ardaemon.pipeline import check
from ardaemon.pipeline.check import Checked, Checks


def run_all(every: Checks, group: Commands) -> Checked | None:
    return check.run_all(lambda: every, group)


def checks(tmp_path: Path, *programs: str, seconds: float = 20) -> Checks:
    # As pipeline/environment.py makes it: what is printed comes before what is told of its end.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment |= {"AR_RUN_DIR": str(tmp_path), "AR_ATTEMPT": "1", "AR_LOG": "x"}
    commands = tuple([sys.executable, "-c", program] for program in programs)
    return Checks(
        commands=commands, project=tmp_path, environment=environment, seconds=seconds, log=tmp_path / "log"
    )


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("pass", None),
        ("import sys; sys.exit(4)", "exit code 4"),
        ("import sys; print('a'); print('b '); print(); sys.exit(1)", "b"),
        ("import sys; print('first'); sys.exit('last')", "last"),
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys; print('\\x1b[2J\\u202e' + 'x' * 500); sys.exit(1)", "x" * 119 + "…"),
        ("import sys; print('x' * (1 << 21)); print('end'); sys.exit(1)", "end"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_the_last_line_says_why_a_check_failed(tmp_path: Path, program: str, problem: str | None) -> None:
    checked = run_all(checks(tmp_path, program), Commands())
    assert checked is not None
    assert checked.problem == problem
    assert checked.survivors == ()


def test_the_first_check_that_fails_is_the_last_that_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "third"
    third = f"open({str(mark)!r}, 'w')"
    checked = run_all(checks(tmp_path, "pass", "import sys; sys.exit('second')", third), Commands())
    assert checked is not None
    assert checked.problem == "second"
    assert not mark.exists()


def test_what_the_checks_print_is_kept(tmp_path: Path) -> None:
    run_all(checks(tmp_path, "print('one')", "import sys; print('two'); sys.exit('no')"), Commands())
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line for line in lines if not line.startswith("$ ")] == ["one", "two", "no"]
    assert sum(line.startswith(f"$ {sys.executable} -c") for line in lines) == 2


def test_a_program_that_is_gone_by_then_is_a_failed_check(tmp_path: Path) -> None:
    every = replace(checks(tmp_path), commands=(["./gone"],))
    checked = run_all(every, Commands())
    assert checked is not None
    assert checked.problem is not None
    assert "./gone cannot be run" in checked.problem


def test_checks_whose_end_is_wanted_say_nothing(tmp_path: Path) -> None:
    group = Commands()
    group.end()
    assert run_all(checks(tmp_path, "import time; time.sleep(60)"), group) is None


def test_what_survives_the_kill_of_a_check_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = replace(checks(tmp_path, "pass"), policy=KillPolicy(verify=0.2))
    monkeypatch.setattr(processes, "kill", lambda *_: None)  # as if it hung in the kernel
    end = CommandEnd("exited", 0, b"", b"", verified=False)
    monkeypatch.setattr(command, "run", lambda *_, **__: end)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], env=every.environment, stdin=subprocess.PIPE
    ) as left:
        checked = run_all(every, Commands())
        left.kill()
    assert checked is not None
    assert [process.pid for process in checked.survivors] == [left.pid]


def test_a_keeper_says_whether_anything_is_left(tmp_path: Path) -> None:
    end = command.run([sys.executable, "-c", "pass"], tmp_path, dict(os.environ), 20)
    assert (end.code, end.verified, end.wanted) == (0, True, False)
