"""Finds what a log reports, a cleaned line at a time: names and numbers, in plain text and in objects. Pure.

A report of the primary metric whose number cannot be read is found as well, with the reason, so that no older
value stands in for it.
"""

import re
from collections.abc import Iterator

from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats import numbers
from ardaemon.metrics.formats.headings import Headings
from ardaemon.metrics.formats.lines import STAND_IN, Report, literally
from ardaemon.metrics.formats.names import name_before, qualified
from ardaemon.metrics.formats.objects import Found, Objects

# A line of rich's RichHandler ends with the place in the source.
_SOURCE_COLUMN = re.compile(r"[ \t]{2,}[\w./-]+\.py:\d+[ \t]*$")
REST_MAX = 200  # characters behind a name that are looked at
FOLDED_AT = 80  # columns; programs that know no width fold their lines there
_SIGNS = re.compile(r"[:=({\u0080-\U0010ffff]")  # one of them is in every line that says something here
_QUOTES = r"[\"'`*]*+"
_FIRST_WORD = re.compile(r"[^\W\d][^\d\W]{2,11}")
_NUMBER_WITHOUT_END = rf"(?:{numbers.SEPARATOR}[ \t]*+{numbers.NUMBER})"


class Scan:
    """Reads one line after the other: objects go on over several, and a folded line in the next one."""

    def __init__(self, primary: str) -> None:
        """Take the metric, in one spelling, whose unread mentions are reported too; "" for none."""
        self._spelled, self._literally = primary, literally(primary)
        self.primary = primary = STAND_IN if self._literally else primary
        self._objects, self._headings = Objects(), Headings()
        self._folded: tuple[str, int] | None = None  # a line that ends with the primary metric's name
        name = re.escape(primary)
        self._mention = re.compile(rf"{name}(?=\.*+{_QUOTES}[ \t]*+(?P<separator>{numbers.SEPARATOR}))")
        self._at_end = re.compile(rf"{name}{_QUOTES}(?P<separator>[ \t]*+{numbers.SEPARATOR})?[ \t]*$")
        self._glued = re.compile(rf"({_NUMBER_WITHOUT_END})(?={name}[ \t]*+{numbers.SEPARATOR})")
        # `val_loss 0.5`, `val_loss is 0.5`, `│ val_loss │ 0.5 │`: with a decimal point, no words behind it.
        self._spaced = re.compile(
            rf"{name}{_QUOTES}(?:[ \t]++is[ \t]++|[ \t]*+[│┃|][ \t]*+|[ \t]++)"
            rf"(?P<value>(?=[+-]?[\d_,]*\.\d|[+-]?\d+(?:\.\d*)?[eE][+-]?\d|(?i:[+-]?nan\b|[+-]?inf)){numbers.NUMBER})"
            r"(?=[ \t]*+(?:$|[,;|│┃)\]}])|[ \t]++[^\W\d]\S*+[ \t:=]++[+-]?[\d.])"
        )

    def line(self, text: str) -> list[Report]:
        """Return the reports of the next line, from left to right."""
        self._headings.line(text)
        if not (_SIGNS.search(text) or self._folded or self._objects.is_open) and (
            not self._spelled or self._spelled not in text
        ):
            return []
        text = _SOURCE_COLUMN.sub("", one_spelling(text))
        if self._literally is not None:
            text = self._literally.sub(STAND_IN, text)
        found = self._unfolded(text)
        for piece in self._pieces(text):
            found += self._piece(piece)
        return [self._under_its_name(report) for report in found]

    def _under_its_name(self, report: Report) -> Report:
        if self._literally is None or STAND_IN not in report.name:
            return report
        return report._replace(name=report.name.replace(STAND_IN, self._spelled))

    def skip(self, text: str) -> None:
        """Take note of a line whose reports do not count."""
        self._headings.line(text)
        if self._folded or self._objects.is_open or "{" in text or text.count("(") > text.count(")"):
            self.line(text)

    @property
    def is_folded(self) -> bool:
        """Return whether the last line ended with a name whose number the next line may begin with."""
        return self._folded is not None or self._objects.is_waiting

    def unfolded(self, text: str) -> list[Report]:
        """Return what the next line holds of the report that the last line began, and nothing else."""
        return [self._under_its_name(report) for report in self._unfolded(one_spelling(text))]

    def end(self) -> list[Report]:
        """Return what the last line leaves, a name without its number: the next line is no part of it."""
        self._objects.stop_waiting()
        return [self._under_its_name(report) for report in self._unfolded("")]

    def _piece(self, text: str) -> list[Report]:
        found: list[Report] = []
        at = 0
        if self._objects.goes_on(text):
            members, at = self._objects.read(text, 0)
            found += self._members(text, members, "")
        while at < len(text):
            opening = self._objects.opens(text, at)
            stop = opening.start() if opening else len(text)
            found += self._plain(text, at, stop)
            if opening is None:
                break
            members, at = self._objects.read(text, self._objects.begin(opening))
            found += self._members(text, members, text[:stop])
        else:
            return found
        self._note_fold(text)
        return found

    def _plain(self, text: str, begin: int, stop: int) -> list[Report]:
        found, taken, seen = [], set(), set[str]()
        end = begin
        for match in numbers.separated().finditer(text, begin, stop):
            name = name_before(text, end, match.start(), self.primary)
            end = match.end()
            if name is None or _is_place(name[0], match[0]):
                continue
            taken.add(match.start())
            full = qualified(text, *name, seen)
            seen.add(full)
            found.append(_report(self._headings.named(full), match["value"], text, name[1]))
        if self.primary and self.primary in text[begin:stop]:
            found += self._spaced_ones(text, begin, stop)
            found += self._unread(text, begin, stop, taken)
            found.sort(key=lambda report: report.at)
        return found

    def _spaced_ones(self, text: str, begin: int, stop: int) -> Iterator[Report]:
        for match in self._spaced.finditer(text, begin, stop):
            if self._is_named(text, match.start(), begin):
                yield _report(self.primary, match["value"], text, match.start())

    def _unread(self, text: str, begin: int, stop: int, taken: set[int]) -> Iterator[Report]:
        for match in self._mention.finditer(text, begin, stop):
            separator = match.start("separator")
            rest = text[match.end("separator") : min(stop, match.end("separator") + REST_MAX)]
            if separator in taken or not self._is_named(text, match.start(), begin):
                continue
            if not rest.strip():  # an object follows, or the line is folded: see _note_fold
                if not numbers.is_wrapped(text, stop):
                    continue
                rest = text[stop : stop + REST_MAX]
            why = numbers.unread(rest)
            if why is not None and not _is_place(self.primary, text[separator:]):
                yield Report(self.primary, None, (text, match.start()), why)

    def _is_named(self, text: str, at: int, begin: int) -> bool:
        """Return whether the primary metric's name at `at` is the whole name."""
        name = name_before(text, begin, at + len(self.primary), self.primary)
        return name is not None and name[1] == at and self._full(text, name) == self.primary

    def _full(self, text: str, name: tuple[str, int]) -> str:
        return self._headings.named(qualified(text, *name, ()))

    def _members(self, text: str, members: list[Found], before: str) -> list[Report]:
        found = []
        for one in members:
            name = qualified(before, one.name, len(before), ()) if before else one.name
            if one.value is not None:
                found.append(_report(name, one.value, text, one.key_at))
            elif (
                name in (self.primary, self._spelled)
                and (why := numbers.unread(text[one.value_at : one.value_at + REST_MAX])) is not None
            ):
                found.append(Report(name, None, (text, one.key_at), why))
        return found

    def _pieces(self, text: str) -> list[str]:
        """Cut a line where two processes' reports stand in it without a gap."""
        if not self.primary or text.count(self.primary) < 2:
            return [text]
        text = self._glued.sub(r"\1\n", text)
        if first := _FIRST_WORD.match(text):
            text = re.sub(rf"(?<=[\d)\]}}%])(?={re.escape(text[: first.end() + 1])})", "\n", text)
        return text.split("\n")

    def _note_fold(self, text: str) -> None:
        match = self._at_end.search(text)
        if match and self._is_named(text, match.start(), 0):
            self._folded = (text.rstrip(), match.start())

    def _unfolded(self, text: str) -> list[Report]:
        """Return the report that the line before began, and whose number this line begins with."""
        if self._folded is None:
            return []
        (before, at), self._folded = self._folded, None
        has_separator = before[-1] in ":=：＝"
        pattern = numbers.bare() if has_separator else numbers.separated()
        match = pattern.match(text.lstrip())
        if match and _may_be_folded(before, text, match.end()):
            return [_report(self.primary, match["value"], before, at)]
        return [Report(self.primary, None, (before, at), "nothing stands behind it")] if has_separator else []


def _may_be_folded(before: str, text: str, end: int) -> bool:
    """Return whether the number is the whole line, or the line before was too full for it."""
    rest = text.strip()[end:]
    return not rest.strip(" .,;)%") or text[:1].isspace() or len(before) + 1 + end > FOLDED_AT


def _report(name: str, value: str, text: str, at: int) -> Report:
    return Report(name, numbers.as_float(value), (text, at), value)


def _is_place(name: str, rest: str) -> bool:
    """Return whether name and number are a place, as `file.py:80` and `example.org:443`, and no report."""
    return "." in name and rest[0] == ":" and rest[1:].isdigit()
