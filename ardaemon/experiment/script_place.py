"""Where a version of the script is executed: in a place that looks to it like the one it was taken from.

An experiment remembers the `origin` of its train.py: the path that `arctl init` took it from, relative to the
project if it lies there. The snapshot of a run is executed below PLACE in the job's own folder, under the
origin's name and at the same depth below the project's root; what lies beside the original, and beside each
folder on the way, is linked there. `--exec live` executes a copy in the original's own folder instead, if
that is the project's.

Without an origin (earlier versions, a draft in .autoresearch/) the script is job/train.py, and with `--exec
live` the experiment's train.py.
"""

import os
from itertools import islice
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.core.config import NEIGHBOURS_MAX
from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import DAEMON_FILES, Experiment, Run
from ardaemon.core.model import Settings
from ardaemon.core.places import FOLDER
from ardaemon.core.project import GIT
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import train_file
from ardaemon.host import durable

PLACE = "project"  # in the job's folder
LOCK = ".lock"  # what uv adds to a script's name for the lock of its dependencies (uv lock --script)
PREPARE = "prepare.py"
# What the copy finds where it is, further up: git would take a folder with a .git in it for a checkout.
NOT_LINKED = frozenset({GIT, FOLDER, "__pycache__"})


def origin_of(train: Path, project: Path) -> str | None:
    """Return the origin of a script, links resolved as the interpreter does; None for a draft of ours."""
    real, root = os.path.realpath(train), os.path.realpath(project)
    if not real.startswith(root.rstrip(os.sep) + os.sep):
        return real
    inside = os.path.relpath(real, root)
    return None if inside.split(os.sep)[0] == FOLDER else inside


def checked(origin: str | None) -> str | None:
    """Return the origin if it can be one: a path in the project, or an absolute one; else None."""
    if origin is None or os.path.normpath(origin) != origin or not os.path.basename(origin):
        return None
    return None if origin.split(os.sep)[0] in (os.curdir, os.pardir, FOLDER) else origin


def in_subfolder(origin: str | None) -> bool:
    """Tell whether the script comes from a folder below the project's root: the root is not on its path."""
    return origin is not None and not os.path.isabs(origin) and os.sep in origin


def levels(origin: str) -> tuple[str, ...]:
    """Return the folders of the place that are laid out, "" first, each relative to the project's root."""
    if os.path.isabs(origin):
        return ("",)
    parts = Path(origin).parent.parts
    return tuple(os.path.join("", *parts[:count]) for count in range(len(parts) + 1))


def real(experiment: Experiment, origin: str, level: str) -> Path:
    """Return the folder for which a level of the place stands."""
    return Path(origin).parent if os.path.isabs(origin) else experiment.project / level


def folder(experiment: Experiment, origin: str) -> Path:
    """Return the folder of the original."""
    return real(experiment, origin, levels(origin)[-1])


def package(experiment: Experiment, origin: str) -> tuple[str, tuple[str, ...]]:
    """Return the package of which the original is a module: where that lies, and its name's parts.

    Its folders are those with an __init__.py; where none has one, all below the project's root.
    """
    parts = Path(origin).parent.parts
    marked = [(real(experiment, origin, level) / "__init__.py").exists() for level in levels(origin)[1:]]
    count = next((place for place, mark in enumerate(reversed(marked)) if not mark), len(marked))
    split = len(parts) - (count or len(parts))
    return os.path.join("", *parts[:split]), parts[split:]


def neighbours(folder: Path) -> list[str]:
    """Return what lies in a folder that the copy is to find; of a folder that is away, nothing.

    At most NEIGHBOURS_MAX names are linked; one more says that there are more.
    """
    try:
        names = (one.name for one in listing(str(folder), Look(folder), follow=True))
        return sorted(islice((name for name in names if name not in NOT_LINKED), NEIGHBOURS_MAX + 1))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def siblings(experiment: Experiment) -> list[str]:
    """Return what lies beside train.py in the experiment and is the project's, by its names."""
    entries = listing(str(experiment.folder), Look(experiment.folder), follow=True)
    names = sorted({one.name for one in entries} - DAEMON_FILES)
    return [name for name in names if not name.startswith(".") and name not in NOT_LINKED]


def notes(experiment: Experiment, origin: str | None) -> list[str]:
    """Return a line, for `arctl init` and each submit, for each folder of which not all can be linked."""
    own = experiment.folder
    beside = len(siblings(experiment))
    more = [
        f"{own} holds {beside} names beside train.py: a run's copy finds the first {NEIGHBOURS_MAX} of them;"
        " keep data in a folder of its own"
    ]
    return [*(more if beside > NEIGHBOURS_MAX else ()), *_beside_original(experiment, origin)]


def _beside_original(experiment: Experiment, origin: str | None) -> list[str]:
    folders = [real(experiment, origin, level) for level in levels(origin)] if origin is not None else []
    return [
        f"{folder} holds more than {NEIGHBOURS_MAX} names: a run's copy of train.py finds no others beside"
        " itself; keep data in a folder of its own, or use --exec live"
        for folder in folders
        if len(neighbours(folder)) > NEIGHBOURS_MAX
    ]


def snapshot(run: Run, origin: str | None) -> Path:
    """Return the path of the snapshot that is executed."""
    if origin is None:
        return run.script
    inside = os.path.basename(origin) if os.path.isabs(origin) else origin
    return run.job / PLACE / inside


def live(experiment: Experiment, origin: str | None) -> Path:
    """Return the path of what `--exec live` executes."""
    if origin is None or os.path.isabs(origin):
        return experiment.train
    original = experiment.project / origin
    return original.with_name(f".ar-{experiment.slug}-{original.name}")


def script(experiment: Experiment, run: Run, settings: Settings, origin: str | None) -> Path:
    """Return the path of what a run executes under these settings."""
    return live(experiment, origin) if settings.exec == "live" else snapshot(run, origin)


def rewritten(experiment: Experiment, run: Run, record: RunRecord) -> bool:
    """Tell whether the file that a run has executed holds another text than the run's version.

    A worker that was started later, or the script started anew, may have executed that text.
    """
    path = script(experiment, run, record.settings, record.origin)
    return os.path.lexists(path) and train_file.hash_at(path) != record.sha256


def clear_live(experiment: Experiment, settings: Settings, origin: str | None) -> None:
    """Remove the copy in the original's folder, which nothing needs after a run."""
    copy = live(experiment, origin)
    if settings.exec == "live" and copy != experiment.train:
        for path in (copy, lock_of(copy)):
            durable.remove(path)


def lock_of(path: Path) -> Path:
    """Return the path of uv's lock of a script."""
    return path.with_name(path.name + LOCK)


def live_faults(experiment: Experiment, settings: Settings, origin: str | None) -> list[str]:
    """Return a line if `--exec live` would import another prepare.py than the one that is sealed."""
    place = live(experiment, origin)
    if settings.exec != "live" or place == experiment.train or not experiment.prepare.exists():
        return []
    other = place.with_name(PREPARE)
    try:
        same = files.read(other, file_kinds.PREPARE) == files.read(experiment.prepare, file_kinds.PREPARE)
    except FileNotFoundError:
        same = True
    return [] if same else [f"{other}, which --exec live imports, is not the experiment's prepare.py"]
