"""Finds the mentions of the one metric that is wanted, the primary, in a cleaned line of a log. Pure."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats import numbers
from ardaemon.metrics.formats.lines import STAND_IN, Report, literally
from ardaemon.metrics.formats.names import has_part, parted

REST_MAX = 200  # characters behind a name that are looked at
# What may stand between a name and its separator: quotes, marks of Markdown, which direction is better.
MARKS = r"[\"'`*↑↓]*+"
_BARS = r"[ \t]*+[│┃|][ \t]*+"
_POINTED = rf"(?=[+-]?[\d_,]*\.\d|[+-]?\d+(?:\.\d*)?[eE][+-]?\d|(?i:[+-]?nan\b|[+-]?inf)){numbers.NUMBER}"
_FIRST_WORD = re.compile(r"[^\W\d][^\d\W]{2,11}")
_NUMBER_WITHOUT_END = rf"(?:{numbers.SEPARATOR}[ \t]*+{numbers.NUMBER})"


class Mention(NamedTuple):
    """A place where the name stands, and its number's text; `value` is None where `why` says why not."""

    at: int
    value: str | None
    why: str = ""


class Wanted:
    """The primary metric: its name as reports have it (`full`), and as it stands in a line (`word`).

    A qualifier is no part of `word`: `val loss` stands in a line as `loss`. For a name of several words
    stands one that no script prints.
    """

    def __init__(self, full: str) -> None:
        """Take the name in one spelling; "" for none."""
        self.full, (_, self.bare) = full, parted(full)
        self._literally = literally(self.bare)
        stand_in = f"{STAND_IN}_val" if has_part(self.bare) else STAND_IN
        self.word = stand_in if self._literally else self.bare
        name = re.escape(self.word)
        self.mention = re.compile(rf"{name}(?=\.*+{MARKS}[ \t]*+(?P<separator>{numbers.SEPARATOR}))")
        self.at_end = re.compile(rf"{name}{MARKS}(?P<separator>[ \t]*+{numbers.SEPARATOR})?[ \t]*$")
        self._glued = re.compile(rf"({_NUMBER_WITHOUT_END})(?={name}[ \t]*+{numbers.SEPARATOR})")
        # `val_loss 0.5`, `val_loss is 0.5`, `│ val_loss │ 0.5 │`: with a decimal point, no words behind it.
        self._spaced = re.compile(
            rf"{name}{MARKS}(?:[ \t]++is[ \t]++|{_BARS}|[ \t]++)(?P<value>{_POINTED})"
            r"(?P<rest>[ \t]*+(?:$|[,;|│┃)\]}!])|[ \t]++[^\W\d]\S*+[ \t:=]++[+-]?[\d.])"
        )
        self._several = re.compile(
            rf"{name}{MARKS}(?:[ \t]++is[ \t]++|{_BARS}|[ \t]++){_POINTED}"
            rf"(?=(?:{_BARS}|[ \t]++)[+-]?[.\d][\d.,eE+-]*+[ \t]*+(?:$|[,;|│┃)\]}}\d.+-]))"
        )
        self._pointed = re.compile(rf"{name}{MARKS}[ \t]*+(?:[-=]++>|→|➜)[ \t]*+[+-]?[.\d]")
        # Alone on its line a number needs no point: `wandb:   val_loss 1`.
        self._alone = re.compile(
            rf"(?:[ \t]*+wandb:)?[ \t│┃|]*+(?P<name>{name}){MARKS}(?:{_BARS}|[ \t]++)"
            r"(?P<value>[+-]?\d+)[ \t│┃|]*+$"
        )
        self._nan = re.compile(
            rf"{name}[ \t]++(?:(?:is|was|became|turned)[ \t]++)?(?P<value>(?i:nan))(?![\w-])"
        )

    def text(self, line: str) -> str:
        """Return the line with the metric's name as `word`."""
        return line if self._literally is None else self._literally.sub(self.word, line)

    def named(self, report: Report) -> Report:
        """Return the report under the name that people know."""
        if self._literally is None or self.word not in report.name:
            return report
        return report._replace(name=report.name.replace(self.word, self.bare))

    def is_in(self, text: str, begin: int = 0, end: int | None = None) -> bool:
        """Return whether the name stands in a part of the text."""
        return bool(self.word) and text.find(self.word, begin, end) >= 0

    def rest_of_name(self, line: str) -> str:
        """Return the rest of the name that a line ends within, whole words before it; "" if it does not."""
        ends = (at for at in range(len(self.bare) - 1, 0, -1) if line.endswith(self.bare[:at]))
        at = next(ends, 0)
        before = line[: len(line) - at][-1:]
        return self.bare[at:] if at and not (before.isalnum() or before in "_/.@%+-") else ""

    def goes_on(self, rest: str, line: str) -> bool:
        """Return whether a line begins with that rest of the name and a separator."""
        pattern = rf"{re.escape(rest)}{MARKS}[ \t]*+{numbers.SEPARATOR}"
        return re.match(pattern, one_spelling(line)) is not None

    def without_separator(self, text: str, begin: int, stop: int) -> Iterator[Mention]:
        """Yield the mentions with no `:` or `=`, as in tables."""
        if match := self._alone.fullmatch(text[begin:stop]):
            yield Mention(begin + match.start("name"), match["value"])
        for match in self._spaced.finditer(text, begin, stop):
            if not self._several.match(text, match.start()):
                yield Mention(match.start(), match["value"])
        for match in self._nan.finditer(text, begin, stop):
            yield Mention(match.start(), match["value"])
        for pattern, why in ((self._several, "several numbers stand behind it"), (self._pointed, "an arrow")):
            for match in pattern.finditer(text, begin, stop):
                yield Mention(match.start(), None, why)

    def pieces(self, text: str) -> list[str]:
        """Cut a line where two processes' reports stand in it without a gap."""
        if not self.word or text.count(self.word) < 2:
            return [text]
        text = self._glued.sub(r"\1\n", text)
        if first := _FIRST_WORD.match(text):
            text = re.sub(rf"(?<=[\d)\]}}%])(?={re.escape(text[: first.end() + 1])})", "\n", text)
        return text.split("\n")
