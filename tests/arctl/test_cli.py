"""The command line without a daemon: help, usage errors, exit codes, and how fast it starts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from arctl import cli
from tests.support.every import every
from tests.support.lab import Lab
from tests.support.machine import configured
from tests.support.shell import Shell
from tests.support.terminal import typed

# What `run`, `wait` and `status` must not load: each costs more than the whole of arctl.
HEAVY = (
    "anyio asyncio msgspec rich psutil watchfiles subprocess pathlib dataclasses importlib.metadata difflib"
    " ardaemon.core.model ardaemon.core.protocol ardaemon.core.layout logging"
).split()
DEADLINE_S = 30


def arctl(lab: Lab, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command in the lab's project, as a shell runs it."""
    return subprocess.run(
        [sys.executable, "-m", "arctl", *arguments],
        env={**lab.environment, **environment},
        cwd=lab.project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def daemon_was_started(lab: Lab) -> bool:
    return any(lab.state_home.rglob("daemon.json"))


USAGE = {
    "unknown command": (["statsu"], "did you mean status?"),
    "unknown option": (["run", "--wiat"], "--wiat"),
    "not a number": (["session", "start", "--seconds", "ten"], "--seconds"),
    "zero seconds": (["session", "start", "--seconds", "0"], "--seconds"),
    "fresh without yes": (["session", "start", "--seconds", "9", "--resume", "fresh"], "--yes"),
    "timeout without wait": (["run", "--timeout", "5"], "--wait"),
    "run and any": (["wait", "r0001", "--any"], "--any"),
    "compact and last": (["status", "--compact", "--last", "2"], "--last"),
    "too many lines": (["tail", "-n", "81"], "1<=x<=80"),
    "init without anything": (
        ["init", "lr"],
        "missing: --train, --primary-metric, --primary-direction, --goal",
    ),
    "init of a missing file": (["init", "lr", "--train", "none.py"], "none.py"),
    "slug that leaves the folder": (["init", "../x", "--from", "."], "'../x' is not an experiment's name"),
    "slug with odd characters": (["init", "Übung 1", "--from", "."], "→ arctl init ubung-1, with"),
    "slug with a blank": (["init", "a b", "--from", "."], "it may have a-z, 0-9 and single hyphens"),
    "slug of no letters": (["init", "日本", "--from", "."], "→ arctl init lr-warmup, with"),
    "slug that is too long": (
        ["init", "a" * 65, "--from", "."],
        f"it has 72 characters, and 64 are the most\n→ arctl init {'a' * 57}, with",
    ),
    "size without a unit": (
        ["session", "start", "--seconds", "9", "--max-log", "10"],
        "--max-log '10': it is not a size\n→ give a number and its unit, as --max-log 512MiB or",
    ),
}


@pytest.mark.parametrize(("arguments", "named"), USAGE.values(), ids=USAGE)
def test_a_wrong_command_line_is_exit_code_64_and_names_what_is_wrong(
    lab: Lab, arguments: list[str], named: str
) -> None:
    """Nothing on stdout, the fault and the mend on stderr, and no daemon is started for it."""
    done = arctl(lab, *arguments)
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (64, "")
    assert first.startswith("Error: ")
    assert second.startswith("→ ")
    assert named in done.stderr
    assert not daemon_was_started(lab)


def test_with_json_an_error_is_an_object_on_stderr(lab: Lab) -> None:
    """A script reads kind and mend."""
    done = arctl(lab, "session", "start", "--seconds", "9", "--resume", "fresh", "--json")
    error = json.loads(done.stderr)["error"]
    assert done.returncode == 64
    assert error["data"]["kind"] == "UsageError"
    assert "--resume fresh" in error["message"]


def test_a_deleted_current_folder_is_named(lab: Lab) -> None:
    """As after another shell removed it."""
    gone = lab.project / "gone"
    gone.mkdir()
    script = (
        "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "-m", "arctl", "status"],
        env=lab.environment,
        cwd=gone,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 64
    assert "the current folder was deleted" in done.stderr


def test_a_full_device_behind_the_output_is_named(lab: Lab) -> None:
    """It was the output, not a file of the experiment's; nothing is written twice, no traceback."""
    for words in (["--help"], ["doctor"], ["doctor", "--json"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "arctl", *words],
                env=lab.environment,
                cwd=lab.project,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 74
        assert "the standard output cannot be written: No space left on device" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_daemon_is_not_started_by_asking_for_it(lab: Lab) -> None:
    """`daemon status` is exit code 69 where there is none; stop is content."""
    asked = arctl(lab, "daemon", "status")
    stopped = arctl(lab, "daemon", "stop")
    assert (asked.returncode, asked.stderr.splitlines()[1]) == (69, "→ arctl daemon start")
    assert (stopped.returncode, stopped.stdout) == (0, "the daemon was not running\n")
    assert not daemon_was_started(lab)


def test_a_daemon_that_cannot_start_says_why(lab: Lab) -> None:
    """Its own words, within the client's error."""
    configured(lab, "grace = 'long'\n")
    done = arctl(lab, "daemon", "start")
    assert done.returncode == 69
    assert "config.toml" in done.stderr
    assert "grace" in done.stderr


def test_a_state_folder_that_is_open_to_others_is_refused(lab: Lab) -> None:
    """Whoever can write there could name a socket of his own."""
    arctl(lab, "daemon", "stop")
    lab.home.chmod(0o755)
    done = arctl(lab, "daemon", "start")
    assert done.returncode == 74
    assert f"chmod 700 {lab.home}" in done.stderr


@pytest.mark.parametrize("name", ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME"])
def test_a_folder_whose_path_is_no_text_is_refused_by_name(lab: Lab, name: str) -> None:
    """The daemon writes that path into files of JSON: it failed at the first change."""
    for given in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        lab.environment.pop(given, None)
    lab.environment |= {"XDG_STATE_HOME": str(lab.state_home)} if name == "XDG_RUNTIME_DIR" else {}
    lab.environment[name] = f"{lab.root}/\udcff"
    for command in (["daemon", "start"], ["status"], ["doctor"]):
        done = arctl(lab, *command)
        assert done.returncode == 64
        assert f"the path {lab.root}/\\xff" in done.stderr
        assert "→ set XDG_" in done.stderr


def test_a_daemon_of_a_far_protocol_is_named_with_the_mend(lab: Lab) -> None:
    """Both versions, and what to do."""
    lab.start()
    info = json.loads((lab.home / "daemon.json").read_bytes())
    (lab.home / "daemon.json").write_text(json.dumps({**info, "version": "9.9", "protocol": 9}))
    done = arctl(lab, "queue")
    assert done.returncode == 69
    assert "version 9.9" in done.stderr
    assert "protocol 9" in done.stderr
    assert "arctl daemon restart" in done.stderr


def test_our_protocol_version_is_the_daemons() -> None:
    """The client has a literal of its own: the module that has the original needs msgspec."""
    from arctl import dial
    from ardaemon.core import protocol

    assert dial.PROTOCOL == protocol.PROTOCOL


def test_what_the_client_knows_of_methods_is_what_the_protocol_says() -> None:
    """Its two sets are copies: the module that has the table needs msgspec."""
    from arctl.client import REPEATABLE
    from arctl.connection import SLOW
    from ardaemon.core.methods import METHODS

    assert {name for name, method in METHODS.items() if method.slow} == SLOW
    assert {name for name, method in METHODS.items() if method.repeatable} == REPEATABLE


def test_every_setting_of_a_session_is_an_option() -> None:
    """One that is missing here could not be set at all."""
    from arctl import session_options
    from arctl.commands import session
    from ardaemon.core.model import Settings

    options = {parameter.name for parameter in session.start.params}
    assert set(session_options.SETTINGS) == set(Settings.__struct_fields__)
    assert set(session_options.SETTINGS) < options


def test_every_exit_status_has_its_code() -> None:
    """A status that is added to the daemon needs one."""
    from typing import get_args

    from arctl.base import EXIT_OF_STATUS
    from ardaemon.core.model import Status

    assert set(EXIT_OF_STATUS) == set(get_args(Status))


@every("name", cli.COMMANDS)
def test_the_static_help_agrees_with_the_command(name: str) -> None:
    """`arctl --help` loads no command; its table must name real ones."""
    context = click.Context(cli.arctl)
    command = cli.arctl.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(200)


def test_help_lists_every_command(lab: Lab) -> None:
    """Without loading any."""
    done = arctl(lab, "--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)
    assert "_ARCTL_COMPLETE" in done.stdout


def test_shells_complete_commands_and_options(lab: Lab) -> None:
    """As bash asks for it."""
    done = arctl(lab, _ARCTL_COMPLETE="bash_complete", COMP_WORDS="arctl st", COMP_CWORD="1")
    assert done.stdout.splitlines() == ["plain,status"]
    done = arctl(lab, _ARCTL_COMPLETE="bash_complete", COMP_WORDS="arctl run --w", COMP_CWORD="2")
    assert done.stdout.splitlines() == ["plain,--wait"]


@pytest.mark.parametrize("command", [["run", "--wait"], ["wait"], ["status", "--compact"]], ids=" ".join)
def test_the_commands_of_the_loop_load_nothing_heavy(lab: Lab, command: list[str]) -> None:
    """Every iteration pays for it: the whole command, against a living daemon."""
    lab.ready()
    lab.run()
    lab.edit(0.5)
    script = (
        "import sys; from arctl.cli import main; code = main();"
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        # Without site: what an installation adds there at start is not ours.
        [sys.executable, "-S", "-c", script, *command],
        env={**lab.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=lab.project,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    loaded = done.stderr.split()
    assert done.returncode == 0, done.stderr
    assert {"click", "json", "socket"} <= set(loaded)
    assert set(HEAVY) & set(loaded) == set()


def at_a_terminal(lab: Lab, arguments: list[str], answers: str, **environment: str) -> tuple[int, str]:
    """Run a command with a terminal as stdin, stdout and stderr; its code and what it showed."""
    given = {**lab.environment, "TERM": "dumb", **environment}
    return typed(arguments, answers, given, lab.project)


def test_a_person_is_asked_for_what_is_missing(lab: Lab) -> None:
    """At a terminal `init` and `session start` need no options."""
    (lab.project / "t.py").write_text('print("acc: 0.5")\n')
    (lab.project / "prepare.py").write_text("DATA = 1\n")
    code, shown = at_a_terminal(lab, ["init", "261122-lr"], "t.py\nacc\nmax\nbe right\nn\n")
    assert code == 0, shown
    assert not (lab.project / ".autoresearch/261122-lr/prepare.py").exists()
    assert 'metric = "acc"' in (lab.project / ".autoresearch/261122-lr/program.md").read_text()
    code, shown = at_a_terminal(lab, ["session", "start"], "", AR_NONINTERACTIVE="1")
    assert (code, "missing: --seconds" in shown) == (64, True)
    code, shown = at_a_terminal(lab, ["session", "start"], "7\n")
    assert code == 0, shown
    assert "seconds: 7" in shown
    assert arctl(lab, "session", "stop").returncode == 0
    refused = at_a_terminal(lab, ["session", "start", "--seconds", "7", "--resume", "fresh"], "n\n")
    assert refused[0] == 130
    arctl(lab, "daemon", "stop")


def test_the_scripts_that_lie_there_are_taken_unnamed_and_that_is_said(lab: Lab) -> None:
    """train.py of the folder, and the prepare.py beside the script: asked at a terminal, told elsewhere."""
    shell, goal = Shell(lab), ["--primary-metric", "acc", "--primary-direction", "max", "--goal", "more"]
    folders = lab.project / "models", lab.project / ".autoresearch"
    for folder in folders:  # with .autoresearch the project is not the folder below
        folder.mkdir()
    (folders[0] / "train.py").write_text('print("acc: 0.5")\n')

    def init(slug: str, *options: str, **given: Any) -> tuple[str, str]:
        code, out, err = shell.end(shell.start("init", f"261122-{slug}", *goal, *options, **given))
        assert code == 0, err
        return out, err

    def sealed(slug: str) -> list[str]:
        contract = json.loads((folders[1] / f"261122-{slug}" / "batch_contract.json").read_bytes())
        return [one["path"] for one in contract["sealed"]]

    code, _, err = shell.end(shell.start("init", "261122-none", *goal))
    assert (code, "missing: --train" in err) == (64, True)
    assert "prepare.py" not in "".join(init("alone", cwd=folders[0]))
    (folders[0] / "prepare.py").write_text("DATA = 1\n")
    out, err = init("beside", cwd=folders[0])
    assert f"train.py copied from {folders[0]}/train.py" in out
    assert f"prepare.py copied from {folders[0]}/prepare.py, and sealed" in out
    assert "--prepare none" in err
    assert "prepare.py" not in "".join(init("no", "--train", "models/train.py", "--prepare", "none"))
    code, shown = at_a_terminal(lab, ["init", "261122-asked", "--train", "models/train.py", *goal], "\n")
    assert code == 0, shown
    assert "lies beside the script. Copy and seal it, too?" in shown
    assert [sealed(slug) for slug in ("alone", "beside", "no", "asked")] == [
        ["program.md"],
        ["program.md", "prepare.py"],
        ["program.md"],
        ["program.md", "prepare.py"],
    ]
    (lab.project / "train.py").write_text('print("acc: 0.5")\n')
    out, _ = init("elsewhere", "--project", str(lab.project), cwd=lab.root)
    assert f"train.py copied from {lab.project}/train.py" in out
    code, _, err = shell.end(shell.start("init", "261122-x", "--from", "models", "--prepare", "none"))
    assert (code, "--train FILE --program FILE" in err) == (64, True)
    shell("daemon", "stop")


def test_ar_noninteractive_never_asks(lab: Lab) -> None:
    """Not even at a terminal: an agent's terminal has nobody before it."""
    code, shown = at_a_terminal(lab, ["init", "lr"], "", AR_NONINTERACTIVE="1")
    assert code == 64
    assert "missing: --train" in shown


def test_one_module_loads_rich_beside_the_screen_of_watch() -> None:
    """So that it is clear who pays for it: tables for people, and a screen that is drawn by rich."""
    root = Path(cli.__file__).parent
    users = [path for path in root.rglob("*.py") if "\nfrom rich" in path.read_text(encoding="utf-8")]
    assert [path.name for path in users if path.parent.name != "watch"] == ["tables.py"]
