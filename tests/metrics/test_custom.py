"""The custom backend: real commands, whatever they do."""

import shlex
import sys
import time
from pathlib import Path

import pytest

from ardaemon.core.errors import UsageError
from ardaemon.core.model import Primary
from ardaemon.host.command import OUTPUT_MAX
from ardaemon.metrics.base import METRICS_MAX, AttemptOutput, Metric, Query, Readings
from ardaemon.metrics.custom import CustomBackend, split_command
from tests.support.every import every
from tests.support.lab import wait_until
from tests.support.shell import lives

DEADLINE = 20.0


def ask(folder: Path, command: str, deadline: float = DEADLINE) -> Readings:
    evidence = AttemptOutput(
        log=folder / "a1" / "run.log",
        run_folder=folder,
        attempt_folder=folder / "a1",
        project=folder,
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "AR_RUN_DIR": str(folder)},
    )
    return CustomBackend(deadline).read(evidence, Query(Primary("val/loss"), command=command))


def python(source: str) -> str:
    return shlex.join([sys.executable, "-c", source])


def test_numbers_and_records_are_read(tmp_path: Path) -> None:
    said = '{"val/loss": 0.5, "acc": {"last": 1, "best": 2, "step": 30}, "ok": true, "n": "x", "bad": NaN}'
    readings = ask(tmp_path, shlex.join(["echo", said]))
    assert readings.metrics == {"val/loss": Metric(0.5, 0.5), "acc": Metric(1.0, None, 30)}
    assert (readings.source, readings.problem) == ("custom", None)


def test_the_command_runs_in_the_project_and_is_told_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "measure.py").write_text(
        "import json, os, pathlib\n"
        "assert pathlib.Path('measure.py').exists() and 'HOME' not in os.environ\n"
        "print('a library greets')\n"
        "log, run = os.environ['AR_LOG'], os.environ['AR_RUN_DIR']\n"
        "print(json.dumps({'val/loss': len(os.path.relpath(log, run))}))\n"
    )
    assert ask(tmp_path, f"{sys.executable} measure.py").metrics["val/loss"].last == len("a1/run.log")


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    ask(tmp_path, "echo {} > made; touch made")
    assert not (tmp_path / "made").exists()


@every(
    "source, problem",
    [
        ("import sys; print('\\x1b[31mno file\\nmore', file=sys.stderr); sys.exit(2)", "exited 2: no file"),
        ("import sys; sys.exit(3)", "exited 3"),
        ("raise KeyError('loss')", "exited 1: KeyError: 'loss'"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("print('loss 0.5')", "printed no JSON object but 'loss 0.5'"),
        ("print([1])", "printed no JSON object but '[1]'"),
        ("print('['*100000)", "printed no JSON object but '[[["),
        ("pass", "printed no JSON object but ''"),
        ("print('{\"val/loss\": NaN}')", "gave NaN for val/loss, not a finite number"),
        ('print(\'{"val/loss": "low"}\')', 'gave "low" for val/loss, not a finite number'),
        ("print('{\"val/loss\": 1' + '0'*400 + '}')", "not a finite number"),
        ('print(\'{"val/loss": {"best": 1}}\')', "for val/loss, not a finite number"),
    ],
)
def test_a_command_that_fails_is_named_with_what_it_said(tmp_path: Path, source: str, problem: str) -> None:
    readings = ask(tmp_path, python(source))
    assert readings.problem is not None
    assert readings.problem.startswith("metric command ")
    assert sys.executable[:20] in readings.problem
    assert problem in readings.problem
    assert "\x1b" not in readings.problem
    assert readings.metrics == {}


def test_a_missing_primary_comes_with_the_nearest_names(tmp_path: Path) -> None:
    readings = ask(tmp_path, 'echo \'{"val_loss": 1, "acc": 2}\'')
    assert readings.problem is not None
    assert readings.problem.endswith("printed no val/loss")
    assert readings.nearest[0] == "val_loss"
    assert readings.metrics.keys() == {"val_loss", "acc"}


@pytest.mark.parametrize("command", ["no-such-program-here", "/", "echo '", "", "   ", "echo \0"])
def test_a_command_that_cannot_start_is_a_problem(tmp_path: Path, command: str) -> None:
    assert ask(tmp_path, command).problem


def test_splitting_refuses_an_open_quote_and_nothing() -> None:
    assert split_command("a 'b c'") == ["a", "b c"]
    for text in ("a 'b", " "):
        with pytest.raises(UsageError, match=r"metric.command"):
            split_command(text)


def test_the_primary_is_kept_among_too_many_names(tmp_path: Path) -> None:
    names = f"[*(f'm{{i}}' for i in range({METRICS_MAX + 9})), 'val/loss']"
    source = f"import json; print(json.dumps(dict.fromkeys({names}, 1)))"
    metrics = ask(tmp_path, python(source)).metrics
    assert len(metrics) == METRICS_MAX
    assert metrics["val/loss"].last == 1.0


def test_the_whole_group_is_killed_at_the_deadline(tmp_path: Path) -> None:
    """The command's child is gone too, though it ignores SIGTERM and never ends by itself."""
    source = (
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "child.wait()\n"
    )
    for deadline in (1.5, 6.0, 24.0):  # on a busy machine its start takes longer
        readings = ask(tmp_path, python(source), deadline=deadline)
        assert readings.problem is not None
        assert readings.problem.endswith(f"was still running after {deadline:g} s and was killed")
        if started(tmp_path):
            break
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_stays_behind_neither_delays_the_answer_nor_survives(tmp_path: Path) -> None:
    """It holds the pipes open, so that waiting for their end would last until the deadline."""
    source = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "print('{\"val/loss\": 1}')\n"
    )
    begin = time.monotonic()
    assert ask(tmp_path, python(source)).metrics["val/loss"].last == 1.0
    assert time.monotonic() - begin < DEADLINE / 2
    assert gone(int((tmp_path / "pid").read_text()))


def test_endless_output_ends_the_command(tmp_path: Path) -> None:
    begin = time.monotonic()
    problem = ask(tmp_path, "yes").problem
    assert problem == f"metric command 'yes' printed more than {OUTPUT_MAX} bytes and was killed"
    assert time.monotonic() - begin < DEADLINE / 2


def test_much_on_stderr_does_not_block_the_command(tmp_path: Path) -> None:
    source = "import sys; sys.stderr.write('x' * 10_000_000); print('{\"val/loss\": 1}')"
    assert ask(tmp_path, python(source)).metrics["val/loss"].last == 1.0


def started(folder: Path) -> bool:
    """Has the command come to the point where it says who its child is?"""
    return (folder / "pid").exists() and bool((folder / "pid").read_text())


def gone(pid: int) -> bool:
    """Has the process ended? A killed one may be a zombie until its new parent reaps it."""
    return bool(wait_until(lambda: not lives(pid), "its end"))
