"""The checks of a session: commands that a win must pass before it is kept, and the files that they name.

The files that the session's audit names are sealed with them.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ardaemon.core.errors import SealBroken
from ardaemon.core.layout import DAEMON_FILES, Experiment
from ardaemon.core.mends import with_other_files
from ardaemon.core.model import Sealed, Session, Settings
from ardaemon.experiment import runner, seal
from ardaemon.metrics.custom import split_command

SCRIPTS = (".py", ".sh")  # endings of what a check runs; another word may be a file that it writes


def argv(command: str, run_folder: Path | None = None) -> list[str]:
    """Return a check's words, `{run_dir}` put in. Raises UsageError if they cannot be split."""
    words = split_command(command, "--check")
    return words if run_folder is None else [word.replace("{run_dir}", str(run_folder)) for word in words]


def require_programs(settings: Settings, environment: Mapping[str, str], project: str) -> None:
    """Raise RunnerNotFound if the program of a check or the audit is not there: each would fail by that."""
    for command in settings.checks:
        runner.find(argv(command)[0], environment, project, "--check")
    if settings.audit is not None:
        runner.find(argv(settings.audit)[0], environment, project, "--audit")


def slips(settings: Settings, project: Path) -> tuple[str, ...]:
    """Return a line for each script that a check or the audit names and that is not there."""
    fails = "the check fails, and no win is kept, until it is"
    lines = {
        word: f"--check names {word}, which is not in {project}: {fails}" for word in _words(settings.checks)
    }
    for word in _words(of_audit(settings)):
        lines[word] = f"--audit names {word}, which is not in {project}: each audit fails until it is"
    return tuple(
        line
        for word, line in lines.items()
        if word.endswith(SCRIPTS) and "{" not in word and not os.path.lexists(project / word)
    )


def of_audit(settings: Settings) -> tuple[str, ...]:
    """Return the session's audit, if it has one."""
    return () if settings.audit is None else (settings.audit,)


def _words(commands: tuple[str, ...]) -> list[str]:
    return [word for command in commands for word in argv(command)[1:]]


def sealed(experiment: Experiment, settings: Settings) -> tuple[Sealed, ...]:
    """Seal the files of the project that checks and audit name. Raises StorageError if one cannot be read."""
    commands = (*settings.checks, *of_audit(settings))
    names = dict.fromkeys(name for command in commands for name in _files(experiment, argv(command)))
    return tuple(Sealed(name, *seal.hash_named(experiment, name)) for name in names)


def _files(experiment: Experiment, words: list[str]) -> Iterator[str]:
    """Yield the words that name files of the project, relative to the experiment's folder.

    What changes with each run is left out: train.py, and what the daemon writes. So is a link that leads out
    of the project, as to an environment's interpreter.
    """
    project = os.path.realpath(experiment.project)
    for word in words:
        path = os.path.realpath(os.path.join(project, word))
        if os.path.commonpath((project, path)) != project or not os.path.isfile(path):
            continue
        name = os.path.relpath(path, os.path.realpath(experiment.folder))
        if name.partition(os.sep)[0] not in DAEMON_FILES:
            yield name


def changed(experiment: Experiment, session: Session) -> list[str]:
    """Return which files of the session's checks and audit are not as they were sealed, one line each."""
    return seal.differing(experiment, session.checks_sealed)


def require(experiment: Experiment, session: Session) -> None:
    """Raise SealBroken if a file that checks or audit name has changed since the session was started."""
    if faults := changed(experiment, session):
        raise SealBroken(
            f"a file of the session's checks or audit has changed: {'; '.join(faults[:5])}",
            f"put it back, or, if the change is meant: {with_other_files(experiment.slug)}",
        )
