"""`--exit-zero`: 0 for every verdict and for a run that goes on; errors keep their codes."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import Shell, connected, shells

RUN = ("run", "--wait", "--exit-zero")


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    with shells(lab) as made:
        yield made


def test_every_verdict_exits_with_zero_and_stands_in_the_output(shell: Shell) -> None:
    """As without it, but for the code."""
    shell.lab.edit(0.5)
    assert "[r0001] advance: " in shell(*RUN)
    shell.lab.edit(0.7)
    assert "[r0002] revert: " in shell(*RUN)
    shell.lab.write("raise SystemExit(3)\n")
    assert "[r0003] crash: " in shell(*RUN)
    shell.lab.write('print("other: 1")\n')
    assert "[r0004] invalid: " in shell(*RUN)
    shell("session", "stop")
    shell("session", "start", "--resume", "continue", "--ack-baseline", "--seconds", "1")
    shell.lab.write("import time; time.sleep(60)\n")
    lines = shell(*RUN).splitlines()
    assert lines[-2].startswith("[r0005] timeout: ")
    assert lines[-1] == "[r0005] continue: no limit set"
    assert shell("wait", "r0003", "--exit-zero").splitlines()[-1].startswith("[r0003] ")
    assert shell.json("wait", "r0005", "--exit-zero")["verdict"] == "timeout"
    shell("wait", "r0005", code=11)


def test_a_run_that_goes_on_exits_with_zero_and_names_the_next_command(shell: Shell) -> None:
    """The command that is named keeps the option: a loop that follows it meets no other codes."""
    shell.hold(0.9)
    again = "call: arctl wait r0001 --exit-zero"
    assert shell(*RUN, "--timeout", "1").splitlines()[-1].endswith(again)
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    assert shell("wait", "--exit-zero", "--timeout", "0").splitlines()[-1].endswith(again)
    assert shell.json("wait", "--exit-zero", "--timeout", "0")["state"] == "running"
    attached = shell.waiting("wait", "r0001", "--exit-zero")
    wait_until(lambda: connected(attached.pid), "arctl wait is connected")
    attached.send_signal(signal.SIGTERM)
    assert shell.end(attached) == (0, "", f"detached: the run goes on, {again}\n")
    shell("cancel", "r0001")
    assert "[r0001] interrupted: " in shell("wait", "r0001", "--exit-zero")


def test_a_version_that_is_under_way_is_a_run_that_goes_on(shell: Shell) -> None:
    """Nothing is recorded for it; the line names the run that is at work."""
    shell(*RUN)
    shell.hold(0.9)
    held = (shell.lab.folder / "train.py").read_text()
    shell("run", "--exit-zero")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    for wait in ([], ["--wait"]):
        shell.lab.write(held)
        code, out, err = shell.end(shell.start("run", *wait, "--exit-zero"))
        assert (code, out.splitlines()[-1].split(" (")[0]) == (0, "[r0002] still running")
        assert err == (
            "warning: train.py is the same as r0002, which is not judged yet: nothing was recorded\n"
        )
        shell("run", *wait, code=75)


def test_without_an_answer_to_the_submit_it_is_not_zero(shell: Shell) -> None:
    """Whether there is a run is not known: no line names one."""
    assert _ended_before_an_answer(shell, *RUN) == (
        75,
        "",
        "detached before the daemon had answered, call: arctl status\n",
    )


def test_a_wait_that_had_no_answer_names_itself(shell: Shell) -> None:
    assert _ended_before_an_answer(shell, "wait", "--exit-zero") == (
        0,
        "",
        "detached: the run goes on, call: arctl wait --exit-zero\n",
    )


def _ended_before_an_answer(shell: Shell, *arguments: str) -> tuple[int, str, str]:
    daemon = shell.json("daemon", "status")["pid"]
    os.kill(daemon, signal.SIGSTOP)
    try:
        client = shell.start(*arguments)
        wait_until(lambda: connected(client.pid), "arctl is connected")
        client.send_signal(signal.SIGTERM)
        return shell.end(client)
    finally:
        os.kill(daemon, signal.SIGCONT)


def test_errors_keep_their_codes(shell: Shell) -> None:
    """A wrong option, a refusal, no such run, no daemon."""
    shell("run", "--exit-zero", "--timeout", "1", code=64)
    shell("wait", "r0009", "--exit-zero", code=64)
    shell("session", "stop")
    shell(*RUN, code=65)
    shell("daemon", "stop")
    configured(shell.lab, "grace = 'long'\n")  # with which no daemon starts
    shell(*RUN, code=69)
    configured(shell.lab, "")
