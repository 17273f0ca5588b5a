"""The line that moves while a person waits at a terminal, in real terminals."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lab import SLUG, Lab, wait_until
from tests.support.older import Version, replaced
from tests.support.shell import Shell, lives, shells
from tests.support.terminal import Session, played

STEP = "[r0002] launched"
LEARNS = """import os, time
print("step 7 val/loss: 0.5", flush=True)
while not os.path.exists({go!r}):
    time.sleep(0.02)
"""


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a baseline of 1."""
    with shells(lab) as made:
        made.lab.run()
        yield made


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    """Commands at terminals, which are closed at the end."""
    made: list[Session] = []
    yield made
    for session in made:
        session.close()


def learning(shell: Shell) -> None:
    """Edit train.py so that its metric is known while it runs."""
    shell.lab.write(LEARNS.format(go=str(shell.go)))


def test_the_line_has_id_time_live_value_and_best_and_is_gone_in_the_end(
    shell: Shell, sessions: list[Session]
) -> None:
    learning(shell)
    shell("queue", "pause")
    session = Session(shell, "run", "--wait", columns=72)
    sessions.append(session)
    assert STEP not in session.until("[r0002]"), "the line is there before the launch"
    shell("queue", "resume")
    session.until("/120 s | \x1b[32mval/loss=0.5\x1b[0m (step 7) | best 1 @ r0001")
    shell.release()
    shown = session.end()
    lines = played(shown, 72)
    assert [line[:18] for line in lines] == [
        "[r0002] launched: ",
        "[r0002] metric bac",
        "[r0002] advance: v",
        "[r0002] continue: ",
        "",
    ]
    assert session.process.returncode == 0


@pytest.mark.parametrize("columns", [20, 40])
def test_the_line_never_reaches_the_edge(shell: Shell, sessions: list[Session], columns: int) -> None:
    learning(shell)
    shell("run")
    shell.lab.edit(0.4)
    shell("run", "--note", "wide: 漢字")
    session = Session(shell, "wait", "r0003", "--json", columns=columns)
    sessions.append(session)
    session.until("…")
    shell.release()
    moving = session.end().partition('{"')[0]
    assert "queued, 1st"[: columns - 12] in moving
    assert played(moving, columns) == [""]


def test_a_run_that_waits_says_for_whom_and_then_that_the_queue_is_paused(
    shell: Shell, sessions: list[Session]
) -> None:
    learning(shell)
    shell("run")
    shell.lab.edit(0.4)
    session = Session(shell, "run", "--wait", columns=100)
    sessions.append(session)
    session.until(f"queued, 1st: waits for one of 1 CPU slots: {SLUG}/r0002")
    shell("queue", "pause")
    session.until("queued: the queue is paused: arctl queue resume")
    shell("queue", "resume")
    shell.release()
    assert [line[:8] for line in played(session.end(), 100)] == ["[r0003] "] * 4 + [""]


def test_any_run_of_the_experiment_is_followed(shell: Shell, sessions: list[Session]) -> None:
    learning(shell)
    shell("run")
    shell.lab.edit(0.4)
    shell("run")
    session = Session(shell, "wait", "--any", environment={"NO_COLOR": "1"})
    sessions.append(session)
    session.until("val/loss=0.5 (step 7) | best 1 @ r0001, 1 more under way")
    shell.release()
    assert "\x1b[36m" not in session.end()
    shell("wait", "r0003")


def test_no_colour_means_no_escape_in_the_line(shell: Shell, sessions: list[Session]) -> None:
    learning(shell)
    session = Session(shell, "run", "--wait", "--json", environment={"NO_COLOR": "1"})
    sessions.append(session)
    session.until("val/loss=0.5")
    shell.release()
    assert "\x1b" not in session.end()


