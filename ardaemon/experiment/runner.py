"""Reads the runner's template as a shell would, and makes the command line of one attempt of it."""

import os
import shlex
from collections.abc import Mapping

from ardaemon.core import command_line, own_variables, programs
from ardaemon.core.command_line import CommandLine
from ardaemon.core.errors import RunnerNotFound, UsageError
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Settings
from ardaemon.experiment import script_place

SCRIPTS = ("train.py", "{train}")


# Words with which people begin a line and that only a shell knows, or that do nothing here.
OF_A_SHELL = frozenset("cd source . export eval exec ulimit alias set unset umask command builtin".split())
# Variables that the daemon sets itself for each run, and what to use in their place.
OURS = {
    "CUDA_VISIBLE_DEVICES": "leave it out: each run is given its GPUs, as many as --gpus says",
    "CUDA_DEVICE_ORDER": "leave it out: the daemon sets it to PCI_BUS_ID",
}


def read_runner(template: str, home: str | None = None) -> CommandLine:
    """Return the template as a command. Raises UsageError unless exactly one of its words is the script.

    What would need a shell is taken as it stands: sessions of earlier versions have such runners.
    """
    try:
        line = command_line.read(template, home)
    except ValueError as error:
        raise UsageError(f"--runner {template!r} cannot be split: {error}", "check its quotes") from error
    count = sum(word in SCRIPTS for word in line.words)
    if count != 1 or line.words[0] in SCRIPTS:
        raise UsageError(
            f"--runner {template!r} must name train.py (or {{train}}) once, after the program; found {count}",
            _how_to_name(line.words, count),
        )
    return line


def require_no_shell(option: str, command: str) -> None:
    """Raise UsageError if a shell would make something else of a command, with what to write instead."""
    try:
        part = command_line.read(command).needs_shell
    except ValueError:
        return  # whoever splits it says what is missing
    if part is not None:
        fault = f"{option} {command!r} is started without a shell, and {part.text!r} is {part.what}"
        raise UsageError(fault, _without_shell(option, part))


def _without_shell(option: str, part: command_line.ShellPart) -> str:
    """Return what to write instead; a command beside the runner has no log and no script of a run's."""
    if option == "--runner" or part.what not in command_line.OF_LINES:
        return part.mend
    return f'put the line into a script, and give that: {option} "sh SCRIPT"'


def check_runner(template: str) -> None:
    """Raise UsageError if the runner is no command, or sets or begins with what it cannot."""
    require_no_shell("--runner", template)
    line = read_runner(template)
    if line.words[0] in OF_A_SHELL:
        raise UsageError(
            f"--runner {template!r} begins with {line.words[0]!r}, which only a shell knows",
            'begin with the program, as "python train.py"; it starts in the project\'s root',
        )
    for name in line.variables:
        if name in own_variables.OWN or name in OURS:
            mend = OURS.get(name, f"leave {name} out: the daemon sets it for each run")
            raise UsageError(f"--runner {template!r} sets {name}, which is the daemon's to set", mend)


def _how_to_name(words: list[str], count: int) -> str:
    """Say how to name the script, by the way in which it was named."""
    named = [word for word in words if word.endswith(("/train.py", "=train.py", "={train}"))]
    if count > 1:
        return "name it once: where its path is wanted a second time, the script has it as __file__"
    if "-m" in words and not named:
        return (
            "-m runs a module as it lies in the project, not the version of a run; name the script: --runner"
            ' "python train.py", or "PYTHONPATH=. python train.py" where it imports from the project\'s root,'
            " with each relative import written in full (from package.util import x)"
        )
    if words and words[0] in (*SCRIPTS, "./train.py"):
        return 'name its interpreter: --runner "python train.py"'
    if named:
        return f"write {named[0]!r} as a word of its own, without a folder: train.py; its path is put there"
    if inner := next((word for word in words[1:] if " " in word and "train.py" in word.split()), None):
        return f"give that command itself: --runner {shlex.quote(inner)}"
    if script := next((word for word in words[1:] if word.endswith(".py")), None):
        return f"write train.py in the place of {script!r}: the experiment's script has this name"
    return 'for example: --runner "python train.py"'


def variables(template: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the runner sets for its program, as `LR=0.1 python train.py` does."""
    return read_runner(template, command_line.home_of(environment)).variables


def program(template: str, environment: Mapping[str, str], cwd: str) -> str:
    """Return the runner's program as an absolute path. Raises RunnerNotFound and UsageError."""
    line = read_runner(template, command_line.home_of(environment))
    return find(line.words[0], {**environment, **line.variables}, cwd, "--runner")


def find(name: str, environment: Mapping[str, str], cwd: str, option: str) -> str:
    """Return the program `name` as an absolute path. Raises RunnerNotFound, which names the option."""
    path = programs.located(name, environment, cwd)
    if path is not None:
        return path
    what = option.strip("-")
    if os.sep in name:
        at = os.path.join(cwd, name)
        raise RunnerNotFound(
            f"the {what} {name!r} is not an executable file (looked at {at})", f"check {option}'s path"
        )
    # As Debian has it: a python3 and no python, unless an environment is active.
    other = name == "python" and programs.on_path("python3", environment, cwd)
    mend = f"let {option} begin with python3" if other else f"give {option} an absolute path"
    raise RunnerNotFound(
        f"the {what}'s program {name!r} is not on PATH",
        f"activate the project's environment, or {mend}",
    )


def command(
    settings: Settings,
    environment: Mapping[str, str],
    experiment: Experiment,
    run: Run,
    origin: str | None = None,
) -> tuple[str, ...]:
    """Return the whole command line of an attempt, with the script's path and the run's folder put in."""
    cwd = str(experiment.project)
    script = str(script_place.script(experiment, run, settings, origin))
    argv = [
        script if argument in SCRIPTS else argument.replace("{run_dir}", str(run.job))
        for argument in read_runner(settings.runner, command_line.home_of(environment)).words
    ]
    return (program(settings.runner, environment, cwd), *argv[1:])
