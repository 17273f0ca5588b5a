"""A section of the report: a heading and the longest list of lines that fits into its room. Pure."""

from collections.abc import Callable, Sequence

LEFT_MAX = 64  # bytes of the line that says how many entries are left out
Left = Callable[[int], str]


def size(lines: Sequence[str]) -> int:
    """Return the bytes of the lines, each with its line end."""
    return sum(len(line.encode()) + 1 for line in lines)


def section(heading: str, entries: Sequence[str], room: int, total: int, left: Left) -> list[str]:
    """Return heading and entries, at most `room` bytes of them; [] if there is no entry.

    An entry may have several lines. `total` is the number of all entries, of which `entries` are the first;
    `left(n)` is the line that stands for the n without room.
    """
    if not entries:
        return []
    lines = ["", f"## {heading}"]
    fitting = _fitting(entries, room - size(lines), total)
    lines += entries[:fitting]
    return lines if fitting == total else [*lines, left(total - fitting)]


def _fitting(entries: Sequence[str], room: int, total: int) -> int:
    """Return how many of the first entries fit; room is kept for the line about the others."""
    for count, entry in enumerate(entries):
        room -= len(entry.encode()) + 1
        is_last = count + 1 == total
        if room < (0 if is_last else LEFT_MAX):
            return count
    return len(entries)


def newest_that_fit(entries: Sequence[str], room: int, total: int, left: Left) -> list[str]:
    """Return the first entry and the newest others that fit; `left(n)` stands for the n left out between.

    `entries` are the first of `total` and the newest of them.
    """
    room -= size(entries[:1]) + LEFT_MAX
    newest: list[str] = []
    for entry in reversed(entries[1:]):
        room -= len(entry.encode()) + 1
        if room < 0:
            break
        newest.insert(0, entry)
    missing = total - 1 - len(newest)
    return [*entries[:1], *([left(missing)] if missing > 0 else []), *newest]