@pytest.mark.parametrize("said", [{"TERM": "dumb"}, {"AR_NONINTERACTIVE": "1"}])
def test_where_no_line_can_move_or_nobody_watches_there_are_lines_as_in_a_pipe(
    shell: Shell, sessions: list[Session], said: dict[str, str]
) -> None:
    learning(shell)
    shell("run")
    shell.lab.edit(0.4)
    session = Session(shell, "run", "--wait", "--json", columns=100, environment=said)
    sessions.append(session)
    session.until("CPU slots")
    shell.release()
    first, _, rest = session.end().partition("\r\n")
    assert first == f"[r0003] queued, 1st: waits for one of 1 CPU slots: {SLUG}/r0002"
    assert "\r" not in rest.rstrip("\r\n")


def test_only_stderr_decides_and_stdout_stays_as_it_is(shell: Shell, sessions: list[Session]) -> None:
    learning(shell)
    out = shell.lab.root / "out"
    with out.open("w") as file:
        session = Session(shell, "run", "--wait", stdout=file)
    sessions.append(session)
    session.until("val/loss=0.5")
    shell.release()
    assert played(session.end(), 80) == [""]
    assert [line[:8] for line in out.read_text().splitlines()] == ["[r0002] "] * 4
    assert "\r" not in out.read_text()


def test_ctrl_c_and_what_it_says_stand_on_a_line_of_their_own(shell: Shell, sessions: list[Session]) -> None:
    learning(shell)
    session = Session(shell, "run", "--wait")
    sessions.append(session)
    session.until("val/loss=0.5")
    session.ctrl_c()
    lines = played(session.end(), 151)  # the verdict's line is longer than the terminal is wide
    assert "interrupting r0002 (Ctrl+C again leaves it to the daemon)" in lines
    assert session.process.returncode == 13


def test_a_killed_daemon_is_told_above_the_line_which_goes_on(shell: Shell, sessions: list[Session]) -> None:
    learning(shell)
    session = Session(shell, "run", "--wait")
    sessions.append(session)
    session.until("val/loss=0.5")
    pid = shell.json("daemon", "status")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid), "the daemon's end")
    session.shown = session.until("the daemon went away; asking again").partition("asking again")[2]
    session.until("val/loss=0.5")
    shell.release()
    session.end()
    assert session.process.returncode == 0


def test_a_line_in_the_background_of_a_shell_is_not_drawn(shell: Shell, sessions: list[Session]) -> None:
    learning(shell)
    session = Session(shell, "run", "--wait", "--json", behind=True)
    sessions.append(session)
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    shell.release()
    assert session.end().startswith("{")


def knows_no_live_events(root: Path) -> None:
    without(root / "ardaemon/core/protocol.py", "    live: bool = False\n")
    without(root / "ardaemon/handlers/daemon.py", "            if params.live:\n", 1)


def has_other_fields(root: Path) -> None:
    live = root / "ardaemon/handlers/live.py"
    replaced(live, "    return facts\n", "    facts.update(runs=[7], elapsed='long')\n    return facts\n")


@pytest.mark.parametrize("change", [knows_no_live_events, has_other_fields])
def test_with_a_daemon_of_another_version_the_line_stands_still(
    lab: Lab, sessions: list[Session], change: Callable[[Path], None]
) -> None:
    other = Version(lab, "0.0.1", 2)
    change(other.root)
    other.boot()
    with shells(lab) as shell:
        learning(shell)
        session = Session(shell, "run", "--wait")
        sessions.append(session)
        session.until("[r0001] launched")
        session.until("/120 s")
        shell.release()
        shown = session.end()
        assert "Traceback" not in shown
        assert [line[:8] for line in played(shown, 80)] == ["[r0001] "] * 4 + [""]


def without(path: Path, line: str, more: int = 0) -> None:
    """Take a line out of a file, and as many more behind it."""
    lines = path.read_text().splitlines(keepends=True)
    at = len(lines) - 1 - lines[::-1].index(line)  # the last one
    del lines[at : at + 1 + more]
    path.write_text("".join(lines))
