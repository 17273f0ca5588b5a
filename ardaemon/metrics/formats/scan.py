"""Finds what a log reports, a cleaned line at a time: names and numbers, in plain text and in objects. Pure.

A report of the primary metric whose number cannot be read is found as well, with the reason, so that no older
value stands in for it.
"""

import re
from collections.abc import Iterator

from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats import numbers
from ardaemon.metrics.formats.full_line import FOLDED_AT, FullLine
from ardaemon.metrics.formats.headings import Headings
from ardaemon.metrics.formats.lines import Report
from ardaemon.metrics.formats.names import is_split, name_before, qualified, says_split
from ardaemon.metrics.formats.objects import Found, Objects
from ardaemon.metrics.formats.wanted import REST_MAX, Wanted

# A line of rich's RichHandler ends with the place in the source.
_SOURCE_COLUMN = re.compile(r"[ \t]{2,}[\w./-]+\.py:\d+[ \t]*$")
_SIGNS = re.compile(r"[:=({\u0080-\U0010ffff]")  # one of them is in every line that says something here
_TEXT = re.compile(r"[\"'](\w+)[\"']")


class Scan:
    """Reads one line after the other: objects go on over several, and a folded line in the next one."""

    def __init__(self, primary: str) -> None:
        """Take the metric, in one spelling, whose unread mentions are reported too; "" for none."""
        self.wanted = Wanted(primary)
        self.other: str | None = None  # the name under which the primary's last word was last reported
        self._objects, self._headings = Objects(), Headings()
        self._folded: tuple[str, int] | None = None  # a line that ends with the primary metric's name
        self._full = FullLine(self.wanted)

    def line(self, text: str) -> list[Report]:
        """Return the reports of the next line, from left to right."""
        self._headings.line(text)
        before = self._full.went_on(text)
        is_full = self._full.note(text)
        if not (_SIGNS.search(text) or self._folded or self._objects.is_open) and (
            not self.wanted.bare or self.wanted.bare not in text
        ):
            return before
        text = self.wanted.text(_SOURCE_COLUMN.sub("", one_spelling(text)))
        found = self._unfolded(text)
        for piece in self.wanted.pieces(text):
            found += self._piece(piece)
        named = [self.wanted.named(report) for report in found]
        return before + (self._full.without_last(text, named) if is_full else named)

    def skip(self, text: str) -> None:
        """Take note of a line whose reports do not count."""
        opens = "{" in text or text.count("(") > text.count(")")
        if self.is_folded or self._objects.is_open or opens or self._headings.is_flat:
            self.line(text)
        else:
            self._headings.line(text)

    def is_apart(self, text: str) -> bool:
        """Return whether the next line says the same wherever it stands, and nothing of those after it."""
        opens = "{" in text or text.count("(") > text.count(")") or self._headings.is_one(text)
        return self.is_neutral and not (opens or self._full.ends_within_name(text))

    @property
    def is_neutral(self) -> bool:
        """Return whether the lines before leave nothing that the next one could go on with."""
        return not (self.is_folded or self._objects.is_open) and self.has_no_headings

    @property
    def has_no_headings(self) -> bool:
        """Return whether no heading stands above the line that comes next."""
        return self._headings.is_none

    @property
    def is_folded(self) -> bool:
        """Return whether the last line ended with a name or number that the next line may go on with."""
        return self._full.may_go_on or self._folded is not None or self._objects.is_waiting

    def unfolded(self, text: str) -> list[Report]:
        """Return what the next line holds of the report that the last line began, and nothing else."""
        before, text = self._full.went_on(text), one_spelling(text)
        return before + [
            self.wanted.named(report) for report in (*self._unfolded(text), *self._awaited(text))
        ]

    def end(self) -> list[Report]:
        """Return what the last line leaves, a name without its number: the next line is no part of it."""
        return self.unfolded("")

    def _piece(self, text: str) -> list[Report]:
        found: list[Report] = []
        at = 0
        waiting = self._objects.waiting
        if self._objects.goes_on(text):
            members, at = self._objects.read(text)
            found += self._members(text, members, "")
        if waiting and all(report.name != waiting for report in found):
            found += self._left_out(waiting, text if at else "")
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
            name = name_before(text, end, match.start(), self.wanted.word)
            end = match.end()
            if name is None or _is_place(name[0], match[0]):
                continue
            taken.add(match.start())
            full = qualified(text, *name, seen)
            seen.add(full)
            found.append(self._report(self._headings.named(full), match["value"], text, name[1], end))
        if self.wanted.is_in(text, begin, stop):
            found += self._spaced(text, begin, stop)
            found += self._unread(text, begin, stop, taken)
            found.sort(key=lambda report: report.at)
        return found

    def _report(self, name: str, value: str, text: str, at: int, end: int) -> Report:
        """Make a report; a unit of size or time takes the primary metric's number its sense."""
        report, word = _report(name, value, text, at), self.wanted.word
        if not word or not name.endswith(word):
            return report
        if self.wanted.named(report).name != self.wanted.full:
            if name.endswith((f" {word}", f"/{word}")):
                self.other = self.wanted.named(report).name
            return report
        unit = numbers.unit_behind(text, end)
        if unit is None or name.lower().endswith(unit.lower()):
            return report
        return report._replace(value=None, printed=f"'{value} {unit}': a unit")

    def _spaced(self, text: str, begin: int, stop: int) -> Iterator[Report]:
        for mention in self.wanted.without_separator(text, begin, stop):
            if self._is_named(text, mention.at, begin):
                value, printed = None, mention.why
                if mention.value is not None:
                    value, printed = numbers.as_float(mention.value), mention.value
                yield Report(self.wanted.full, value, (text, mention.at), printed)

    def _unread(self, text: str, begin: int, stop: int, taken: set[int]) -> Iterator[Report]:
        for match in self.wanted.mention.finditer(text, begin, stop):
            separator = match.start("separator")
            behind = match.end("separator")
            if separator in taken or not self._is_named(text, match.start(), begin):
                continue
            if not text[behind:stop].strip():  # an object follows, or the line is folded: see _note_fold
                if not numbers.is_wrapped(text, stop):
                    continue
                stop = len(text)
            if not _is_place(self.wanted.word, text[separator:]):
                yield from self._left_out(self.wanted.full, text[:stop], behind, match.start())

    def _left_out(self, name: str, text: str, at: int = 0, name_at: int = 0) -> Iterator[Report]:
        """Yield a report without a value, where what stands at a place claims to be the primary's number."""
        if self.wanted.named(_report(name, "0", text, 0)).name != self.wanted.full:
            return
        if (why := numbers.unread(text[at : at + REST_MAX])) is not None:
            last = numbers.many(text, at + len(text[at:]) - len(text[at:].lstrip()))
            yield Report(self.wanted.full, None, (text, name_at), why, last)

    def _is_named(self, text: str, at: int, begin: int) -> bool:
        """Return whether the primary metric's name at `at` is the whole name."""
        name = name_before(text, begin, at + len(self.wanted.word), self.wanted.word)
        if name is None or name[1] != at:
            return False
        report = _report(self._headings.named(qualified(text, *name, ())), "0", text, at)
        full = self.wanted.named(report).name
        if full != self.wanted.full:
            self.other = full
        return full == self.wanted.full

    def _members(self, text: str, members: list[Found], before: str) -> list[Report]:
        found = []
        label = _label(text, members)
        for one in members:
            name = qualified(before, one.name, len(before), ()) if before else one.name
            if label and name == one.name and not says_split(label, name):
                name = f"{label} {name}"
            if "/" not in name or not before:
                name = self._headings.named(name) if self._headings.is_flat else name
            if one.value is not None:
                found.append(_report(name, one.value, text, one.key_at))
            else:
                found += self._left_out(name, text, one.value_at, one.key_at)
        return found

    def _note_fold(self, text: str) -> None:
        match = self.wanted.at_end.search(text)
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
            return [_report(self.wanted.full, match["value"], before, at)]
        why = "nothing stands behind it"
        return [Report(self.wanted.full, None, (before, at), why)] if has_separator else []

    def _awaited(self, text: str) -> list[Report]:
        """Return the value of the key that the last line ended with, where this line begins with it."""
        waiting = self._objects.waiting
        if not waiting:
            return []
        if text and self._objects.goes_on(text):
            found = self._members(text, self._objects.read(text)[0], "")
            return [report for report in found if report.name == waiting][:1] or [
                *self._left_out(waiting, text)
            ]
        self._objects.stop_waiting()
        return [*self._left_out(waiting, "")]


def _may_be_folded(before: str, text: str, end: int) -> bool:
    """Return whether the number is the whole line, or the line before was too full for it."""
    rest = text.strip()[end:]
    return not rest.strip(" .,;)%") or text[:1].isspace() or len(before) + 1 + end > FOLDED_AT


def _report(name: str, value: str, text: str, at: int) -> Report:
    return Report(name, numbers.as_float(value), (text, at), value)


def _is_place(name: str, rest: str) -> bool:
    """Return whether name and number are a place, as `file.py:80` and `example.org:443`, and no report."""
    return "." in name and rest[0] == ":" and rest[1:].isdigit()


def _label(text: str, members: list[Found]) -> str:
    """Return the part of the data that an object says it is of: {'split': 'train', 'loss': 0.9}."""
    for one in members:
        if one.value is None and "/" not in one.name:
            match = _TEXT.match(text[one.value_at : one.value_at + REST_MAX].lstrip())
            if match and is_split(match[1]):
                return match[1]
    return ""
