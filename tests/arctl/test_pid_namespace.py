"""No daemon is started in a PID namespace that was made for one command; a container is an ordinary host.

The namespaces are real ones (unshare, bwrap), and so are the daemons.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arctl.pid_namespace import Process, Surroundings, ends_with_us, look
from tests.support.agent_shell import AgentShell, needs_bwrap
from tests.support.every import every
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.sandbox import BWRAP, READ_ONLY

UNSHARE = "unshare --pid --fork --mount-proc --kill-child".split()
STARTED = "a daemon that is started here would end with this command: "
# Starts a daemon, asks it, and stops it again.
USES_A_DAEMON = "arctl daemon start >/dev/null && arctl queue && arctl daemon stop\n"


@pytest.fixture
def shell(lab: Lab) -> AgentShell:
    return AgentShell(lab)


# --- made for this command ---

ONE_COMMAND = {
    "the command is pid 1": ([*UNSHARE, "arctl", "queue"], "it is pid 1 of its PID namespace"),
    "a restart": ([*UNSHARE, "arctl", "daemon", "restart"], "it is pid 1 of its PID namespace"),
    "a shell with one line": (
        [*UNSHARE, "sh", "-c", "arctl queue; exit $?"],
        "pid 1 of its PID namespace (sh) was started for it alone",
    ),
    "a shell in a program of which nothing is known": (
        [*UNSHARE, "timeout", "60", "sh", "-c", "arctl queue; exit $?"],
        "pid 1 of its PID namespace (timeout) was started for it alone",
    ),
    "without a /proc of its own": (
        ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "arctl queue; exit $?"],
        "its PID namespace has no /proc of its own",
    ),
}


MEND = "arctl daemon start (once: in a terminal outside the sandbox, or in a container's entrypoint)"


@pytest.mark.parametrize(("command", "why"), ONE_COMMAND.values(), ids=ONE_COMMAND)
def test_no_daemon_is_started_that_would_end_with_the_command(
    shell: AgentShell, command: list[str], why: str
) -> None:
    refused(shell, command, why)


@needs_bwrap
def test_no_daemon_is_started_in_the_namespace_of_bwrap(shell: AgentShell) -> None:
    refused(shell, [*BWRAP, "arctl", "queue"], "pid 1 of its PID namespace (bwrap) was started for it alone")


def refused(shell: AgentShell, command: list[str], why: str) -> None:
    """Exit code 69, why, and what to do; nothing is left."""
    done = shell.run(*command)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr == f"Error: {STARTED}{why}\n→ {MEND}\n"
    assert not any(shell.lab.state_home.iterdir())


@needs_bwrap
@pytest.mark.parametrize("sandbox", [BWRAP, READ_ONLY], ids=["writable", "read-only"])
def test_a_daemon_outside_serves_and_is_not_stopped_from_within(
    shell: AgentShell, sandbox: list[str]
) -> None:
    shell.lab.start()
    assert shell.run(*sandbox, "arctl", "queue").returncode == 0
    for wish in ("stop", "restart"):
        done = shell.run(*sandbox, "arctl", "daemon", wish)
        assert (done.returncode, done.stderr.splitlines()) == (
            69,
            [
                "Error: the daemon is outside this PID namespace, where its end cannot be seen",
                "→ arctl daemon stop (or restart; in a terminal outside the sandbox)",
            ],
        )
    assert "ok    cgroup: the daemon is outside" in shell.run(*sandbox, "arctl", "doctor").stdout
    assert shell.lab.call("daemon.info")["pid"] == shell.lab.pid


@needs_bwrap
def test_doctor_says_that_no_daemon_is_started_here(shell: AgentShell) -> None:
    done = shell.run(*BWRAP, "arctl", "doctor")
    assert f"warn  daemon: not running; {STARTED}" in done.stdout


# --- containers ---


def shell_prompt(shell: AgentShell) -> tuple[list[str], str]:
    """`docker run -it IMAGE`, and what a person types there."""
    return ["sh"], USES_A_DAEMON


def login_shell(shell: AgentShell) -> tuple[list[str], str]:
    return ["bash", "--noprofile", "-l"], USES_A_DAEMON


def entrypoint_script(shell: AgentShell) -> tuple[list[str], str]:
    program = shell.lab.root / "entry.sh"
    program.write_text(f"#!/bin/sh\n{USES_A_DAEMON}")
    program.chmod(0o755)
    return [str(program)], ""


def entrypoint_line(shell: AgentShell) -> tuple[list[str], str]:
    """A container's runtime makes its pid 1 the leader of a session."""
    return ["setsid", "sh", "-c", USES_A_DAEMON], ""


