"""Sorts a run's checkpoints by age. Pure: no I/O."""

import re
from collections.abc import Iterable
from pathlib import Path

# A count in a name: checkpoint-1000, step_12.pt. A measure, as in loss=0.25.ckpt, is none: the larger one may
# be the older or the worse.
_COUNT = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]+(?![0-9])(?!\.[0-9])")


def latest_first(written: Iterable[tuple[float, Path]]) -> list[Path]:
    """Sort pairs of (time of writing, path), and return the paths, the latest first.

    Names that differ by one number alone, as checkpoint-200 and checkpoint-1000, are sorted by that
    number: a trainer counts, and filesystems keep coarse times. Others are sorted by the time of
    writing.
    """
    pairs = list(written)
    counts = _counts([str(path) for _, path in pairs])
    ranked = zip(counts, pairs, strict=True)
    return [path for _, (_, path) in sorted(ranked, reverse=True)]


def _counts(names: list[str]) -> list[int]:
    """Return the one number by which each name differs from the others; zeros if there are more."""
    nothing = [0] * len(names)
    if len({_COUNT.sub("#", name) for name in names}) != 1:
        return nothing
    columns = list(zip(*([int(n) for n in _COUNT.findall(name)] for name in names), strict=True))
    differing = [column for column in columns if len(set(column)) > 1]
    return list(differing[0]) if len(differing) == 1 else nothing
