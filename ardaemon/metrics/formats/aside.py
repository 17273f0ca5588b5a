"""Puts lines of a log aside that report other metrics than the primary one, to read few of them. Pure.

Of lines that differ in their numbers alone the last one counts, and a log has far more lines than kinds of
lines.
"""

from collections.abc import Iterator

from ardaemon.metrics.formats.lines import NUMBER, Report, decode
from ardaemon.metrics.formats.scan import Scan


class Aside:
    """The last line of each kind, and which of their reports are the last of their names."""

    def __init__(self) -> None:
        self._lines: dict[bytes, tuple[int, bytes]] = {}
        self._read: dict[str, int] = {}  # the names that were read at once, with the last line of each

    def is_known(self, number: int, line: bytes) -> bool:
        """Return whether a line of this kind was put aside; the one of this number then takes its place."""
        kind = NUMBER.sub(b"0", line)
        if kind not in self._lines:
            return False
        self._lines[kind] = number, line
        return True

    def put(self, number: int, line: bytes) -> None:
        """Put the line of that number aside."""
        self._lines[NUMBER.sub(b"0", line)] = number, line

    def note(self, number: int, found: list[Report]) -> None:
        """Take note of what a line that was read at once has reported."""
        for report in found:
            self._read[report.name] = number

    def reports(self) -> Iterator[Report]:
        """Yield what the lines report, but for names that a later line has reported."""
        for number, line in sorted(self._lines.values()):
            found = Scan("").line(decode(line))
            yield from (report for report in found if self._read.get(report.name, -1) < number)
