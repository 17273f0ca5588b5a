"""SIGINT in `arctl run --wait`: Ctrl+C at the terminal interrupts the run, a tool's SIGINT does not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import Shell, but_for_waiting, shells
from tests.support.terminal import Terminal

DETACHED = (
    "detached (SIGINT that is no Ctrl+C at a terminal; arctl cancel would interrupt the run):"
    " the run goes on, call: arctl wait r0001\n"
)
# Prints the client's pid; with job control it has a process group of its own, in the background.
IN_BACKGROUND = 'set -m; "$@" >"$OUT" 2>"$ERR" & echo $!; wait $!; echo $?'


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    with shells(lab) as made:
        yield made


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal()) as made:
        yield made


def test_ctrl_c_interrupts_the_run_and_ends_the_session(shell: Shell, terminal: Terminal) -> None:
    """Exit code 13, the verdict is printed, the session is over."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait", preexec_fn=terminal.take)
    terminal.ctrl_c()
    code, out, err = shell.end(process)
    assert code == 13
    assert "[r0001] interrupted: " in out
    assert f"[r0001] stop: manual — no best, expr {SLUG} terminated" in out
    assert but_for_waiting(err) == "interrupting r0001 (Ctrl+C again leaves it to the daemon)\n"
    assert "session: not live (manual)" in shell("status", "--compact")


@pytest.mark.promise("clients-die")
def test_a_tools_sigint_leaves_the_run_alone(shell: Shell) -> None:
    """A tool that ends its command has no terminal to type at."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait", start_new_session=True)
    process.send_signal(signal.SIGINT)
    code, _, err = shell.end(process)
    assert (code, but_for_waiting(err)) == (75, DETACHED)
    assert shell.states() == ["running"]
    shell.release()
    assert "baseline val/loss=0.9" in shell("wait", "r0001")
    assert "session: not live" not in shell("status", "--compact")


@pytest.mark.promise("clients-die")
def test_a_sigint_in_the_background_of_a_terminal_leaves_the_run_alone(
    shell: Shell, terminal: Terminal
) -> None:
    """Ctrl+C would not reach it there: whoever sent this was no person at the keyboard."""
    shell.hold(0.9)
    out, err = shell.lab.root / "out", shell.lab.root / "err"
    process = subprocess.Popen(
        ["sh", "-c", IN_BACKGROUND, "sh", sys.executable, "-m", "arctl", "run", "--wait"],
        env={**shell.lab.environment, "OUT": str(out), "ERR": str(err)},
        cwd=shell.lab.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=terminal.take,
    )
    assert process.stdout is not None
    client = int(process.stdout.readline())
    wait_until(lambda: out.exists() and "launched" in out.read_text(), "it says that its run is launched")
    os.kill(client, signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "75\n"
    assert but_for_waiting(err.read_text()) == DETACHED
    assert shell.states() == ["running"]
