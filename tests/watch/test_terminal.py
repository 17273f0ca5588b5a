"""`arctl watch` in a real terminal: with colours, without, and where there is no screen."""

import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.shell import UNTIL_TOLD
from tests.support.tmux import Tmux, needs_tmux, terminal

pytestmark = needs_tmux
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|[34]8)[;m]")
BACKGROUND = re.compile(r"\x1b\[(?:[0-9]+;)*(?:4[0-7]|48|10[0-7])[;m]")


def command(lab: Lab, *arguments: str, **environment: str) -> str:
    """The command line, with the lab's environment."""
    names = ("HOME", "PATH", "PYTHONPATH", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
    given = {name: lab.environment[name] for name in names} | environment
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in given.items())
    words = " ".join(map(shlex.quote, (sys.executable, "-m", "arctl", "watch", *arguments)))
    return f"cd {shlex.quote(str(lab.project))} && env -u NO_COLOR -u COLUMNS -u LINES {variables} {words}"


def seen(tmux: Tmux, *texts: str) -> str:
    """The screen, once all of these are on it."""

    def shown() -> str:
        screen = tmux.text()
        return screen if all(text in screen for text in texts) else ""

    try:
        return str(wait_until(shown, f"{texts} on the screen"))
    except AssertionError as error:
        raise AssertionError(tmux.text()) from error


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """A lab with a run that was judged and one at work."""
    lab.ready(seconds=300)
    lab.edit(0.9)
    lab.run(note="the first one")
    lab.write(UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.5))
    lab.submit(note="lr to 2e-4")
    return lab


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40), (200, 60)])
def test_a_person_sees_the_runs_and_leaves_with_q(lab: Lab, columns: int, lines: int) -> None:
    with terminal(lab.root, command(lab), columns, lines) as tmux:
        text = seen(tmux, "r0001 advance", "r0002 ", "/5:00", "q leave")
        assert text.splitlines()[lines - 1].endswith("q leave"), "it fills the terminal"
        assert max(map(len, text.splitlines())) <= columns
        assert COLOUR.search(tmux.coloured())
        assert not BACKGROUND.search(tmux.coloured()), "it is the terminal's own: light stays light"
        tmux.type("l")
        seen(tmux, "log of r0002", "started")
        (lab.root / "go").touch()
        seen(tmux, "val/loss: 0.5", "— end —")
        tmux.type("q")
        seen(tmux, "r0002 advance")
        tmux.type("q")
        wait_until(lambda: not tmux.alive(), "it has ended")
    wait_until(lambda: lab.call("daemon.info")["active"] == 0, "nothing is under way")


def test_without_colours_it_says_the_same(lab: Lab) -> None:
    with terminal(lab.root, command(lab, NO_COLOR="1"), 80, 24) as tmux:
        seen(tmux, "r0001 advance", "/5:00")
        assert not COLOUR.search(tmux.coloured())


def test_a_terminal_that_can_only_print_gets_lines(lab: Lab) -> None:
    with terminal(lab.root, command(lab, TERM="dumb"), 80, 24) as tmux:
        seen(tmux, "connected to the daemon", "r0002 running")
        (lab.root / "go").touch()
        seen(tmux, "r0002 advance, value 0.5")
        tmux.type("C-c")
        wait_until(lambda: not tmux.alive(), "it has ended")


def test_ctrl_c_leaves_the_screen_and_no_run_is_interrupted(lab: Lab) -> None:
    with terminal(lab.root, command(lab), 80, 24) as tmux:
        seen(tmux, "/5:00")
        tmux.type("C-c")
        wait_until(lambda: not tmux.alive(), "it has ended")
    (run,) = lab.call("queue.list")["runs"]
    assert run["state"] == "running"


def test_after_ctrl_z_and_fg_the_screen_is_whole_again(lab: Lab) -> None:
    shell = shlex.quote(f"set -m; {command(lab)}; echo away; read; fg")
    with terminal(lab.root, f"bash --norc -c {shell}", 80, 24) as tmux:
        seen(tmux, "r0001 advance", "/5:00", "q leave")
        tmux.type("C-z")
        assert "q leave" not in seen(tmux, "away")
        tmux.type("Enter")
        assert "away" not in seen(tmux, "r0001 advance", "/5:00", "best 0.9", "q leave")


def test_a_signal_to_end_puts_the_terminal_back(lab: Lab) -> None:
    """No escape sequence is left in force: the shell that comes next has its terminal."""
    with terminal(lab.root, f"{command(lab)}; stty -a; cat", 80, 24) as tmux:
        seen(tmux, "/5:00")
        (pid,) = [int(pid) for pid in tmux.tell("list-panes", "-F", "#{pane_pid}").split()]
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        os.kill(child, signal.SIGTERM)
        text = seen(tmux, "icanon", " echo ")
        assert "-icanon" not in text
        assert tmux.tell("display-message", "-p", "#{alternate_on}") == "0\n"
