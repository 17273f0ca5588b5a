"""What waits for something in its way goes on as soon as that is gone, long before the next try is due."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from ardaemon.core.errors import StorageError
from ardaemon.host import state
from ardaemon.host.disk import Disks
from ardaemon.pipeline.patience import Patience

LONG_S, SHORT_S = 3600.0, 20.0  # until the next try is due; and until this test gives up


def refused(path: Path) -> StorageError:
    """The error of a write to a path where a folder stands."""
    with pytest.raises(StorageError) as caught, state.storage("write", path):
        path.open("wb")
    return caught.value


async def waited(error: StorageError, mend: Any) -> None:
    """Wait as a flight does, and mend meanwhile."""
    flight: Any = SimpleNamespace(nudged=anyio.Event(), experiment=SimpleNamespace(project=Path("/")))
    unused = cast("Any", None)
    patience = Patience(unused, unused, unused, Disks(), unused)
    with anyio.fail_after(SHORT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(patience._until_changed, flight, error, LONG_S)
            while not mend(flight):  # noqa: ASYNC110 nobody tells that it has begun to watch
                await anyio.sleep(0.05)


def watches() -> set[Path]:
    """Return the descriptors of this process with which folders are watched."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found |= {path} if "inotify" in str(path.readlink()) else set()
    return found


def test_a_change_where_the_thing_stands_ends_the_wait(tmp_path: Path) -> None:
    thing = tmp_path / "best.json"
    thing.mkdir()
    error, before = refused(thing), watches()

    def moved(_: object) -> bool:
        watching = bool(watches() - before)
        if watching:
            thing.rename(tmp_path / "old")
        return watching

    anyio.run(waited, error, moved)


def test_a_nudge_ends_it_where_no_folder_can_be_watched(tmp_path: Path) -> None:
    error = StorageError("the disk is full")

    def nudged(flight: Any) -> bool:
        flight.nudged.set()
        return True

    anyio.run(waited, error, nudged)
