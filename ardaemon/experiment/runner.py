"""The runner's template: split as a shell would, and made the command line of one attempt."""

import os
import shlex
import shutil
from collections.abc import Mapping

from ardaemon.core.errors import RunnerNotFound, UsageError
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Settings

SCRIPTS = ("train.py", "{train}")


def split_runner(template: str) -> list[str]:
    """The template's arguments. Raises UsageError unless exactly one of them is the script."""
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
    """The runner's program as an absolute path. Raises RunnerNotFound."""
    name = split_runner(template)[0]
    if os.sep in name:
        path = os.path.join(cwd, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        raise RunnerNotFound(
            f"the runner {name!r} is not an executable file (looked at {path})", "check --runner's path"
        )
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    # Relative to the project, where the job runs, not to where the daemon happens to be.
    found = shutil.which(name, path=os.pathsep.join(os.path.join(cwd, folder) for folder in folders))
    if found is None:
        raise RunnerNotFound(
            f"the runner's program {name!r} is not on PATH",
            "activate the project's environment, or give --runner an absolute path",
        )
    return found


def command(
    settings: Settings, environment: Mapping[str, str], experiment: Experiment, run: Run
) -> tuple[str, ...]:
    """The whole command line: the script's path put in, {run_dir} replaced, no shell."""
    cwd = str(experiment.project)
    script = str(experiment.train if settings.exec == "live" else run.train)
    argv = [
        script if argument in SCRIPTS else argument.replace("{run_dir}", str(run.folder))
        for argument in split_runner(settings.runner)
    ]
    return (program(settings.runner, environment, cwd), *argv[1:])
