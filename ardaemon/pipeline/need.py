"""Work out what a run asks of the machine's GPUs: by settings, the caller's words and environment. Pure."""

from collections.abc import Mapping, Sequence

from ardaemon.core.config import GPUS_MAX, MEMORY_MAX_MIB
from ardaemon.core.errors import UsageError
from ardaemon.core.gpus import MARGIN_MB, GpuReading, Inventory, Need, is_allowed
from ardaemon.core.model import Settings
from ardaemon.core.protocol import Submit
from ardaemon.core.size import no_size, shown
from ardaemon.core.text import one_line

ALLOWED = "CUDA_VISIBLE_DEVICES"
NAMED_MAX = 80  # characters of its value that an error shows


def need(settings: Settings, params: Submit, inventory: Inventory | None) -> Need:
    """Return what the run asks for. Raises UsageError where this machine can never give it.

    `inventory`: the GPUs of this machine; None if they are not known, and then nothing is refused for them.
    """
    allowed = allow_list(params.environment)
    gpus = settings.gpus if params.gpus is None else params.gpus
    share = settings.share if params.share is None else params.share
    vram = settings.vram if params.vram is None else params.vram
    if params.vram is not None and not share:
        raise UsageError("--vram is what a run needs on a GPU that it shares", "add --share, or leave it out")
    gpus = _possible(gpus, vram, inventory, allowed)
    return Need(
        gpus=gpus, share=share and gpus > 0, vram_mb=vram if share and gpus else None, allowed=allowed
    )


def require_possible(
    settings: Settings, *, environment: Mapping[str, str], inventory: Inventory | None
) -> None:
    """Raise UsageError where this machine can never give what a session's runs are to ask for."""
    _possible(settings.gpus, settings.vram, inventory, allow_list(environment))


def _possible(
    gpus: int | None, vram: float | None, inventory: Inventory | None, allowed: tuple[str, ...] | None
) -> int:
    """Return the number of GPUs that is meant; None is one, where there is one."""
    there = present(inventory, allowed)
    if gpus != 0 and allowed and not there:
        _require_known(allowed, inventory)
    if gpus is None:
        gpus = min(1, len(there)) if _is_known(inventory) else 1
    _check_count(gpus, there, inventory, allowed)
    if gpus and vram is not None:
        _check_memory(vram, there)
    return gpus


def allow_list(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the caller's CUDA_VISIBLE_DEVICES; None if it is not set. As in CUDA the list ends at a -1."""
    value = environment.get(ALLOWED)
    if value is None:
        return None
    words = [word.strip() for word in value.split(",")]
    end = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return tuple(word for word in words[:end] if word)


def present(inventory: Inventory | None, allowed: Sequence[str] | None) -> list[GpuReading]:
    """Return the GPUs that the caller allows; MIG instances in the place of the GPU that they divide."""
    there = inventory.cards if inventory is not None else ()
    return [gpu for gpu in there if allowed is None or is_allowed(gpu.index, gpu.uuid, allowed)]


def _require_known(allowed: tuple[str, ...], inventory: Inventory | None) -> None:
    """Raise UsageError if a caller names GPUs and this machine has others: it is not to run without one."""
    every = present(inventory, None)
    if every and _is_known(inventory):
        named, are = ",".join(allowed), ", ".join(dict.fromkeys(str(gpu.index) for gpu in every))
        raise UsageError(
            f"{ALLOWED}={one_line(named, NAMED_MAX)} names no GPU of this machine, whose GPUs are {are}",
            f"unset {ALLOWED}, or set it to one of them; without a GPU: --gpus 0",
        )


def _is_known(inventory: Inventory | None) -> bool:
    return inventory is not None and inventory.is_counted


def _check_count(
    gpus: int, there: list[GpuReading], inventory: Inventory | None, allowed: tuple[str, ...] | None
) -> None:
    if not 0 <= gpus <= GPUS_MAX:
        raise UsageError(f"--gpus {gpus}: it must be between 0 and {GPUS_MAX}", "0 is a CPU slot")
    if not _is_known(inventory) or (gpus <= len(there) and not (gpus > 1 and _is_mig(there))):
        return
    assert inventory is not None
    if inventory.state == "none":
        raise UsageError(f"--gpus {gpus}: this machine has no NVIDIA GPU ({inventory.why})", "--gpus 0")
    whole = present(inventory, None)
    if gpus > 1 and _is_mig(whole):
        raise UsageError(f"--gpus {gpus}: a process sees one MIG instance at most (CUDA)", "--gpus 1")
    has = len(whole)
    named = f", and {ALLOWED}={','.join(allowed)} allows {len(there)}" if allowed is not None else ""
    raise UsageError(f"--gpus {gpus}: this machine has {has}{named}", f"ask for at most {len(there)}")


def _is_mig(gpus: list[GpuReading]) -> bool:
    return bool(gpus) and all(gpu.parent is not None for gpu in gpus)


def _check_memory(vram: float, there: list[GpuReading]) -> None:
    if not 0 < vram <= MEMORY_MAX_MIB:
        raise no_size("--vram", f"{vram:g} MiB")
    totals = [gpu.total_mb for gpu in there if gpu.total_mb is not None]
    if totals and len(totals) == len(there) and vram > max(totals) - MARGIN_MB:
        raise UsageError(
            f"--vram {shown(vram)}: the largest GPU has {shown(max(totals))},"
            f" of which {shown(MARGIN_MB)} are kept free where runs share",
            "leave it out to have it learned",
        )
