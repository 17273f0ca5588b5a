"""The chain of a project's experiments: which one is current, how many may follow, who came before.

`session start --chain` begins a chain, `chain.init` goes on with it (experiment/chaining.py).
"""

from contextlib import suppress

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, Refused, UsageError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import CHAIN_MAX, TRAIL_MAX, Chain, ChainState
from ardaemon.core.protocol import Budget
from ardaemon.experiment import chain_generation
from ardaemon.host import state

BEGIN = "begin one with: arctl session start --chain N"


def of_project(project: Project) -> Chain | None:
    """Return the project's chain as it counts: a child that is there is its current link, written or not."""
    chain = state.read(project.chain, Chain)
    if chain is None or chain.making is None:
        return chain
    return moved_on(chain) if is_made(project, chain) else replace(chain, making=None)


def is_made(project: Project, chain: Chain) -> bool:
    """Tell whether the child that is being made is there, whole: a rename puts it there."""
    return chain.making is not None and project.experiment(chain.making.slug).folder.is_dir()


def moved_on(chain: Chain) -> Chain:
    """Return the chain with the child that was made as its current link, and one less that may follow."""
    assert chain.making is not None
    slug, left = chain.making.slug, chain.left
    trail = (*chain.chain_trail, slug)[-TRAIL_MAX:]
    left = None if left is None else max(left - 1, 0)
    return Chain(
        current_slug=slug,
        chain_mode=chain.mode,
        chain_remaining=left,
        chain_trail=trail,
        lineage=chain.lineage,
        generation=chain.generation + 1,
    )


def chain_of(experiment: Experiment) -> Chain | None:
    """Return the project's chain, as link_of() does."""
    return link_of(of_project(Project(experiment.project)), experiment)


def link_of(chain: Chain | None, experiment: Experiment) -> Chain | None:
    """Return the chain if this experiment is its current link, and nobody has stopped it."""
    if chain is None or chain.mode == "disabled" or chain.current_slug != experiment.slug:
        return None
    return chain


def require(project: Project) -> Chain:
    """Return the project's chain. Raises Refused if there is none."""
    chain = of_project(project)
    if chain is None:
        raise Refused(f"{project.folder} has no chain", BEGIN)
    return chain


def require_room(experiment: Experiment, budget: Budget, force: bool) -> None:
    """Raise Refused while another experiment's chain goes on, or where it went back, unless `force`.

    Raises UsageError for a budget that is none.
    """
    if budget != "unlimited" and not 0 <= budget <= CHAIN_MAX:
        raise UsageError(f"--chain {budget}: it must be between 0 and {CHAIN_MAX:,}, or unlimited", "")
    chain = of_project(Project(experiment.project))
    if chain is None or force:
        return
    chain_generation.require_newest(Project(experiment.project), chain)
    if chain.current_slug == experiment.slug or chain.left == 0:
        return
    left = "without a limit" if chain.left is None else f"with {chain.left} left"
    raise Refused(
        f"the chain of {chain.current_slug} goes on, {left}",
        "end it with: arctl chain stop; or begin a new one all the same with --force",
    )


def begin(experiment: Experiment, budget: Budget) -> ChainState:
    """Begin a new chain: this experiment is its first link, and so many may follow.

    Return what its session is to keep.
    """
    project, remaining = Project(experiment.project), None if budget == "unlimited" else budget
    chain = Chain(
        current_slug=experiment.slug,
        chain_mode="unlimited" if remaining is None else "max_n",
        chain_remaining=remaining,
        chain_trail=(experiment.slug,),
    )
    return _write(project, chain, of_project(project))


def _write(project: Project, chain: Chain, before: Chain | None) -> ChainState:
    numbered = chain_generation.numbered(project, chain, before)
    state.write(project.chain, numbered)
    return chain_generation.state_of(numbered)


def stop(project: Project) -> None:
    """End the chain: no experiment follows any more. Raises Refused if there is none.

    The caller holds the chain's lock, and that of its current experiment, whose session keeps the number.
    """
    chain = require(project)
    if chain.mode == "disabled" and not chain_generation.is_older(project, chain):
        return
    written = _write(project, replace(chain, chain_mode="disabled"), chain)
    with suppress(ArdaemonError):  # it is gone, or broken
        chain_generation.keep(project.experiment(chain.current_slug), written)
