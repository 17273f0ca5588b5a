"""Start and stop a session."""

from collections.abc import Collection
from datetime import UTC, datetime

from msgspec.structs import replace

from ardaemon.core import constraints
from ardaemon.core.config import GPUS_MAX, MEMORY_MAX_MIB
from ardaemon.core.errors import Refused, UsageError
from ardaemon.core.layout import ORIGINAL, Experiment, Project
from ardaemon.core.model import Chain, Session, Settings
from ardaemon.core.protocol import SessionStart
from ardaemon.host import durable, state
from ardaemon.metrics.custom import split_command
from ardaemon.metrics.lines import compile_regex
from ardaemon.pipeline import contract, launch, train_file
from ardaemon.pipeline.experiment import State, load
from ardaemon.pipeline.fresh import archive_train, finish_fresh
from ardaemon.pipeline.repair import load_or_repair
from ardaemon.pipeline.snapshot import require_no_unclean, require_same_primary, standard_version

SECONDS_MAX = 30 * 86400  # a month: a longer limit is a slip of the finger


def check(settings: Settings) -> None:
    """Raise UsageError naming the option that is wrong."""
    _positive("--seconds", settings.seconds, SECONDS_MAX)
    counts = {
        "--max-runs": settings.max_runs,
        "--plateau": settings.plateau,
        "--keep-checkpoints": settings.keep_checkpoints,
    }
    for option, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"{option} {value}: it must be at least 1", "leave it out for no limit")
    for option, seconds in (("--startup", settings.startup), ("--stall", settings.stall)):
        if seconds is not None:
            _positive(option, seconds, SECONDS_MAX)
    if not 0 <= settings.settle <= 3600:
        raise UsageError(
            f"--settle {settings.settle:g}: it must be between 0 and 3600 seconds", "the default is 5"
        )
    _check_gpus(settings)
    launch.split_runner(settings.runner)
    for text in settings.constraints:
        constraints.parse(text)
    _check_metrics(settings)


