"""`arctl`: the group of commands, each imported when it is called; turns errors into exit codes."""

import errno
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from arctl.base import EXIT_PIPE_CLOSED, complain, say_json
from ardaemon.core.errors import ArdaemonError, StorageError, UsageError

EXIT_ABORTED = 130  # as a shell shows a death by SIGINT
# Errors of write(2) to a file, to a full device or to a terminal that is gone.
UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
# Names that people know from other tools, and the command that answers what they mean by it.
MEANT = {
    "ls": "list",
    "experiments": "list",
    "best": "status",
    "ps": "queue",
    "top": "watch",
    "log": "tail",
    "logs": "tail",
    "show": "result",
    "stop": "cancel",
    "kill": "cancel",
    "start": "run",
    "undo": "restore",
    "checkout": "restore",
}
NEAREST_MAX = 3  # names offered for a misspelt command

# Command -> its module, and its line in `arctl --help`, which so imports no command.
COMMANDS = {
    "init": ("init", "Create an experiment and seal its inputs."),
    "session": ("session", "Start, change, stop or show an experiment's session."),
    "chain": ("chain", "Show the chain of experiments, or end it."),
    "chain-init": ("chain_init", "Create the experiment that follows in the chain."),
    "run": ("run", "Run train.py as it is now."),
    "wait": ("run", "Wait for a run and print its verdict."),
    "status": ("status", "Show the state of an experiment."),
    "list": ("list", "List the project's experiments: best, runs, what runs."),
    "archive": ("archive", "Put an experiment aside, or take it back."),
    "result": ("result", "Show the result of a run."),
    "tail": ("tail", "Show the end of a run's log."),
    "cancel": ("cancel", "Interrupt a run, or take it from the queue."),
    "diff": ("diff", "Show what a run changed in train.py."),
    "rerun": ("rerun", "Launch a run's version once more, with other seeds."),
    "noise": ("rerun", "Measure how much of a value is luck."),
    "compare": ("compare", "Show two runs side by side: edit, values by seed, curves."),
    "restore": ("restore", "Put a run's edit into train.py again."),
    "prune": ("prune", "Remove old logs, but for the last ones and the best's."),
    "report": ("report", "Show what all runs have shown, in 8 KiB."),
    "history": ("history", "Ask what has been tried: one of four questions, in 4 KiB."),
    "audit": ("audit", "Show what the hidden audit has measured; for a person."),
    "watch": ("watch", "Watch the runs live, on the whole screen or as lines."),
    "events": ("events", "Print each event as it happens, as a line or as JSON."),
    "metrics": ("metrics", "Print the daemon's state as Prometheus text."),
    "queue": ("queue", "Show the running and the waiting runs; change their order."),
    "gpus": ("gpus", "Show the GPUs and who uses them."),
    "seal": ("seal", "Report changes of sealed files, or accept them."),
    "clean": ("seal", "Accept runs again after a kill that left processes."),
    "adopt": ("adopt", "Take over the runs of a daemon that has ended, of another state folder."),
    "skill": ("skill", "Install the skill by which an agent runs the loop, and show where it is installed."),
    "doctor": ("doctor", "Check this machine and this project."),
    "config": ("config", "Show the settings of config.toml and where each comes from; check them."),
    "daemon": ("daemon", "Start, stop or inspect the daemon."),
    "mcp": ("mcp", "Serve an agent that speaks MCP."),
}


class PipeClosed(Exception):
    """The reader of the output has gone."""


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            self._complain_of(ctx, cmd_name)
            return None
        command = getattr(
            import_module(f"arctl.commands.{COMMANDS[cmd_name][0]}"), cmd_name.replace("-", "_")
        )
        assert isinstance(command, click.Command)
        return command

    def _complain_of(self, ctx: click.Context, name: str) -> None:
        if ctx.resilient_parsing or name.startswith("-"):
            return
        from difflib import get_close_matches

        near = [MEANT[name]] if name in MEANT else get_close_matches(name, COMMANDS, NEAREST_MAX)
        ctx.fail(f"there is no command {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would turn it into exit code 1, as for a fault
            raise PipeClosed from error


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib import metadata

    try:
        click.echo(f"arctl {metadata.version('ardaemon')}")
    except metadata.PackageNotFoundError:
        click.echo("arctl (run from its source folder)")
    ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def arctl() -> None:
    """Run, judge and keep training experiments.

    The loop of an agent: edit train.py, then `arctl run --wait`.

    \b
    Exit codes: 0 ok (advance or revert), 10 crash, 11 timeout, 12 invalid,
    13 interrupted, 14 unclean, 20 not confirmed by the audit, 64 usage,
    65 refused, 69 no daemon, 70 a fault of ardaemon, 74 storage,
    75 still running (call again), 76 stuck: the run waits until somebody
    does what the message says.
    With --exit-zero, run and wait exit with 0 instead of 10 to 14 and 75.

    \b
    AR_EXPR names the experiment; with AR_NONINTERACTIVE=1 no command asks.
    Completion: eval "$(_ARCTL_COMPLETE=bash_source arctl)"  (or zsh, fish)
    """


def main() -> int:
    """Run one command line and return its exit code."""
    as_json = "--json" in sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = arctl.main(prog_name="arctl", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (PipeClosed, BrokenPipeError):
        # The rest of the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_PIPE_CLOSED
    except click.exceptions.Abort:
        complain("Aborted.")
        return EXIT_ABORTED
    except click.ClickException as error:
        return _show_usage(error, as_json)
    except ArdaemonError as error:
        return _show(error, as_json)
    except OSError as error:
        return _show(_storage(error), as_json)
    return code if isinstance(code, int) else 0


def _storage(error: OSError) -> StorageError:
    """Turn an OSError into an error that names the file; without a file it was the standard output."""
    if error.filename is not None or error.errno not in UNWRITTEN:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return StorageError(f"{where}{error.strerror or error}", "check the path and its rights")
    # The rest of the buffer must not fail once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return StorageError(
        f"the standard output cannot be written: {error.strerror}",
        "check where it goes; runs go on: arctl status",
    )


def _show_usage(error: click.ClickException, as_json: bool) -> int:
    """Print an error of click's as arctl prints its own; return the exit code."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "arctl"
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        click.echo(context.get_help(), err=True)
        return UsageError.exit_code
    return _show(UsageError(error.format_message(), f"{path} --help"), as_json)


def _show(error: ArdaemonError, as_json: bool) -> int:
    """Print an error on stderr, with what to do now, and return its exit code."""
    if as_json:
        say_json({"error": error.wire()}, err=True)
    else:
        complain(f"Error: {error.message}")
        if error.mend:
            complain(f"→ {error.mend}")
    return error.exit_code
