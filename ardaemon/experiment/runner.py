"""Splits the runner's template as a shell would, and makes the command line of one attempt of it."""

import os
import shlex
import shutil
from collections.abc import Mapping

from ardaemon.core.errors import RunnerNotFound, UsageError
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Settings

SCRIPTS = ("train.py", "{train}")


def split_runner(template: str) -> list[str]:
    """Return the template's arguments. Raises UsageError unless exactly one of them is the script."""
    try:
        argv = shlex.split(template)
    except ValueError as error:
        raise UsageError(f"--runner {template!r} cannot be split: {error}", "check its quotes") from error
    count = sum(argument in SCRIPTS for argument in argv)
    if count != 1 or argv[0] in SCRIPTS:
        raise UsageError(
            f"--runner {template!r} must name train.py (or {{train}}) once, after the program; found {count}",
            'for example: --runner "python train.py"',
        )
    return argv


def program(template: str, environment: Mapping[str, str], cwd: str) -> str:
    """Return the runner's program as an absolute path. Raises RunnerNotFound and UsageError."""
    return find(split_runner(template)[0], environment, cwd, "--runner")


def find(name: str, environment: Mapping[str, str], cwd: str, option: str) -> str:
    """Return the program `name` as an absolute path. Raises RunnerNotFound, which names the option."""
    what = option.strip("-")
    if os.sep in name:
        path = os.path.join(cwd, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        raise RunnerNotFound(
            f"the {what} {name!r} is not an executable file (looked at {path})", f"check {option}'s path"
        )
    path_of_program = _on_path(name, environment, cwd)
    if path_of_program is None:
        # As Debian has it: a python3 and no python, unless an environment is active.
        other = name == "python" and _on_path("python3", environment, cwd)
        mend = f"let {option} begin with python3" if other else f"give {option} an absolute path"
        raise RunnerNotFound(
            f"the {what}'s program {name!r} is not on PATH",
            f"activate the project's environment, or {mend}",
        )
    return path_of_program


def _on_path(name: str, environment: Mapping[str, str], cwd: str) -> str | None:
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    # Relative folders are relative to the project, where the job runs, not to the daemon's working directory.
    return shutil.which(name, path=os.pathsep.join(os.path.join(cwd, f) for f in folders))


def command(
    settings: Settings, environment: Mapping[str, str], experiment: Experiment, run: Run
) -> tuple[str, ...]:
    """Return the whole command line of an attempt, with the script's path and the run's folder put in."""
    cwd = str(experiment.project)
    script = str(experiment.train if settings.exec == "live" else run.script)
    argv = [
        script if argument in SCRIPTS else argument.replace("{run_dir}", str(run.job))
        for argument in split_runner(settings.runner)
    ]
    return (program(settings.runner, environment, cwd), *argv[1:])
