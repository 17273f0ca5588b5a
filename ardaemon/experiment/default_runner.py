"""Chooses the command that runs train.py where nobody has named one: what a person would type in that shell.

The choice is made once, at the session's start, and is written into the session as a path that means the same
in every shell. So no run depends on what happens to be active where it is submitted, and none is run by
ardaemon's own Python because that stands first on PATH. First comes an environment that is active, then what
lies in the project, then the machine's python3.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ardaemon.core import programs
from ardaemon.core.errors import RunnerNotFound
from ardaemon.core.layout import Experiment
from ardaemon.experiment.script_place import in_subfolder

ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")  # set by what activates an environment
CONDA_NAME, CONDA_BASES = "CONDA_DEFAULT_ENV", ("base", "root")
UV_LOCK, UV_ENVIRONMENT = "uv.lock", "UV_PROJECT_ENVIRONMENT"
ENVIRONMENT = ".venv"
PYTHONS = ("python", "python3")  # of an environment, in its bin/
SCRIPT = "train.py"


class Choice(NamedTuple):
    """A runner, why it is that one, and what a person should know of it."""

    runner: str
    why: str
    warning: str = ""


class Passed(NamedTuple):
    """What would have come first, and why it was passed over."""

    why: str


class Around(NamedTuple):
    """What the choice is made from: the shell's environment, the project, and whose Python not to take."""

    environment: Mapping[str, str]
    project: str
    folders: tuple[str, ...]  # of the project, in which its environment may lie: the nearest first
    own: str | None = None  # the environment that the daemon runs in


class DefaultRunner:
    """The runner of a session that names none; it is looked for when it is asked for."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self.said: tuple[str, ...] = ()  # which one was chosen and why; nothing where one was named
        self.warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, experiment: Experiment, environment: Mapping[str, str], origin: str | None
    ) -> "DefaultRunner":
        """Make that of an experiment whose train.py comes from `origin`."""
        project = str(experiment.project)
        folders = project_folders(project, origin)
        return cls(Around(environment, project, folders, programs.own_environment()))

    def __call__(self) -> str:
        """Return the runner. Raises RunnerNotFound if there is no Python that could be it."""
        choice, passed = choose(self._around)
        self.said = (f"runner chosen: {choice.why}; for another one: --runner COMMAND",)
        self.warnings = tuple(filter(None, [*passed, choice.warning]))
        return choice.runner


def project_folders(project: str, origin: str | None) -> tuple[str, ...]:
    """Return the folder of the script and those above it, up to the project's root; else the root alone."""
    if not in_subfolder(origin):
        return (project,)
    parts = Path(origin or "").parent.parts
    return tuple(os.path.join(project, *parts[:count]) for count in range(len(parts), -1, -1))


def choose(around: Around) -> tuple[Choice, list[str]]:
    """Return the first choice that there is, and why others were passed over. Raises RunnerNotFound."""
    passed: list[str] = []
    for offer in _offers(around):
        if isinstance(offer, Choice):
            return offer, passed
        passed.append(offer.why)
    raise RunnerNotFound(
        "; ".join([f"no Python was found to run {SCRIPT} with: no python3 on PATH", *passed]),
        "activate the project's environment, or name its Python: --runner '/path/to/python train.py'",
    )


def _offers(around: Around) -> Iterator[Choice | Passed]:
    active = _active(around)
    bases = [name for name in active if _is_base(name, around.environment)]
    for name in active:
        if name not in bases:
            yield from _of_variable(name, around)
    for folder in around.folders:
        yield from _of_uv(folder, around)
        yield from _of_folder(folder, around)
    for name in bases:
        yield from _of_variable(name, around)
    yield from _of_path(around)


def _active(around: Around) -> list[str]:
    """Return the variables that name an environment; the one whose bin/ comes first on PATH is first."""
    folders = around.environment.get("PATH", "").split(os.pathsep)

    def place(name: str) -> int:
        found = os.path.join(around.environment[name], "bin")
        return folders.index(found) if found in folders else len(folders)

    return sorted((name for name in ACTIVE if around.environment.get(name)), key=place)


def _is_base(name: str, environment: Mapping[str, str]) -> bool:
    """Return whether it is conda's base, which shells activate unasked: it counts after the project's own."""
    return name == "CONDA_PREFIX" and environment.get(CONDA_NAME) in CONDA_BASES


def _of_variable(name: str, around: Around) -> Iterator[Choice | Passed]:
    """Yield the active environment that a variable names, unless it is the daemon's own."""
    folder = os.path.join(around.project, around.environment[name])
    python = _python(folder)
    if python is None:
        yield Passed(f"{name} names {folder}, which has no bin/python")
    elif not programs.is_same(folder, around.own):
        yield Choice(_command(python, around), f"the active environment, {name}={folder}")
    elif not any(programs.is_same(folder, os.path.join(at, ENVIRONMENT)) for at in around.folders):
        command = shlex.quote(_command(python, around))
        yield Passed(
            f"{name} names ardaemon's own environment ({folder}), which is not taken; if it is your project's"
            f" as well: --runner {command}"
        )


def _of_uv(folder: str, around: Around) -> Iterator[Choice | Passed]:
    """Yield uv, where the folder has its lock. What is installed stays as it is, whatever a run edits."""
    lock = os.path.join(folder, UV_LOCK)
    if not os.path.isfile(lock):
        return
    if programs.on_path("uv", around.environment, around.project) is None:
        yield Passed(f"{lock} is there, but uv is not on PATH")
        return
    where = os.path.relpath(folder, around.project)
    words = [] if where == os.curdir else ["--project", where]
    made = os.path.join(folder, around.environment.get(UV_ENVIRONMENT) or ENVIRONMENT)
    missing = f"{made} is not there: call uv sync in {folder} before the first run"
    runner = shlex.join(["uv", "run", "--no-sync", *words, SCRIPT])
    yield Choice(runner, f"{lock} is there", "" if _python(made) else missing)


def _of_folder(folder: str, around: Around) -> Iterator[Choice | Passed]:
    """Yield the environment in a folder of the project, also if ardaemon is installed in it."""
    environment = os.path.join(folder, ENVIRONMENT)
    python = _python(environment)
    if python is not None:
        also = "; ardaemon runs in it, too" if programs.is_same(environment, around.own) else ""
        yield Choice(_command(python, around), f"the project's environment, {environment}{also}")
    elif os.path.isdir(environment):  # its Python was removed, as with an upgrade of the system's
        yield Passed(f"{environment} is there, but no bin/python that works: make it anew")


def _of_path(around: Around) -> Iterator[Choice]:
    """Yield each Python on PATH that is not of the daemon's own environment."""
    for name in reversed(PYTHONS):
        for python in programs.every_on_path(name, around.environment, around.project):
            if not programs.is_of(python, around.own):
                is_ours = around.own is None and programs.is_same(python, sys.executable)
                also = "; ardaemon is installed in it, too" if is_ours else ""
                yield Choice(_command(python, around), f"{name} on PATH{also}")


def _python(environment: str) -> str | None:
    every = (os.path.join(environment, "bin", name) for name in PYTHONS)
    return next(filter(programs.is_executable, every), None)


def _command(python: str, around: Around) -> str:
    """Return the runner with this Python; relative to the project if it lies there, so that both can move."""
    for root in dict.fromkeys((around.project, os.path.realpath(around.project))):
        if python.startswith(root.rstrip(os.sep) + os.sep):
            python = os.path.relpath(python, root)
            break
    return shlex.join([python, SCRIPT])
