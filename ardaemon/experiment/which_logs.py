"""Decides which old logs go: by number, or until enough is free. Pure: no I/O."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ardaemon.core.layout import Run

# Of each experiment, as long as the disk has room: an agent looks at the last crash, and at the one before.
LAST_KEPT = 3
# Of one run: a log takes a block of the disk, and so do samples, and the line that stands in the log's place.
WORTH_BYTES = 3 * 4096


class RunLogs(NamedTuple):
    """The logs and samples of one run that is over, and what they take.

    `size` is in bytes of the disk, `log_size` those of the logs alone; `written` is when the newest log was,
    in seconds since 1970.
    """

    run: Run
    logs: tuple[Path, ...]
    samples: tuple[Path, ...]
    log_size: int
    size: int
    written: float


def all_but(runs: Sequence[RunLogs], last: int, best: str | None) -> list[RunLogs]:
    """Return those with a log, but for the last `last` of `runs`, which are in order, and the best's."""
    older = runs[: len(runs) - last] if last < len(runs) else ()
    return [one for one in older if one.logs and one.run.run_id != best]


def first_to_go(runs: Sequence[RunLogs], best: str | None) -> list[RunLogs]:
    """Return those of one experiment that a quota may take: not the best's, nor the last ones."""
    return [one for one in runs[:-LAST_KEPT] if one.run.run_id != best and one.size >= WORTH_BYTES]


def last_to_go(runs: Sequence[RunLogs], best: str | None) -> list[RunLogs]:
    """Return those that first_to_go() leaves, which go only if the disk is full without that."""
    first = {one.run for one in first_to_go(runs, best)}
    return [one for one in runs if one.run not in first and one.size >= WORTH_BYTES]


def until_freed(runs: Iterable[RunLogs], wanted: int) -> Iterator[RunLogs]:
    """Yield the oldest of all, until together they take `wanted` bytes; all if that is not enough."""
    freed = 0
    for one in sorted(runs, key=lambda one: one.written):
        if freed >= wanted:
            return
        freed += one.size
        yield one


def names(run_ids: Collection[str]) -> str:
    """Say which runs these are, neighbours in one word: r0001-r0009, r0012."""
    numbers = sorted(int(run_id[1:]) for run_id in run_ids)
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"r{a:04d}" if a == b else f"r{a:04d}-r{b:04d}" for a, b in spans)
