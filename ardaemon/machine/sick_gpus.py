"""Sick GPUs, which take no run until a person has looked at them, whether or not the daemon was restarted."""

import logging
from pathlib import Path

from ardaemon.core.errors import ArdaemonError, StorageError, UsageError
from ardaemon.core.events import GpuQuarantined
from ardaemon.core.gpus import GpuReading, Inventory
from ardaemon.core.layout import boot_id
from ardaemon.core.model import Record
from ardaemon.gpus import health
from ardaemon.gpus.nvml import Nvml
from ardaemon.host import state
from ardaemon.pipeline.flight import Going
from ardaemon.queue.board import Board

ON_IT = ("launching", "running", "exited")

log = logging.getLogger("ardaemon.gpus")


class SickFile(Record, frozen=True, kw_only=True):
    """The content of sick.json, which counts until the next boot: that resets GPUs."""

    boot_id: str
    gpus: dict[str, str]  # UUID -> why


class SickGpus:
    """Put sick GPUs into the placement's quarantine. Changed by code of the event loop only."""

    def __init__(self, file: Path, board: Board) -> None:
        self.file, self.board, self.gpus = file, board, board.placement.gpus
        board.placement.sick = self._sick_before()

    def heard(self, inventory: Inventory) -> None:
        """Look through an answer of NVML, whoever asked for it: the driver reports each Xid once."""
        for gpu in inventory.gpus:
            why = health.quarantine_reason(gpu)
            notes = [*health.run_notes(gpu), *([why] if why else [])]
            for going in self._on(gpu) if gpu.xids or why else ():
                going.notes += tuple(note for note in notes if note not in going.notes)
                going.sick |= why is not None
            if why is not None and gpu.fault is None and gpu.uuid not in self.board.placement.sick:
                mend = f"look at it, then: arctl gpus --clear {gpu.index}"
                self._quarantine(gpu.uuid, f"GPU {gpu.index} is sick: {why}; {mend}")

    def _on(self, gpu: GpuReading) -> list[Going]:
        """Return the attempts on it, or on an instance of it, that are not judged yet."""
        parts = {gpu.uuid, *(other.uuid for other in self.gpus.readings if other.parent == gpu.uuid)}
        at_work = [f.going for f in self.board.flights.values() if f.state in ON_IT]
        return [going for going in at_work if going and not parts.isdisjoint(going.seat.cards)]

    def _sick_before(self) -> dict[str, str]:
        """Return the GPUs that were sick under the daemon before this one, each with the reason."""
        try:
            file = state.read(self.file, SickFile)
        except ArdaemonError as error:  # they are noticed again, should they be sick still
            log.warning("unreadable", extra={"facts": {"why": str(error)}})
            return {}
        return dict(file.gpus) if file is not None and file.boot_id == boot_id() else {}

    def _quarantine(self, uuid: str, why: str) -> None:
        log.warning("quarantined", extra={"facts": {"gpu": uuid, "why": why}})
        self.board.placement.sick[uuid] = why
        self.board.alert(GpuQuarantined(gpu=uuid, why=why))
        self.board.wake_waiting()
        self._write_sick()

    async def clear(self, names: tuple[str, ...], nvml: Nvml) -> list[str]:
        """Let GPUs that a person has looked at be used again, and return those that were sick.

        Raises UsageError for a name that no GPU has.
        """
        wanted = [self._named(name) for name in names]
        lifted = [uuid for uuid in wanted if self.board.placement.sick.pop(uuid, None) is not None]
        for uuid in wanted:
            nvml.forget(uuid)
        if wanted:
            await nvml.stop()  # only a new nvmlInit sees a card that was reset
        if lifted:
            self._write_sick()
            self.board.wake_waiting()
        return lifted

    def _named(self, name: str) -> str:
        for gpu in self.gpus.inventory.gpus if self.gpus.inventory is not None else ():
            if name == gpu.uuid or (name == str(gpu.index) and gpu.parent is None):
                return gpu.uuid
        raise UsageError(f"there is no GPU {name[:80]!r}", "arctl gpus lists them")

    def _write_sick(self) -> None:
        try:
            state.write(self.file, SickFile(boot_id=boot_id(), gpus=self.board.placement.sick), 0o600)
        except StorageError as error:  # the quarantine holds while this daemon lives
            log.warning("not written", extra={"facts": {"why": str(error)}})
