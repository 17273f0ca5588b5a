"""Compares NVML's answers over time: which GPU has gone, which one fails again and again. Pure: no I/O."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ardaemon.core.gpus import GpuReading

GONE = "gone"  # the fault of a GPU that NVML listed once and does not list now
KnownGpus = Mapping[str, GpuReading]  # the last readings, by UUID


def named(seen: Iterable[GpuReading], known_gpus: KnownGpus) -> list[GpuReading]:
    """Complete the readings of sick GPUs by earlier ones; one without a UUID is the GPU at its index."""
    seen = list(seen)
    listed = {gpu.uuid for gpu in seen}
    missing = {gpu.index: gpu for gpu in known_gpus.values() if gpu.uuid not in listed and gpu.parent is None}
    return [_completed(gpu, known_gpus.get(gpu.uuid) if gpu.uuid else missing.get(gpu.index)) for gpu in seen]


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
    """Return the stand-in for the UUID of a GPU that has never given one."""
    return f"index-{gpu.index}"


def with_gone(seen: list[GpuReading], known_gpus: KnownGpus) -> list[GpuReading]:
    """Add the known GPUs that NVML does not list any more: they count as gone, and are not forgotten.

    Missing MIG instances of a sick GPU are as sick as the GPU.
    """
    listed = {gpu.uuid for gpu in seen}
    sick = {gpu.uuid: gpu for gpu in seen if gpu.fault is not None or gpu.error is not None}
    missing = [gpu for uuid, gpu in known_gpus.items() if uuid not in listed and uuid != _stand_in(gpu)]
    return seen + [_as_its(sick[gpu.parent], gpu) if gpu.parent in sick else gone(gpu) for gpu in missing]


def _as_its(parent: GpuReading, instance: GpuReading) -> GpuReading:
    return replace(blank(instance), fault=parent.fault, error=parent.error)


def gone(gpu: GpuReading) -> GpuReading:
    """Return the reading of a GPU that was there and is not now."""
    return replace(blank(gpu), fault=GONE)


def blank(gpu: GpuReading) -> GpuReading:
    """Return a reading that says which GPU it is, and its last fault, with nothing measured."""
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
    """Count how many times in a row (`before` and now) each GPU has failed with an error of unclear cause."""
    return {gpu.uuid: before.get(gpu.uuid, 0) + 1 for gpu in seen if gpu.error is not None}


def judged(seen: Iterable[GpuReading], strikes: Mapping[str, int], tries: int) -> list[GpuReading]:
    """Turn an error that has lasted for `tries` looks into a fault."""
    return [
        replace(gpu, fault=gpu.fault or gpu.error) if strikes.get(gpu.uuid, 0) >= tries else gpu
        for gpu in seen
    ]


def none_works(seen: Iterable[GpuReading], strikes: Mapping[str, int], tries: int) -> bool:
    """Return whether every GPU has failed `tries` times: then the driver or the worker is at fault."""
    whole = [gpu for gpu in seen if gpu.parent is None]
    return bool(whole) and all(strikes.get(gpu.uuid, 0) >= tries for gpu in whole)
