"""Extract: what an attempt left as evidence, read once it is over."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Contract, Exit, Settings
from ardaemon.core.reason import Reason
from ardaemon.core.run_record import RunRecord
from ardaemon.core.text import one_line
from ardaemon.host import state
from ardaemon.judging import excerpt, reason
from ardaemon.metrics.base import AttemptOutput, Bookmarks, Point, Query, Readings
from ardaemon.metrics.registry import BACKENDS
from ardaemon.metrics.searches import ONCE, Searches
from ardaemon.pipeline import view_file

REASON_TAIL = 64 << 10  # bytes of the log's end in which a crash's reason is looked for
SOURCE_MAX = 160  # characters of where the metrics are from: result.json is small
_point = msgspec.json.Decoder(Point)


class Extracted(Struct, frozen=True, kw_only=True):
    """The evidence of one attempt: metrics by name, where from, and which value counts or why none does."""

    metrics: dict[str, float]
    source: str | None = None
    counted: str | None = None
    problem: str | None = None
    reason: Reason | None = None
    silent: bool = False  # the host restarted, and the log, read alone, does not name the primary metric


def of_log(settings: Settings) -> bool:
    """Tell whether the log alone may hold the metrics: after a restart of the host it alone is relied on."""
    elsewhere = settings.metric_command is not None or settings.metric_path is not None
    return settings.metrics in ("log", "auto") and not elsewhere


def extract(
    experiment: Experiment,
    run: Run,
    record: RunRecord,
    contract: Contract,
    environment: dict[str, str],
    attempt: int,
    end: Exit,
    restarted: bool = False,
) -> Extracted:
    """Read the metrics, also of a run that crashed (recorded, never compared), and a crash's reason.

    `restarted`: the host did since the end; only the log was synced before, so that only it is read.
    """
    settings, here = record.settings, run.attempt(attempt)
    why = _crash_reason(here.log, end)
    if not here.log.exists():
        return Extracted(metrics={}, reason=why, problem="the run left no log")
    output = output_of(experiment, run, environment, attempt, end.started_at, record.submitted_at)
    output = replace(output, bookmarks=Bookmarks(here.folder))
    backend = BACKENDS["log" if restarted else settings.metrics]
    try:
        readings = backend.read(output, query(settings, contract))
    except (OSError, ArdaemonError) as error:
        return Extracted(metrics={}, problem=f"metrics could not be read: {error}", reason=why)
    write_curve(here.curve, readings.curve)
    silent = restarted and settings.metrics != "log" and not readings.settled
    return replace(_extracted(readings, contract.primary.metric), reason=why, silent=silent)


def _crash_reason(log: Path, end: Exit) -> Reason | None:
    """Recognise why a job failed by itself; None where it succeeded, or somebody ended it."""
    if end.ending != "exited" or end.exit_code == 0:
        return None
    return reason.recognise(end, excerpt.tail_text(log, REASON_TAIL), end.host_oom)


def _extracted(readings: Readings, primary: str) -> Extracted:
    return Extracted(
        metrics=_metrics(readings, primary),
        source=_source(readings),
        counted=readings.counted,
        problem=_problem(readings, primary),
    )


def output_of(
    experiment: Experiment,
    run: Run,
    environment: dict[str, str],
    attempt: int,
    *started_at: str | None,
    found: Searches | None = None,
) -> AttemptOutput:
    """Return where the attempt leaves its traces, and what was there before it.

    The first of `started_at` that can be read is its start. `found` remembers what was found of its files;
    by default once and for all, as suits an attempt that is over.
    """
    here = run.attempt(attempt)
    before = checkpoint.read_before(here)
    return AttemptOutput(
        log=here.log,
        run_folder=run.job,
        attempt_folder=here.folder,
        project=experiment.project,
        environment=environment,
        started_at=state.seconds(*started_at),
        before=before.files if before is not None else {},
        noted=before.noted if before is not None else (),
        unseen=before.unseen if before is not None else {},
        searches=found or Searches(ONCE),
    )


def query(settings: Settings, contract: Contract) -> Query:
    """Return what the session asks of a backend."""
    return Query(
        primary=contract.primary,
        regex=settings.metric_regex,
        command=settings.metric_command,
        path=settings.metric_path,
        count=settings.value,
        max_log=settings.max_log,
    )


def _metrics(readings: Readings, primary: str) -> dict[str, float]:
    """Return the last value of each metric; of the primary one that which counts."""
    last = {name: metric.last for name, metric in readings.metrics.items() if name != primary}
    return last if readings.value is None else {**last, primary: readings.value}


def _source(readings: Readings) -> str:
    """Name the source, the place in it, and what else there is to know, as `csv m.csv (log: not printed)`."""
    problem = (readings.problem,) if readings.value is not None else ()
    notes = "; ".join(filter(None, (*problem, *readings.passed)))
    where = f"{readings.source} {readings.detail}" if readings.detail else readings.source
    return one_line(f"{where} ({notes})" if notes else where, SOURCE_MAX)


def _problem(readings: Readings, name: str) -> str | None:
    if readings.value is not None:
        return None
    near = f"; the nearest it printed: {', '.join(readings.nearest)}" if readings.nearest else ""
    return (readings.problem or f"metric {name} not found") + near


def write_curve(path: Path, points: Sequence[Point]) -> None:
    """Write the curve anew; what the disk refuses is logged, and no verdict waits for it."""
    if not points and not path.exists():
        return
    view_file.write(path, b"".join(msgspec.json.encode(point) + b"\n" for point in points))


def read_curve(path: Path) -> Iterator[Point]:
    """Yield the points of a curve; none where there is no file of ours, and no line that is none."""
    try:
        data = files.read(path, file_kinds.CURVE)
    except OSError:  # no run is judged by it: whoever looks at it sees nothing
        return
    for line in data.split(b"\n"):
        with suppress(*state.UNREADABLE):
            yield _point.decode(line)
