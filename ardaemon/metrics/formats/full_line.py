"""What a line of 80 columns ends with: a terminal may have folded it within a name or a number. Pure."""

import re

from ardaemon.metrics.formats.lines import Report
from ardaemon.metrics.formats.wanted import Wanted

FOLDED_AT = 80  # columns; programs that know no width fold their lines there, and terminals do
_REST_OF_NUMBER = re.compile(r"\.?\d[\d.]*(?:[eE][+-]?\d+)?%?(?=[\s,;|)\]}]|$)|[eE][+-]?\d+(?=[\s,;|)\]}]|$)")


class FullLine:
    """Holds back the primary metric's report at the end of a full line until the next line is known."""

    def __init__(self, wanted: Wanted) -> None:
        """Take the primary metric."""
        self._wanted = wanted
        self._report: Report | None = None  # its number may go on in the next line
        self._rest = ""  # of the name that the line ends within

    @property
    def may_go_on(self) -> bool:
        """Return whether the next line may go on with what the last one ends with."""
        return self._report is not None or self._rest != ""

    def note(self, text: str) -> bool:
        """Take the next line, and return whether it is full."""
        is_full = len(text) == FOLDED_AT
        self._rest = self._wanted.rest_of_name(text) if is_full else ""
        return is_full

    def ends_within_name(self, text: str) -> bool:
        """Return whether a line is full and ends within the name."""
        return len(text) == FOLDED_AT and self._wanted.rest_of_name(text) != ""

    def without_last(self, text: str, found: list[Report]) -> list[Report]:
        """Return the reports of a full line, but for the one whose number is its end."""
        if found and self._is_end(text, found[-1]):
            self._report = found.pop()
        return found

    def _is_end(self, text: str, report: Report) -> bool:
        name = self._wanted.full
        return report.name == name and report.value is not None and text.endswith(report.printed)

    def went_on(self, text: str) -> list[Report]:
        """Return what was held back, for `text` is the next line; its name or number may go on there."""
        report, self._report, name_rest, self._rest = self._report, None, self._rest, ""
        if name_rest and self._wanted.goes_on(name_rest, text):
            why = f"a line of {FOLDED_AT} columns ends within its name"
            return [Report(self._wanted.full, None, (text, 0), why)]
        if report is None:
            return []
        if rest := _REST_OF_NUMBER.match(text):
            why = f"'{report.printed}' ends a line of {FOLDED_AT} columns, and the next begins with"
            return [report._replace(value=None, printed=f"{why} '{rest[0]}'")]
        return [report]
