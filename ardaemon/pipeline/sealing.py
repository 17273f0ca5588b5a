"""What a person does about the seal and the sentinel: accept a change, lift it when all is clean."""

from pathlib import Path

from ardaemon.core.errors import CorruptState, Unclean
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract, Quarantine, Sealed, UncleanRecord
from ardaemon.core.protocol import Seal
from ardaemon.host import durable, state
from ardaemon.pipeline import contract, quarantine
from ardaemon.pipeline.repair import load_or_repair


def seal(experiment: Experiment, params: Seal) -> list[str]:
    """Report what changed under the seal; with `accept` or `add`, seal what is there now."""
    found = None if params.accept else load_or_repair(experiment)
    if found is not None and not params.add:
        return contract.changed(experiment, found.contract) or ["the seal holds"]
    before = _sealed_before(experiment)
    names = tuple(s.path for s in before if s.path not in ("program.md", "prepare.py"))
    made = contract.make(experiment, (*names, *params.add))
    known = {s.path: s.sha256 for s in before}
    state.write(experiment.contract, made)
    said = [f"sealed {s.path}" for s in made.sealed if known.get(s.path) != s.sha256]
    if not before:
        said.append("what was sealed before is not known any more: name other paths again with --add PATH")
    return said or ["nothing had changed"]


def _sealed_before(experiment: Experiment) -> tuple[Sealed, ...]:
    try:
        found = state.read(experiment.contract, Contract)
    except CorruptState:
        state.put_aside(experiment.contract)
        return ()
    return found.sealed if found else ()


def clean(experiment: Experiment, folder: Path) -> tuple[list[str], list[str]]:
    """Lift sentinel and quarantine once nothing of what survived lives. Raises Unclean while something does.

    `folder` holds the quarantined slots; returns what is to be said, and the slots that are free again.
    """
    stale = quarantine.lift_stale(folder)
    sentinel = state.read(experiment.unclean, UncleanRecord)
    slots = quarantine.of(folder, experiment)
    if sentinel is None and not slots:
        return ["nothing to clean: no sentinel stands"], stale
    records: list[UncleanRecord | Quarantine] = [*([sentinel] if sentinel else []), *slots]
    for record in records:
        alive = quarantine.alive(experiment, record)
        if alive:
            raise Unclean(
                f"still alive: {quarantine.named(alive)}", "end them (kill -9 PID), then: arctl clean"
            )
    with state.storage("remove", experiment.unclean):
        durable.remove(experiment.unclean)
        durable.sync_folder(experiment.folder)
    for slot in slots:
        quarantine.lift(folder, slot)
    said = [f"verified: nothing of {records[0].run_id} is alive; the sentinel is lifted"]
    freed = [slot.slot for slot in slots]
    said += [f"{', '.join(freed)} may be used again"] if freed else []
    return said, stale + freed
