"""Number the seals that were accepted, so that a copy of one from before is noticed.

The files that it seals may have been put back with it: then it holds, and nothing else tells. The session
keeps the number of the newest.
"""

from contextlib import suppress

from msgspec.structs import replace

from ardaemon.core.errors import CorruptState, SealBroken
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract, Session
from ardaemon.core.words import BY_GIT
from ardaemon.experiment import generation
from ardaemon.host import state


def next_after(experiment: Experiment, before: Contract | None, same: bool) -> int:
    """Return the number of a seal that is accepted now. The `same` keeps its own, but for a copy from before.

    Raises StorageError.
    """
    session = None
    with suppress(CorruptState):  # then it is rebuilt
        session = state.read(experiment.session, Session)
    newest = session.seal if session is not None else 0
    if before is None or before.generation < newest:
        return newest + 1
    return before.generation if same else before.generation + 1


def keep(experiment: Experiment, session: Session, number: int) -> None:
    """Write the number into the session, once the seal is there: a kill in between leaves a newer seal.

    Raises StorageError.
    """
    if session.seal != number:
        generation.write(experiment, replace(session, seal=number))


def faults(contract: Contract, session: Session) -> list[str]:
    """Return a line if the seal is a copy from before: another one was accepted since."""
    if contract.generation >= session.seal:
        return []
    return [
        f"the seal went back to the one of {contract.sealed_at}: another one was accepted since ({BY_GIT})"
    ]


def require_newest(experiment: Experiment, contract: Contract, session: Session) -> None:
    """Raise SealBroken, with the way to go on, if the seal is a copy from before."""
    for fault in faults(contract, session):
        raise SealBroken(
            fault,
            f"put the newest {experiment.contract.name} back, and the files that it seals; or, if those that"
            f" are there are meant, a person accepts them: arctl seal --accept --expr {experiment.slug}"
            " (results before and after are not comparable)",
        )
