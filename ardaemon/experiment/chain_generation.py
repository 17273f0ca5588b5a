"""Number the writes of `.chain-session.json`, so that a copy of it from before is noticed.

Each number stands in the session of the experiment that was current then. A chain with a smaller one is a
backup that was put back, or a checkout of git's: the budget counts down there, and would count twice.
"""

from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, Refused
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Chain, ChainState, Session
from ardaemon.core.words import BY_GIT
from ardaemon.experiment import generation
from ardaemon.host import state


def of_lineage(chain: Chain) -> Chain:
    """Return the chain with a lineage, which one of an earlier version has not."""
    return chain if chain.lineage else replace(chain, lineage=generation.lineage())


def numbered(project: Project, chain: Chain, before: Chain | None) -> Chain:
    """Return the chain as the newest there is, with the next number; `before` is what stands there."""
    before = of_lineage(before or chain)
    return replace(chain, lineage=before.lineage, generation=_newest(project, before) + 1)


def state_of(chain: Chain) -> ChainState:
    """Return what the current experiment's session keeps of the chain."""
    return ChainState(chain.lineage, chain.generation)


def keep(experiment: Experiment, written: ChainState) -> None:
    """Write down in the session which state of the chain there is; the caller holds the experiment's lock."""
    session = state.read(experiment.session, Session)
    if session is not None and not generation.is_older(experiment, session):
        generation.write(experiment, replace(session, chain=written))


def is_before(chain: Chain, seen: ChainState | None) -> bool:
    """Tell whether the chain is a copy from before, by what one experiment has seen."""
    return seen is not None and seen.lineage == chain.lineage and seen.generation > chain.generation


def is_older(project: Project, chain: Chain) -> bool:
    """Tell whether the chain is a copy from before, by what all experiments of the project have seen."""
    return _newest(project, chain) > chain.generation


def require_newest(project: Project, chain: Chain) -> None:
    """Raise Refused, with the way to go on, if the chain is a copy from before."""
    newest = _newest(project, chain)
    if newest == chain.generation:
        return
    raise Refused(
        f"the chain went back to {chain.current_slug}: its {project.chain.name} was written {newest} times,"
        f" and the one that is there {chain.generation} times ({BY_GIT})",
        "put the newest one back; or end this chain and begin another: arctl chain stop; arctl session start"
        " --chain N",
    )


def _newest(project: Project, chain: Chain) -> int:
    """Return how often the chain was written, by itself and by what the experiments have seen of it."""
    seen = [one.generation for one in _seen(project) if one.lineage == chain.lineage]
    return max([chain.generation, *seen])


def _seen(project: Project) -> Iterator[ChainState]:
    for experiment in (*project.experiments(), *project.all_archived()):
        with suppress(ArdaemonError):  # it is reported where that experiment itself is used
            session = state.read(experiment.session, Session)
            if session is not None and session.chain is not None:
                yield session.chain
