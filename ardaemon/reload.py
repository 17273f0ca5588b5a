"""Takes up config.toml whenever it has changed, without a restart; a broken one changes nothing.

The kernel tells when something changes in the file's folder, in the one above (the folder may be made later),
and in the folder of each link on the way to it. Nothing is looked at in between. On a network disk the kernel
does not tell what another machine has written: there a restart takes it up.
"""

import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.core import config_file
from ardaemon.core.config import Config
from ardaemon.core.errors import UsageError
from ardaemon.core.events import ConfigTaken
from ardaemon.core.live_config import LiveConfig
from ardaemon.host.folder_events import FolderEvents
from ardaemon.queue.board import Board

LINKS_MAX = 40  # on one way: open(2) follows no more
SETTLE_S = 0.2  # an editor saves in several steps, and puts the file aside in one of them

log = logging.getLogger("ardaemon.daemon")


async def keep_current(path: str, config: LiveConfig, board: Board) -> None:
    """Take up the file at each change. Where the kernel gives no watch, say so, and leave it at that."""
    while True:
        try:
            events = FolderEvents(await anyio.to_thread.run_sync(_folders, path))
        except OSError as error:
            why = f"{path} is not watched: {error.strerror}"
            log.warning(
                "config", extra={"facts": {"why": why, "mend": "after a change: arctl daemon restart"}}
            )
            return
        try:
            await _take_up(path, config, board)  # watched by now: no change is missed
            await events.changed()
        finally:
            events.close()
        await anyio.sleep(SETTLE_S)


def _folders(path: str) -> list[Path]:
    """Return the folders in which something may happen to the file: it need not be there yet."""
    folder = Path(path).parent
    while not folder.is_dir():
        folder = folder.parent
    return list({folder, folder.parent, *_ways(Path(path))})


def _ways(path: Path) -> Iterator[Path]:
    """Yield the folder of each link on the way to the file, for it may be led elsewhere, and the file's."""
    for _ in range(LINKS_MAX):
        link = next((part for part in (*reversed(path.parents), path) if part.is_symlink()), None)
        if link is None:
            break
        yield link.parent
        path = link.parent / os.readlink(link) / path.relative_to(link)
    yield path.parent


async def _take_up(path: str, config: LiveConfig, board: Board) -> None:
    try:
        loaded = await anyio.to_thread.run_sync(partial(config_file.load, path, config.variables))
    except UsageError as error:
        if error.message != config.fault:
            config.fault = error.message
            facts = {"why": error.message, "mend": f"the settings of before hold; {error.mend}"}
            log.warning("config refused", extra={"facts": facts})
        return
    had_fault, waited = config.fault, config.waiting
    changed = config.take(loaded.config)
    if changed or had_fault:
        log.info("config", extra={"facts": {"file": path, "changed": list(changed)}})
        apply(config.now, board)
        board.alert(ConfigTaken(changed=changed))
    if config.waiting and config.waiting != waited:
        facts = {"why": f"{', '.join(config.waiting)}: not for runs at work", "mend": "arctl daemon restart"}
        log.warning("config waits", extra={"facts": facts})


def apply(config: Config, board: Board) -> None:
    """Hand on what is not read from the settings each time: hours, slots and GPUs; who waits looks again."""
    board.gate.hours = config.daily()
    board.placement.renew(config)
    board.wake_waiting()
