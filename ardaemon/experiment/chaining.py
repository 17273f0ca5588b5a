"""Moves a chain on to the next experiment, whole or not at all, whenever it is killed.

1. The intent goes into .chain-session.json: the child's name, and which session of the parent ends with it.
2. The child is made aside, whole and synced (experiment/child.py).
3. One rename puts it in place. This is the moment: before it nothing has happened, after it all has.
4. The parent's session, if `--force` ends one, becomes `chained`; its waiting runs are cancelled.
5. .chain-session.json is written as it is now, without the intent.

Whoever reads the chain with an intent in it looks whether the child is there, and takes the chain as it was
or as it will be (chain.of_project), so that no reader sees a half. Killed before 3, the next daemon removes
what was made aside and the intent; killed after 3, it does 4 and 5. The parent's session must not end before
3: killed in between, it would be over without a child. And the intent stays until 4 is on disk: without it
nobody would know that the parent's session was to end. All of it can be done twice.
"""

import contextlib
from collections.abc import Callable

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Chain, Making
from ardaemon.experiment import create, generation
from ardaemon.experiment.chain import is_made, moved_on
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import durable, state


def make(child: Experiment, chain: Chain, making: Making, fill: Callable[[Experiment], None]) -> None:
    """Take the steps 1 to 3; `fill` makes the child in the folder that it is given.

    Where that fails, nothing of it stays behind. The caller holds the chain's lock and takes the other steps.
    """
    project = Project(child.project)
    state.write(project.chain, replace(chain, making=making))
    try:
        with state.storage("create", child.folder), create.made_aside(child) as partial:
            fill(partial)
    except Exception:
        with contextlib.suppress(ArdaemonError, OSError):  # then it is undone later, as after a kill
            _undo(project)
        raise


def _undo(project: Project) -> None:
    """Take the intent back, unless the child is there; what was made aside is removed."""
    chain = state.read(project.chain, Chain)
    if chain is not None and chain.making is not None and not is_made(project, chain):
        durable.remove_tree(create.aside(project.experiment(chain.making.slug)).folder)
        state.write(project.chain, replace(chain, making=None))


def parent_in_making(project: Project) -> Experiment | None:
    """Return the parent of the child that the chain's intent names; None if there is no intent."""
    chain = state.read(project.chain, Chain)
    return project.experiment(chain.making.parent) if chain is not None and chain.making is not None else None


def settle(project: Project) -> Experiment | None:
    """Undo what was cut short before step 3; else go on as far as the experiments' files go.

    Return the parent whose waiting runs are to be cancelled before finish(); None if nothing is left to do.
    The caller holds the chain's lock and the parent's.
    """
    _undo(project)
    chain = state.read(project.chain, Chain)
    if chain is None or chain.making is None:
        return None
    parent = project.experiment(chain.making.parent)
    if chain.making.epoch is None:
        finish(project)
        return None
    _end_session(parent, chain.making.epoch)
    return parent


def _end_session(parent: Experiment, epoch: int) -> None:
    """End that session of the parent as `chained`; a parent that was removed meanwhile has none."""
    if not parent.folder.is_dir():
        return
    session = load_or_repair(parent).session
    if session.live and session.epoch == epoch:
        generation.write(parent, replace(session, live=False, terminated_by="chained"))


def finish(project: Project) -> None:
    """Take step 5: the child is there, and nothing more is to be done about its parent."""
    chain = state.read(project.chain, Chain)
    if chain is not None and is_made(project, chain):
        state.write(project.chain, moved_on(chain))


def settle_alone(project: Project) -> None:
    """Settle before any run of the project is taken up again; what cannot be read is settled later."""
    with contextlib.suppress(ArdaemonError):
        settle(project)
