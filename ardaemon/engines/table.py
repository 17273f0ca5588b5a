"""The engines of this daemon, by name, as one: the code above asks it, and never which engine has a run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ardaemon.core.errors import UnknownSchema
from ardaemon.core.layout import Run
from ardaemon.core.queue import Seat, Stranger
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Engine, Finished, Launch, Lost, NeverStarted, Probe, Started
from ardaemon.gpus.lease import Taken


class Engines:
    """Passes what concerns an attempt to the engine that its handle names, and all else to each engine."""

    def __init__(self, rows: Mapping[str, Engine], default: str) -> None:
        """`rows` has the engines by their names; `default` is the engine of every new attempt."""
        self.rows, self.default = rows, rows[default]

    def _of(self, handle: Handle) -> Engine:
        engine = self.rows.get(handle.engine)
        if engine is None:
            wrong = f"{Path(handle.folder).parent / 'run.json'} names the engine {handle.engine[:80]!r}"
            mend = "it was written by a newer ardaemon: upgrade this one"
            raise UnknownSchema(f"{wrong}, which this version does not have", mend)
        return engine

    # --- one attempt ---

    def handle(self, run: Run, attempt: int) -> Handle:
        """Name the attempt before it is started."""
        return self.default.handle(run, attempt)

    def check(self, handle: Handle) -> None:
        """Check a handle that was read from run.json. Raises CorruptState or UnknownSchema."""
        self._of(handle).check(handle)

    async def start(self, launch: Launch) -> Started | Taken | None:
        """Start an attempt on its seat."""
        return await self._of(launch.handle).start(launch)

    def probe(self, handle: Handle) -> Probe:
        """Return how the attempt stands."""
        return self._of(handle).probe(handle)

    async def begun(self, handle: Handle) -> Probe:
        """Wait until the attempt has begun or is over, and return how it stands."""
        return await self._of(handle).begun(handle)

    async def ended(self, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait until the attempt is over."""
        return await self._of(handle).ended(handle)

    async def stop(self, handle: Handle) -> None:
        """Ask for the attempt's end."""
        await self._of(handle).stop(handle)

    def waits(self, handle: Handle) -> str | None:
        """Return what keeps an attempt whose job has ended; None if nothing does."""
        return self._of(handle).waits(handle)

    def hold(self, handle: Handle, seat: Seat) -> None:
        """Keep the attempt's seat from others while anything of it lives."""
        self._of(handle).hold(handle, seat)

    async def keep(self, handle: Handle) -> None:
        """Keep the GPUs of an attempt that is over from others."""
        await self._of(handle).keep(handle)

    def forget(self, handle: Handle) -> None:
        """Remove what was kept to find the attempt again."""
        self._of(handle).forget(handle)

    # --- all of them ---

    def strangers(self, known: Iterable[Handle]) -> list[Stranger]:
        """List the attempts that still run and are none of `known`."""
        handles = list(known)
        return [
            stranger
            for name, engine in self.rows.items()
            for stranger in engine.strangers([handle for handle in handles if handle.engine == name])
        ]

    async def keep_ready(self) -> None:
        """Prepare each engine for the next launch. Raises OSError."""
        for engine in self.rows.values():
            await engine.keep_ready()

    def sweep(self, known: Iterable[Handle]) -> None:
        """Remove what earlier daemons left of attempts that are over."""
        handles = list(known)
        for name, engine in self.rows.items():
            engine.sweep([handle for handle in handles if handle.engine == name])

    def close(self) -> None:
        """Let go of what was kept ready; attempts go on."""
        for engine in self.rows.values():
            engine.close()
