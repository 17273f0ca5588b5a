"""Judges a GPU's health by its reading. Pure: no I/O."""

from ardaemon.core.gpus import GpuReading

# Xid errors that a program causes itself (NVIDIA, "Xid Errors"); the card is as good as before.
PROGRAM_XIDS = {
    13: "graphics engine exception: an illegal access or instruction of the program",
    31: "memory page fault: the program used an address that is not its own",
    43: "the program's context was stopped after an error of its own",
    45: "the program's work was cleaned up, as it ended or was killed",
    68: "video decoder exception",
    109: "context switch timeout: the program's kernel did not give way",
}
# The most frequent of the other Xid errors; for the rest the number has to do.
CARD_XIDS = {
    48: "double bit ECC error",
    61: "internal micro-controller breakpoint",
    62: "internal micro-controller halt",
    63: "ECC page retirement or row remapping recorded",
    64: "ECC page retirement or row remapping failed",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "high single-bit ECC error rate",
    94: "contained ECC error",
    95: "uncontained ECC error",
    119: "GSP firmware does not answer",
    120: "GSP firmware error",
}


def program_fault(xid: int) -> bool:
    """Return whether the Xid is the program's own fault: a note for the run, and nothing against the card."""
    return xid in PROGRAM_XIDS


def xid_text(xid: int) -> str:
    """Return an Xid in words for a person: `Xid 79 (the GPU has fallen off the bus)`."""
    meaning = PROGRAM_XIDS.get(xid) or CARD_XIDS.get(xid)
    return f"Xid {xid} ({meaning})" if meaning else f"Xid {xid}"


def quarantine_reason(gpu: GpuReading) -> str | None:
    """Say why no run may start on the GPU until a person has looked at it; None if nothing is against it."""
    if gpu.fault is not None:
        return gpu.fault
    return next((xid_text(xid) for xid in gpu.xids if not program_fault(xid)), None)


def run_notes(gpu: GpuReading) -> list[str]:
    """Return the notes for a run on the GPU: the Xids that are the run's own fault, in words."""
    return [xid_text(xid) for xid in dict.fromkeys(gpu.xids) if program_fault(xid)]
