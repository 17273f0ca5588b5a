"""Looks whether --max-log can be kept where an experiment lies, before a night relies on it."""

import os

from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.core.size import written
from ardaemon.host import durable, holes, operations, state


def doubts(experiment: Experiment, settings: Settings) -> tuple[str, ...]:
    """Say why the logs of this experiment will have no limit all the same; nothing where they will.

    Raises StorageError if the disk takes no file.
    """
    if settings.max_log is None:
        return ()
    with state.storage("write to", experiment.folder):
        why = _try(experiment)
    if why is None:
        return ()
    where = f"the file system of {experiment.folder} gives no part of a file back ({why})"
    return (f"--max-log {written(settings.max_log)} cannot be kept: {where}; the logs there have no limit",)


def _try(experiment: Experiment) -> str | None:
    """Punch a hole into a file, as the shim will, and return what the kernel says if it refuses."""
    with durable.staged(experiment.folder / "hole", bytes(2 * holes.BLOCK), sync=False) as temporary:
        fd = operations.reopen(temporary)
        try:
            holes.punch(fd, 0, holes.BLOCK)
            return None
        except OSError as error:
            return error.strerror
        finally:
            os.close(fd)
            durable.remove(temporary)
