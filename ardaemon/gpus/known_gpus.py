"""What is made of NVML's answers over time: who has gone, who fails again and again. Pure."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ardaemon.core.gpus import GpuReading

GONE = "gone"  # the fault of a GPU that NVML listed once and does not list now
Known = Mapping[str, GpuReading]


def named(seen: Iterable[GpuReading], known: Known) -> list[GpuReading]:
    """What a sick GPU does not tell of itself is as it was; without a UUID, it is the one at its index."""
    seen = list(seen)
    told = {gpu.uuid for gpu in seen}
    missing = {gpu.index: gpu for gpu in known.values() if gpu.uuid not in told and gpu.parent is None}
    return [_completed(gpu, known.get(gpu.uuid) if gpu.uuid else missing.get(gpu.index)) for gpu in seen]


def _completed(gpu: GpuReading, before: GpuReading | None) -> GpuReading:
    if gpu.fault is None and gpu.error is None:
        return gpu
    if before is None:
        return replace(gpu, uuid=gpu.uuid or _stand_in(gpu))
    total = before.total_mb if gpu.total_mb is None else gpu.total_mb
    return replace(
        gpu, uuid=before.uuid, name=gpu.name or before.name, mig=gpu.mig or before.mig, total_mb=total
    )


def _stand_in(gpu: GpuReading) -> str:
    """Name a GPU that has never told its UUID."""
    return f"index-{gpu.index}"


def with_gone(seen: list[GpuReading], known: Known) -> list[GpuReading]:
    """And those that are not there any more, never silently absent. Instances are as sick as their GPU."""
    told = {gpu.uuid: gpu for gpu in seen}
    sick = {gpu.uuid: gpu for gpu in seen if gpu.fault is not None or gpu.error is not None}
    missing = [gpu for uuid, gpu in known.items() if uuid not in told and uuid != _stand_in(gpu)]
    return seen + [_as_its(sick[gpu.parent], gpu) if gpu.parent in sick else gone(gpu) for gpu in missing]


def _as_its(parent: GpuReading, instance: GpuReading) -> GpuReading:
    return replace(blank(instance), fault=parent.fault, error=parent.error)


def gone(gpu: GpuReading) -> GpuReading:
    """It was there and is not now."""
    return replace(blank(gpu), fault=GONE)


def blank(gpu: GpuReading) -> GpuReading:
    """Which GPU it is, and its last fault; nothing that is measured."""
    return GpuReading(
        uuid=gpu.uuid,
        index=gpu.index,
        name=gpu.name,
        parent=gpu.parent,
        mig=gpu.mig,
        total_mb=gpu.total_mb,
        fault=gpu.fault,
    )


def struck(seen: Iterable[GpuReading], before: Mapping[str, int]) -> dict[str, int]:
    """How many times in a row each GPU has failed with an error that says nothing."""
    return {gpu.uuid: before.get(gpu.uuid, 0) + 1 for gpu in seen if gpu.error is not None}


def judged(seen: Iterable[GpuReading], strikes: Mapping[str, int], tries: int) -> list[GpuReading]:
    """An error that has lasted for so many tries is a fault."""
    return [
        replace(gpu, fault=gpu.fault or gpu.error) if strikes.get(gpu.uuid, 0) >= tries else gpu
        for gpu in seen
    ]


def none_works(seen: Iterable[GpuReading], strikes: Mapping[str, int], tries: int) -> bool:
    """Has every GPU failed so many times? Then it is the driver, or the worker."""
    whole = [gpu for gpu in seen if gpu.parent is None]
    return bool(whole) and all(strikes.get(gpu.uuid, 0) >= tries for gpu in whole)
