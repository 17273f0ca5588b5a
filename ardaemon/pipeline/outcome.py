"""The result of a run as it is told: put together, and cut to the size that an agent's context is worth."""

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core.config import RESULT_MAX_BYTES
from ardaemon.core.model import Exit, Result, UncleanRecord
from ardaemon.core.text import cut_bytes
from ardaemon.host import state
from ardaemon.judging import verdict
from ardaemon.pipeline.ended import PEAK_RSS, PEAK_VRAM, Ended

GAP_S = 60.0  # of time without a sample, as while no daemon lived: then the result says how long
SHORT = 80  # bytes of a text in a result that does not fit otherwise


def result_of(ended: Ended, judged: verdict.Judgement, stamp: str) -> Result:
    """Return the result as judged; of its checkpoint and of how the session goes on others tell."""
    metrics = ended.finite_metrics
    return Result(
        run_id=ended.run.run_id,
        expr=ended.experiment.slug,
        status=judged.status,
        verdict=judged.verdict,
        valid=judged.valid,
        improved_over_best=judged.improved,
        primary=judged.primary,
        metrics={n: v for n, v in metrics.items() if n not in (judged.primary.name, PEAK_RSS, PEAK_VRAM)},
        metrics_source=ended.extracted.source,
        counted=ended.extracted.counted,
        constraints=judged.constraints,
        peak_vram_mb=metrics.get(PEAK_VRAM),
        peak_vram_source=_source(ended, metrics),
        peak_rss_mb=metrics.get(PEAK_RSS),
        tainted=ended.tainted,
        seconds=ended.exit.seconds,
        exit_code=ended.exit.exit_code,
        signal=ended.exit.signal,
        reason=None if judged.reason is None else judged.reason.text(),
        base=ended.record.base,
        attempts=ended.attempts,
        measure=ended.record.measure,
        rewritten=ended.rewritten,
        note=ended.record.note,
        started_at=ended.exit.started_at,
        ended_at=stamp,
    )


def _source(ended: Ended, metrics: dict[str, float]) -> str | None:
    """Return where the peak is from: measured, or, where nothing could be, what the script itself reports."""
    measured = ended.measured
    if measured is not None and measured.peak_vram_mb is not None:
        unseen = f", {measured.gap_s:.0f} s unseen" if measured.gap_s > GAP_S else ""
        return f"{measured.source}{unseen}"
    return "reported" if PEAK_VRAM in metrics else None


def fit(result: Result) -> Result:
    """Cut a result to RESULT_MAX_BYTES; primary, verdict and termination always stand."""
    for candidate in _shorter(result):
        result = candidate
        # train_py is filled in later, by a word that may be longer than now.
        if len(state.encode(replace(result, train_py="edited_since"))) <= RESULT_MAX_BYTES:
            break
    return result


def _shorter(result: Result) -> Iterator[Result]:
    """Yield the result, then less and less of it: what is missed least goes first."""
    yield result
    metrics = list(result.metrics.items())
    while metrics:
        metrics = metrics[: len(metrics) // 2]
        yield (result := replace(result, metrics=dict(metrics)))
    source = cut_bytes(result.metrics_source or "", SHORT) or None
    yield (result := replace(result, metrics_source=source))
    yield (result := replace(result, note=result.note[: SHORT // 2]))
    yield (result := replace(result, constraints=tuple(c for c in result.constraints if not c.ok)[:3]))
    yield (result := replace(result, note="", reason=cut_bytes(result.reason or "", SHORT) or None))
    cut = tuple(replace(c, expr=cut_bytes(c.expr, SHORT)) for c in result.constraints[:1])
    yield (result := replace(result, constraints=cut))
    yield replace(result, constraints=(), metrics_source=None, reason=None)


def passed_over(result: Result, promoted: Path | None, passed: tuple[str, ...]) -> Result:
    """Say in the result which later save was passed over, and why: never is one left out without a word."""
    if promoted is None:
        return without(result, passed[0])
    why = f"checkpoint {promoted.name} promoted: {passed[0]}"
    return _with_reason(result, why)


def without(result: Result, problem: str) -> Result:
    """Return the result of a run that advances without its checkpoint, and says why."""
    return _with_reason(replace(result, checkpoint=None), f"checkpoint not promoted: {problem}")


def all_kept(result: Result, problem: str) -> Result:
    """Return the result of a run none of whose checkpoints --keep-checkpoints removes, and says why."""
    return _with_reason(result, f"its checkpoints all stay: {problem}")


def _with_reason(result: Result, why: str) -> Result:
    return replace(result, reason=f"{result.reason}; {why}" if result.reason else why)


def unclean_of(
    run_id: str, end: Exit, slots: tuple[str, ...], boot_id: str, stamp: str
) -> UncleanRecord | None:
    """Return what survived the kill of a run; None where nothing did."""
    if not end.survivors:
        return None
    return UncleanRecord(
        run_id=run_id, survivors=end.survivors, boot_id=boot_id, at=stamp, slots=slots, cgroup=end.cgroup
    )
