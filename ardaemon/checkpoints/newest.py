"""Which of a run's checkpoints is the latest. Pure."""

import re
from collections.abc import Iterable
from pathlib import Path

# A count in a name: checkpoint-1000, step_12.pt. Not a measure, as in loss=0.25.ckpt: of those, the larger
# one may be the older or the worse.
_COUNT = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]+(?![0-9])(?!\.[0-9])")


def latest_first(written: Iterable[tuple[float, Path]]) -> list[Path]:
    """The latest first, of (time of writing, path).

    By the number in the name where the names differ by nothing else, as checkpoint-200 and checkpoint-1000:
    a trainer counts, and filesystems keep coarse times. By the time of writing otherwise.
    """
    found = list(written)
    counts = _counts([str(path) for _, path in found])
    ranked = zip(counts, found, strict=True)
    return [path for _, (_, path) in sorted(ranked, reverse=True)]


def _counts(names: list[str]) -> list[int]:
    """The one number by which each name differs from the others; zeros where it is not that alone."""
    nothing = [0] * len(names)
    if len({_COUNT.sub("#", name) for name in names}) != 1:
        return nothing
    columns = list(zip(*([int(n) for n in _COUNT.findall(name)] for name in names), strict=True))
    differing = [column for column in columns if len(set(column)) > 1]
    return list(differing[0]) if len(differing) == 1 else nothing
