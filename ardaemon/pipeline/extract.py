"""Extract: what an attempt left as evidence, read once it is over."""

from datetime import datetime

from msgspec import Struct

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Contract, Exit, RunRecord
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.registry import BACKENDS
from ardaemon.pipeline import excerpt, reason

REASON_TAIL = 64 << 10  # bytes of the log's end in which a crash's reason is looked for


class Extracted(Struct, frozen=True, kw_only=True):
    """What was read: metrics by name, where from, and why not."""

    metrics: dict[str, float]
    source: str | None = None
    problem: str | None = None
    reason: str | None = None


def extract(
    experiment: Experiment,
    run: Run,
    record: RunRecord,
    contract: Contract,
    environment: dict[str, str],
    attempt: int,
    end: Exit,
) -> Extracted:
    """Read the metrics, also of a run that crashed (recorded, never compared), and a crash's reason."""
    log = run.attempt(attempt).log
    failed = end.ending != "exited" or end.exit_code != 0
    why = reason.recognise(end, excerpt.tail_text(log, REASON_TAIL), end.host_oom) if failed else None
    if not log.exists():
        return Extracted(metrics={}, reason=why, problem="the run left no log")
    settings = record.settings
    evidence = Evidence(
        log=log,
        run_folder=run.folder,
        attempt_folder=log.parent,
        project=experiment.project,
        environment=environment,
        started_at=_seconds(end.started_at or record.submitted_at),
    )
    query = Query(contract.primary, settings.metric_regex, settings.metric_command)
    try:
        readings = BACKENDS[settings.metrics].read(evidence, query)
    except (OSError, ArdaemonError) as error:
        return Extracted(metrics={}, problem=f"metrics could not be read: {error}", reason=why)
    return Extracted(
        metrics={name: metric.last for name, metric in readings.metrics.items()},
        source=readings.source,
        problem=_problem(readings, contract.primary.metric),
        reason=why,
    )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _problem(readings: Readings, name: str) -> str | None:
    if name in readings.metrics:
        return None
    near = f"; the nearest it printed: {', '.join(readings.nearest)}" if readings.nearest else ""
    return (readings.problem or f"metric {name} not found") + near
