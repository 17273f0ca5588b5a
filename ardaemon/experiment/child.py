"""Plans the experiment that follows another one in a chain: all is decided before anything is written."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ardaemon.checkpoints import inherit
from ardaemon.checkpoints.inherit import Inherited
from ardaemon.core import file_kinds
from ardaemon.core.errors import CorruptState, Refused, UsageError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.mends import go_on
from ardaemon.core.model import (
    Best,
    Chain,
    ChainDecision,
    ChildPrimary,
    Contract,
    Making,
    ParentPrimary,
    Primary,
    Session,
    Settings,
)
from ardaemon.core.protocol import ChainInit
from ardaemon.experiment import chain as chains
from ardaemon.experiment import (
    chain_generation,
    checks,
    choose,
    create,
    how_run,
    runner,
    seal_generation,
    train_file,
)
from ardaemon.experiment import program as program_md
from ardaemon.experiment.default_runner import DefaultRunner
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.settings import check
from ardaemon.experiment.settings import inherit as inherited_settings
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State
from ardaemon.experiment.unclean import require_no_unclean
from ardaemon.experiment.vanished import require_newest
from ardaemon.host import durable, state

RATIONALE_MAX = 64 << 10  # bytes: some pages of prose
GOAL_MAX = 2000  # characters: a sentence or two
RATIONALE_HELP = "say why this experiment comes next: --rationale TEXT, or - for standard input"


class Around(NamedTuple):
    """What the daemon knows of the parent beside its files."""

    at_work: tuple[str, ...]  # ids of its runs that are launched or judged
    waiting: tuple[str, ...]
    report_sha256: str
    started_here: StartedHere
    trusted: Sequence[str] = ()


class Child(NamedTuple):
    """An experiment that is to be made: all of it is decided."""

    experiment: Experiment
    chain: Chain
    making: Making
    decision: ChainDecision
    settings: Settings
    program: str
    train: bytes
    mode: int  # of train.py
    parent: Experiment
    contract: Contract  # the parent's
    checkpoint: Inherited | None


def made_before(project: Project, params: ChainInit) -> Experiment | None:
    """Return the child that this very call has made before; None if there is none."""
    child = project.experiment(params.slug)
    try:
        decision = state.read(child.decision, ChainDecision)
    except CorruptState:
        return None
    return child if decision is not None and decision.submit_id == params.submit_id else None


def parent_of(project: Project, params: ChainInit, trusted: Sequence[str]) -> Experiment:
    """Return the experiment that the child follows, once the words of the call and the chain allow a child.

    Raises UsageError and Refused. Nothing of the parent is read yet: for that the caller takes its lock.
    """
    _check_words(params)
    create.require_free(project.experiment(params.slug))
    chain = chains.require(project)
    chain_generation.require_newest(project, chain)
    if chain.mode == "disabled":
        raise Refused("the chain was stopped", chains.BEGIN)
    if chain.left == 0:
        raise Refused(
            f"the chain's budget is used up ({chain.current_slug} is its last experiment)", chains.BEGIN
        )
    slug = params.from_expr or chain.current_slug
    if slug not in (chain.current_slug, *chain.chain_trail):
        raise Refused(
            f"{slug} is no experiment of the chain, whose current one is {chain.current_slug}",
            "leave out --from-expr; arctl chain shows the others",
        )
    return choose.resolve(str(project.folder), slug, trusted)


def _check_words(params: ChainInit) -> None:
    if not params.rationale.strip():
        raise UsageError("the rationale is empty", RATIONALE_HELP)
    if len(params.rationale.encode()) > RATIONALE_MAX:
        raise UsageError(f"the rationale is longer than {RATIONALE_MAX >> 10} KiB", "say it in fewer words")
    if not params.goal.strip() or len(params.goal) > GOAL_MAX:
        raise UsageError(
            f"the goal is empty or longer than {GOAL_MAX} characters", "say it in a sentence: --goal TEXT"
        )
    if params.mutation_scope is not None:
        create.check_scope(params.mutation_scope)
    if params.no_checkpoint and params.parent_ckpt is not None:
        raise UsageError("a checkpoint is named, and none is wanted", "leave one of the two out")


def plan(parent: Experiment, params: ChainInit, around: Around) -> Child:
    """Decide everything about the child; nothing is written, but for repairs of the parent.

    Raises Refused, with the way to go on, if the circumstances are wrong. The caller holds the chain's lock
    and the parent's.
    """
    project, current = Project(parent.project), load_or_repair(parent)
    require_newest(parent, current.session)
    chain = chain_generation.of_lineage(chains.require(project))
    best = _require_over(parent, current, params, around)
    _require_current_over(project, chain, parent)
    seal_generation.require_newest(parent, current.contract, current.session)
    around.started_here.require(parent, current.session)
    default_runner = DefaultRunner.of(parent, params.environment, current.contract.origin)
    settings, kept = inherited_settings(current.session.settings, params.given, default_runner)
    check(settings)
    runner.program(settings.runner, params.environment, str(parent.project))
    checks.require(parent, current.session)
    checks.require_programs(settings, params.environment, str(parent.project))
    checkpoint = _checkpoint(parent, best, params)
    if checkpoint is not None:
        inherit.require_room(checkpoint, project.home, around.trusted)
    front = _front(parent, current.contract, params)
    train, mode = _train(parent, best, params)
    decision = ChainDecision(
        parent_expr=parent.slug,
        parent_primary=_primary(best),
        child_primary=ChildPrimary(name=front.primary.metric, direction=front.primary.direction),
        child_goal=params.goal,
        child_mutation_scope=front.mutation_scope,
        rationale=params.rationale,
        parent_report_sha256=around.report_sha256,
        created_at=state.now(),
        chain_position=max(len(chain.chain_trail), 1),  # the first child has 1
        submit_id=params.submit_id,
        parent_checkpoint=checkpoint.shown if checkpoint is not None else None,
        inherited=kept,
        dropped=around.waiting if current.session.live else (),
    )
    return Child(
        experiment=project.experiment(params.slug),
        chain=chain,
        making=_making(parent, current, params),
        decision=decision,
        settings=settings,
        program=_program(parent, params.slug, front),
        train=train,
        mode=mode,
        parent=parent,
        contract=current.contract,
        checkpoint=checkpoint,
    )


def _making(parent: Experiment, current: State, params: ChainInit) -> Making:
    epoch = current.session.epoch if current.session.live else None
    return Making(slug=params.slug, parent=parent.slug, submit_id=params.submit_id, epoch=epoch)


def _primary(best: Best) -> ParentPrimary:
    primary = best.primary
    return ParentPrimary(
        name=primary.metric, direction=primary.direction, best_value=best.value, best_run=best.run_id
    )


def _require_over(parent: Experiment, current: State, params: ChainInit, around: Around) -> Best:
    """Return the parent's best. Raises Refused if anything of the parent is not over yet."""
    require_no_unclean(parent)
    require_none_at_work(parent, around.at_work)
    if current.session.live and not params.force:
        raise Refused(
            f"the session of {parent.slug} is still live",
            f"end it: arctl session stop --expr {parent.slug}; or go on all the same with --force: it ends as"
            " chained, and runs that wait are cancelled",
        )
    if current.best is None:
        run = f"arctl run --wait --expr {parent.slug}"
        first = "" if current.session.live else f"{go_on(parent.slug)}, then "
        raise Refused(f"{parent.slug} has no best that an experiment could follow", f"get one: {first}{run}")
    return current.best


