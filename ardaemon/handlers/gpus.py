"""gpu.list: the GPUs, who is on them, and whether they take runs."""

from ardaemon.core import protocol as p
from ardaemon.core.gpus import GpuReading
from ardaemon.core.measured import Holder
from ardaemon.core.queue import Card
from ardaemon.handlers.context import Context
from ardaemon.machine.overseer import RELEASED_S
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.placement import Placement
from ardaemon.rpc.dispatch import Notify

HOLDERS_MAX = 64  # of one GPU: an answer has its limit


class Gpus:
    """The methods on GPUs."""

    def __init__(self, context: Context) -> None:
        self.context, self.placement = context, context.board.placement

    async def gpu_list(self, params: p.ListGpus, _: Notify) -> p.GpuList:
        """List the GPUs as they are at this moment, with who is on them."""
        overseer = self.context.overseer
        if params.release:
            return await self._release()
        if params.clear:
            await overseer.look()  # to know them by their index
        lifted = [f"{uuid} may be used again" for uuid in await overseer.clear(params.clear)]
        inventory = await overseer.look(thorough=True)
        gpus, place = views(self.placement), overseer.leasing.place
        return p.GpuList(
            gpus=gpus,
            state=inventory.state,
            why=inventory.why,
            driver=inventory.driver,
            warnings=(*lifted, *([place.warning] if place.warning and gpus else [])),
        )

    async def _release(self) -> p.GpuList:
        await self.context.overseer.release()
        why = f"let go of for {RELEASED_S:g} s"
        return p.GpuList(gpus=(), state="unknown", why=why)


def views(placement: Placement) -> tuple[p.GpuView, ...]:
    """Return the GPUs as they were at the last look, with who is on them."""
    pairs = zip(placement.gpus.readings, placement.cards(), strict=True)
    return tuple(_view(placement, gpu, card) for gpu, card in pairs)


def _view(placement: Placement, gpu: GpuReading, card: Card) -> p.GpuView:
    return p.GpuView(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        state=card.state,
        why=card.occupant or None,
        parent=gpu.parent,
        total_mb=gpu.total_mb,
        used_mb=gpu.used_mb,
        utilisation=gpu.utilisation,
        temperature=gpu.temperature,
        power_w=gpu.power_w,
        holders=(*_runs(placement, gpu), *_others(placement, gpu))[:HOLDERS_MAX],
    )


def _runs(placement: Placement, gpu: GpuReading) -> list[p.GpuHolder]:
    there = placement.gpus.holders.get(gpu.uuid) or ()
    flights = [f for f in placement.seated.values() if gpu.uuid in f.seat.cards]
    return [_holder(flight, there) for flight in flights]


def _others(placement: Placement, gpu: GpuReading) -> list[p.GpuHolder]:
    """List the processes that are of no run of ours: those that draw as well."""
    there = placement.gpus.holders.get(gpu.uuid) or ()
    return [
        p.GpuHolder(pid=h.pid, user=h.user or None, name=h.name or None, used_mb=h.used_mb)
        for h in there
        if h.owner is None
    ]


def _holder(flight: Flight, there: tuple[Holder, ...]) -> p.GpuHolder:
    folder = flight.handle.folder if flight.handle is not None else None
    sizes = [h.used_mb for h in there if folder is not None and h.owner == folder]
    measured = [size for size in sizes if size is not None]
    return p.GpuHolder(
        expr=flight.experiment.slug,
        run_id=flight.run.run_id,
        used_mb=sum(measured) if len(measured) == len(sizes) else None,
    )