def entrypoint_that_becomes_arctl(shell: AgentShell) -> tuple[list[str], str]:
    """As docs/agents.md has it for a container whose command is arctl."""
    return ["setsid", "sh", "-c", "arctl daemon start >/dev/null; exec arctl daemon stop"], ""


def init(shell: AgentShell) -> tuple[list[str], str]:
    """A program of the name of an init, which starts a shell."""
    program = shutil.copy("/bin/sh", shell.lab.root / "tini")
    return [str(program), "-c", f"sh -c '{USES_A_DAEMON}'; exit $?"], ""


@pytest.mark.parametrize(
    "kind",
    [shell_prompt, login_shell, entrypoint_script, entrypoint_line, entrypoint_that_becomes_arctl, init],
)
def test_a_daemon_is_started_in_a_container(
    shell: AgentShell, kind: Callable[[AgentShell], tuple[list[str], str]]
) -> None:
    """It answers the commands that come after the one that started it."""
    command, typed = kind(shell)
    done = shell.run(*UNSHARE, *command, stdin=typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is stopped" in done.stdout


def test_a_command_that_enters_a_container_starts_a_daemon_that_stays(shell: AgentShell) -> None:
    """As `docker exec`, also right after the container's start: its parent is outside."""
    with container(shell) as pid:
        enter = ["nsenter", "--target", str(pid), "--root", "--wd", "--pid", "--mount"]
        started = shell.run(*enter, "sh", "-c", "exec arctl daemon start --json")
        assert (started.returncode, started.stderr) == (0, "")
        asked = shell.run(*enter, "arctl", "daemon", "status", "--json")
        assert json.loads(asked.stdout)["pid"] == json.loads(started.stdout)["pid"]
        assert shell.run(*enter, "arctl", "daemon", "stop").returncode == 0


@contextmanager
def container(shell: AgentShell) -> Iterator[int]:
    """A namespace whose pid 1 only waits: its number outside."""
    command = [*UNSHARE, "sleep", str(DEADLINE_S)]
    with subprocess.Popen(command, env=shell.lab.environment) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: is_sleep(children.read_text().strip()), "pid 1")
        yield int(children.read_text())
        process.kill()


def is_sleep(pid: str) -> bool:
    return bool(pid) and Path(f"/proc/{pid}/comm").read_text() == "sleep\n"


# --- the decision ---

OLD, NEW = 100.0, 200.0


def process(pid: int, name: str, *arguments: str, session: int = 0, started: float = NEW) -> Process:
    return Process(pid, name, (name, *arguments), session, started)


def around(first: Process, parent: Process | None, pid: int = 9) -> Surroundings:
    return Surroundings(pid, True, first, parent, process(pid, "arctl", started=NEW + 0.1))


SHELL_LINE = process(1, "sh", "-c", "arctl run; arctl wait")
SLOW = process(1, "sh", "-c", "make data; arctl run", started=OLD)
SERVER = process(1, "python", "serve.py", started=OLD)
NEW_SHELL = process(7, "bash", "-c", "cd lr; arctl run")


@every(
    "surroundings, ends",
    [
        (around(process(1, "bwrap", started=OLD), NEW_SHELL), True),
        (around(process(1, "wrapper"), NEW_SHELL), True),
        (around(SHELL_LINE, SHELL_LINE), True),
        (around(process(1, "bash", "-lc", "arctl run; true"), process(1, "bash")), True),
        (Surroundings(1, True, SERVER, None, SERVER), True),
        (Surroundings(9, False), True),
        (around(SERVER, NEW_SHELL), False),
        (around(SERVER, SERVER), False),
        (around(SLOW, SLOW), False),
        (around(process(1, "python", session=1), process(1, "python", session=1)), False),
        (around(process(1, "python", session=1), process(7, "agent")), False),  # the entrypoint starts it
        (around(process(1, "bwrap", session=1), process(7, "agent")), True),
        (around(process(1, "docker-init"), NEW_SHELL), False),
        (around(process(1, "bash", "--login"), process(1, "bash")), False),
        (around(process(1, "sh", "/entry.sh"), NEW_SHELL), False),
        (around(process(1, "wrapper"), None), False),
        (Surroundings(9, True, None, NEW_SHELL, NEW_SHELL), False),
    ],
)
def test_for_what_the_namespace_was_made(surroundings: Surroundings, ends: bool) -> None:
    assert (ends_with_us(surroundings) is not None) is ends


def test_on_the_machine_itself_nobody_is_looked_at() -> None:
    """Its PID namespace is the first one, whatever pid 1 is."""
    assert Path("/proc/self/ns/pid").stat().st_ino != 0xEFFFFFFC or look() is None