def _require_current_over(project: Project, chain: Chain, parent: Experiment) -> None:
    """Raise Refused if the parent is an earlier link, and the session of the chain's current one is live."""
    if chain.current_slug == parent.slug:
        return
    session = state.read(project.experiment(chain.current_slug).session, Session)
    if session is not None and session.live:
        raise Refused(
            f"the session of {chain.current_slug}, the chain's current experiment, is still live",
            f"end it: arctl session stop --expr {chain.current_slug}",
        )


def require_none_at_work(parent: Experiment, at_work: Sequence[str]) -> None:
    """Raise Refused, which names them, if runs of the parent are at work."""
    if at_work:
        raise Refused(
            f"a run of {parent.slug} is still at work: {', '.join(at_work)}",
            f"wait for it: arctl wait {at_work[0]} --expr {parent.slug}; or end it with arctl cancel",
        )


def _checkpoint(parent: Experiment, best: Best, params: ChainInit) -> Inherited | None:
    if params.no_checkpoint:
        return None
    if params.parent_ckpt is not None:
        return inherit.of_path(_absolute("--parent-ckpt", params.parent_ckpt))
    return inherit.of_best(parent, best)


def _absolute(option: str, path: str) -> Path:
    if not os.path.isabs(path):
        raise UsageError(f"{option} {path[:80]!r} is not an absolute path", "")
    return Path(path)


def _train(parent: Experiment, best: Best, params: ChainInit) -> tuple[bytes, int]:
    """Return the child's train.py and its mode: the parent's best, or what is named."""
    if params.train is not None:
        path = _absolute("--train", params.train)
        return train_file.read(path, file_kinds.SOURCE_TRAIN), durable.mode_of(path, 0o644)
    path = parent.run(best.run_id).train
    data = train_file.read(path)
    if best.sha256 and train_file.sha256(data) != best.sha256:
        raise Refused(f"{path} is not the version that became best", "name the version: --train PATH")
    return data, durable.mode_of(path, 0o644)


def _front(parent: Experiment, contract: Contract, params: ChainInit) -> program_md.Front:
    """Return program.md's front matter: what is not given is the parent's, the hard constraints always."""
    metric = contract.primary.metric if params.primary_metric is None else params.primary_metric
    direction = params.primary_direction or contract.primary.direction
    scope = params.mutation_scope or program_md.read_front(parent)[1].mutation_scope
    return program_md.Front(
        primary=Primary(metric, direction),
        goal=params.goal,
        mutation_scope=scope,
        constraints=contract.constraints,
    )


def _program(parent: Experiment, slug: str, front: program_md.Front) -> str:
    """Return program.md: the new front matter, then the parent's prose below a line that says whose it is."""
    with state.storage("read", parent.program):
        _, prose = program_md.split_program(program_md.read_whole(parent.program, file_kinds.SCRIPT))
    whose = f"What follows is the prose of {parent.slug}, the experiment before this one."
    above = f"\n# {slug}\n\n{front.goal}\n\n{whose}\n\n---\n"
    body = how_run.with_part(above + how_run.without_part(prose))
    return program_md.fenced(program_md.front_text(front)) + body