def _positive(option: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise UsageError(f"{option} {value:g}: it must be more than 0 and at most {most:g} seconds", "")


def _check_gpus(settings: Settings) -> None:
    if settings.gpus is not None and not 0 <= settings.gpus <= GPUS_MAX:
        raise UsageError(f"--gpus {settings.gpus}: it must be between 0 and {GPUS_MAX}", "0 is a CPU slot")
    memory = {"--vram": settings.vram, "--max-vram": settings.max_vram, "--max-rss": settings.max_rss}
    for option, mib in memory.items():
        if mib is not None and not 0 < mib <= MEMORY_MAX_MIB:
            raise UsageError(f"{option} {mib:g} MiB: it is not an amount of memory", "write it as 6GiB")
    if settings.vram is not None and not settings.share:
        raise UsageError("--vram is what a run needs on a GPU that it shares", "add --share, or leave it out")


def _check_metrics(settings: Settings) -> None:
    if settings.metric_regex is not None:
        compile_regex(settings.metric_regex)
    if settings.ready_regex is not None:
        _check_ready(settings)
    if settings.metric_command is not None:
        split_command(settings.metric_command)
    _check_path(settings)
    if settings.metrics == "custom" and not settings.metric_command:
        raise UsageError("--metrics custom needs a command", '--metric-command "python read_metrics.py"')


def _check_path(settings: Settings) -> None:
    path = settings.metric_path
    if path is not None and (not path.strip("/ ") or "\0" in path):
        raise UsageError(f"--metric-path {path!r} names no file", "give a glob of files")
    if path is not None and settings.metrics in ("log", "custom"):
        raise UsageError(
            f"--metric-path is for files, and --metrics {settings.metrics} reads none",
            "leave one of them out",
        )
    if isinstance(settings.value, int) and settings.value < 0:
        raise UsageError(f"--value {settings.value}: a step is not negative", "last, best, or a step")


def _check_ready(settings: Settings) -> None:
    import re

    try:
        re.compile(settings.ready_regex or "")
    except re.error as error:
        raise UsageError(f"--ready-regex: {error}", "correct the pattern (Python's re syntax)") from error
    if settings.startup is None:
        raise UsageError(
            "--ready-regex needs --startup N", "N: after how many seconds the clock starts anyway"
        )


def start(experiment: Experiment, params: SessionStart, active: bool) -> Session:
    """Start: settings are checked, counters are new, train.py is as `resume` says."""
    check(params.settings)
    if params.chain is not None and params.chain < 0:
        raise UsageError(f"--chain {params.chain}: it cannot be negative", "")
    found = load_or_repair(experiment)
    if found.session.live:
        raise Refused(
            f"a session of {experiment.slug} is live already", "arctl session stop, then start again"
        )
    require_no_unclean(experiment)
    contract.require(experiment, found.contract)
    launch.program(params.settings.runner, params.environment, str(experiment.project))
    if params.resume == "fresh":
        found = _fresh(experiment, found, active)
    require_same_primary(found)
    _require_comparable(found, params)
    if params.resume == "revert":
        found = _revert(experiment, found)
    session = replace(
        found.session,
        settings=params.settings,
        live=True,
        terminated_by=None,
        started_at=state.now(),
        epoch=found.session.epoch + 1,
        conditions=contract.conditions(params.settings, found.contract),
        counters=replace(found.session.counters, since_start=0, plateau=0),
    )
    state.write(experiment.session, session)
    if params.chain is not None:
        _chain(experiment, params.chain)
    return session


def _require_comparable(found: State, params: SessionStart) -> None:
    """The best was measured under other conditions: comparing with it is somebody's decision."""
    best = found.best
    if best is None or params.ack_baseline or not best.conditions:
        return
    if best.conditions != contract.conditions(params.settings, found.contract):
        raise Refused(
            f"the best ({best.value:.6g} @ {best.run_id}) was measured under other settings or another seal",
            "keep it as the one to beat with --ack-baseline, or measure anew with --resume fresh",
        )


def _revert(experiment: Experiment, found: State) -> State:
    """The best goes into train.py; an edit that stands there is put aside first."""
    target = standard_version(experiment, found)
    standing = train_file.current(experiment)
    accepted = {target.sha256} | ({found.session.placed.sha256} if found.session.placed else set())
    if standing is not None and standing not in accepted:
        accepted.add(archive_train(experiment, _stamp()) or "")
    if train_file.place(experiment, target, accepted, None) == "edited_since":
        return found
    with state.storage("sync", experiment.folder):
        durable.sync_folder(experiment.folder)
    return State(found.contract, replace(found.session, placed=target), found.best, found.warnings)


def _fresh(experiment: Experiment, found: State, active: bool) -> State:
    if active:
        raise Refused(
            f"runs of {experiment.slug} are queued or running",
            "cancel them first (arctl queue, arctl cancel)",
        )
    original = experiment.run(ORIGINAL).train
    with state.storage("read", original):
        original.read_bytes()  # what cannot begin anew is refused before anything is moved
    intent = replace(found.session, archiving=_stamp(), live=False)
    state.write(experiment.session, intent)
    finish_fresh(experiment, intent)
    fresh = load(experiment)
    fresh.warnings.extend(found.warnings)
    return fresh


def _stamp() -> str:
    """The name of a folder in archive/."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def _chain(experiment: Experiment, remaining: int) -> None:
    path = Project(experiment.project).chain
    before = state.read(path, Chain)
    trail = before.chain_trail if before else ()
    if experiment.slug not in trail:
        trail = (*trail, experiment.slug)
    state.write(path, Chain(current_slug=experiment.slug, chain_remaining=remaining, chain_trail=trail))


def forget_told(experiment: Experiment, told: Collection[str]) -> None:
    """Those verdicts have been given: `arctl wait --any` gives them no more."""
    found = state.read(experiment.session, Session)
    if found is not None and not {*found.untold}.isdisjoint(told):
        untold = tuple(run_id for run_id in found.untold if run_id not in told)
        state.write(experiment.session, replace(found, untold=untold))


def stop(experiment: Experiment) -> Session:
    """End it; what runs is the caller's to interrupt."""
    found = load_or_repair(experiment)
    if not found.session.live:
        return found.session
    session = replace(found.session, live=False, terminated_by="manual")
    state.write(experiment.session, session)
    return session
