"""Makes the files of an experiment that follows another one in a chain, in a folder aside."""

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ardaemon.checkpoints import inherit
from ardaemon.checkpoints.copy import Copier
from ardaemon.checkpoints.promote import no_report, no_room, surveyed
from ardaemon.core.errors import SealBroken
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract, Sealed, Session
from ardaemon.experiment import checks, create, generation, program, seal, train_file
from ardaemon.experiment.chain import moved_on
from ardaemon.experiment.chain_generation import state_of
from ardaemon.experiment.child import Around, Child
from ardaemon.host import durable, operations, state


def fill(partial: Experiment, child: Child, around: Around) -> None:
    """Make all of the child in the folder `partial`, synced.

    Raises SealBroken if a sealed file is not as the parent has sealed it, and Refused if the checkpoint is
    not as it was promoted.
    """
    if child.checkpoint is not None:
        inherit.copy(child.checkpoint, partial.parent_checkpoint, around.trusted)
    durable.write(partial.train, child.train, child.mode, folder=False)
    durable.write(partial.program, program.encoded(child.program), folder=False)
    contract = _sealed(partial, child, around.trusted)
    state.write(partial.contract, contract, folder=False)
    placed = create.keep_original(partial)
    state.write(partial.decision, child.decision, 0o444, folder=False)
    session = Session(
        settings=child.settings,
        live=True,
        started_at=state.now(),
        conditions=seal.conditions(child.settings, contract),
        epoch=1,
        baseline_acknowledged=True,
        resume_mode="continue",
        checks_sealed=checks.sealed(partial, child.settings),
        placed=placed,
        last_run=0,
        generation=1,
        lineage=generation.lineage(),
        chain=state_of(moved_on(replace(child.chain, making=child.making))),
    )
    state.write(partial.session, around.started_here.signed(session))


def _sealed(partial: Experiment, child: Child, trusted: Sequence[str]) -> Contract:
    """Take what the parent has sealed along, and return the child's seal of it."""
    before = [sealed for sealed in child.contract.sealed if sealed.path != "program.md"]
    gone = [sealed for sealed in before if not (child.parent.folder / sealed.path).exists()]
    if gone:
        raise _broken(child.parent, gone)
    names = [_taken_along(child.parent, partial, sealed.path, trusted) for sealed in before]
    made = seal.make(partial, tuple(names), child.contract.origin, train_file.sha256(child.train))
    hashes = {sealed.path: sealed.sha256 for sealed in made.sealed}
    changed = [s for s, name in zip(before, names, strict=True) if hashes.get(name) != s.sha256]
    if changed:
        raise _broken(child.parent, changed)
    return made


def _broken(parent: Experiment, sealed: Sequence[Sealed]) -> SealBroken:
    return SealBroken(
        f"sealed in {parent.slug} and changed since: {', '.join(s.path for s in sealed[:5])}",
        "put it back, or, if the change is meant, a person accepts it:"
        f" arctl seal --accept --expr {parent.slug}",
    )


def _taken_along(parent: Experiment, partial: Experiment, name: str, trusted: Sequence[str]) -> str:
    """Copy a sealed file or folder that lies in the parent's folder; return its name in the child.

    What lies elsewhere keeps its name. A link is made anew: a data set on another disk is not copied.
    """
    path = os.path.normpath(parent.folder / name)
    inside = os.path.relpath(path, parent.folder)
    if inside.split(os.sep)[0] == os.pardir:
        return name
    target = partial.folder / inside
    for folder in reversed(target.relative_to(partial.folder).parents[:-1]):
        durable.make_folder(partial.folder / folder)
    if os.path.lexists(target):  # a folder that was taken along holds it
        return inside
    if os.path.islink(path):
        operations.symlink(os.path.realpath(path), target)
    else:
        Copier(surveyed(Path(path), target, trusted), no_report, no_room).run()
    return inside
