"""The overseer looks at the machine, and takes what it sees to the book of GPUs, the board and the runs."""

import time

import anyio
from msgspec.structs import replace

from ardaemon.core.errors import Refused
from ardaemon.core.gpus import Inventory
from ardaemon.gpus.nvml import Nvml
from ardaemon.machine.leasing import WAITING_EVERY_S, Leasing
from ardaemon.machine.sick_gpus import SickGpus
from ardaemon.measuring.sampler import Sampler, Tick
from ardaemon.queue.board import Board
from ardaemon.queue.control import Control

DRAINING_EVERY_S = 0.1  # a run has just ended, and the next waits for its memory to be given back
RELEASED_S = 60.0  # for a reset or a change of MIG; nvidia-smi takes seconds
NONE_S = 60.0  # somebody may load a driver
FREE_STEP_MB = 64.0
LOOK_S = 2.0  # a client waits so long for a driver that is slow; then it gets what is known


class Overseer:
    """Look at the GPUs and the runs on them. Changed by code of the event loop only."""

    def __init__(self, board: Board, leasing: Leasing, sick: SickGpus, control: Control) -> None:
        self.board, self.gpus, self.control = board, board.placement.gpus, control
        self.leasing, self.sick = leasing, sick
        self.nvml = Nvml(heard=sick.heard)
        self.sampler = Sampler(self.nvml.read, self.on_tick, self.nvml.stop, self.every)
        self._seen_before: object = None  # the cards at the last tick

    async def rest(self) -> None:
        """Write what is held back of the samples: the daemon stops."""
        await self.sampler.close()

    def close(self) -> None:
        """Let go of the driver."""
        self.nvml.close()

    # --- looks ---

    def every(self) -> float | None:
        """Return how often (seconds) a look is wanted by a run that waits; None if none waits for a GPU."""
        if not self.board.wants_gpus():
            return None
        return DRAINING_EVERY_S if self.gpus.draining else WAITING_EVERY_S

    def on_tick(self, tick: Tick) -> None:
        """Pass on what a tick saw: GPUs to the book, breaches of a limit to their runs."""
        if tick.inventory is not None:
            self._seen(tick.inventory, tick)
        for flight in list(self.board.flights.values()):
            if flight.handle is not None and (breach := tick.breaches.get(flight.handle.folder)) is not None:
                self.control.limit(flight, breach.limit)

    def _seen(self, inventory: Inventory, tick: Tick) -> None:
        now, tenants = time.monotonic(), self.board.placement.tenants()
        waited = not self.gpus.is_fresh(now)
        freed = self.gpus.look(inventory, tick.holders, tenants, now)
        freed |= self.leasing.look(now)
        cards = self.gpus.cards(tenants, self.board.placement.in_quarantine)
        # Memory in steps, so that not every megabyte is news.
        seen = [(c.uuid, c.state, c.free_mb and c.free_mb // FREE_STEP_MB) for c in cards]
        if waited or freed or seen != self._seen_before:
            self._seen_before = seen
            self.board.wake_waiting()

    # --- what is known ---

    async def look(self, thorough: bool = False) -> Inventory:
        """Return the GPUs as they are now; as they were at the last look, if NVML takes too long."""
        self.sampler.ask()
        with anyio.move_on_after(LOOK_S):
            self.on_tick(await self.sampler.tick(thorough))
        inventory = self.gpus.inventory
        return inventory or Inventory(state="unknown", at=0.0, why=f"NVML has not answered for {LOOK_S:g} s")

    async def release(self) -> None:
        """Let go of the driver, so that a GPU can be reset; refused while a run needs it."""
        flights = [f for f in self.board.placement.seated.values() if f.seat.cards]
        busy = [f"{f.experiment.slug}/{f.run.run_id}" for f in flights]
        if busy:
            raise Refused(
                f"{', '.join(busy[:3])} on a GPU: the driver is needed", "wait for it, or arctl cancel"
            )
        await self.nvml.release(RELEASED_S)

    async def inventory(self) -> Inventory:
        """Return the GPUs there are; look if none are known, or none were there a minute ago (NONE_S)."""
        inventory = self.gpus.inventory
        match inventory:
            case Inventory(state="ok"):
                return inventory
            case Inventory(state="none", at=at) if time.monotonic() - at < NONE_S:
                return inventory
        return await self.look()

    async def usable(self) -> Inventory:
        """Return the known GPUs less those that config.toml leaves to others."""
        inventory = await self.inventory()
        return replace(inventory, gpus=tuple(gpu for gpu in inventory.gpus if self.gpus.is_ours(gpu)))

    async def clear(self, names: tuple[str, ...]) -> list[str]:
        """Let GPUs that a person has looked at be used again. Returns which were sick. Raises UsageError."""
        return await self.sick.clear(names, self.nvml)
