"""Remembers the headings above values, as YAML and summaries have them. Pure.

    ema:                    === Best model ===
      val_loss: 0.9         val_loss: 0.4

An indented value below one heading keeps its name, as below `Results:`, unless the heading is a qualifier. A
value below two headings is an inner object's, and named by both. A heading that the name repeats, as
`validation:` above val_loss, counts for none. Without indentation a heading counts for the lines that follow
it without a gap, until one of their names comes again.
"""

import re

from ardaemon.metrics.formats.names import QUALIFIER, heading_qualifies, logged, says_split
from ardaemon.metrics.formats.prefix import Prefix

_HEADING = re.compile(r" *+(?P<word>[^\W\d][\w/.@%+-]*+):[ \t]*$")
TITLE_MAX = 80  # characters of a line that may be a title
_ENDS = ":=*#~_─━═-]>"  # what a heading behind a logger's time and level ends with
_MARKS = " \t=*#~_─━═-:[]<>|"
# A title of a qualifier, with words that change nothing: `Best model (epoch 3)`, `Train metrics`.
_TITLE = re.compile(
    rf"(?>(?i:(?:the|new|final|overall|all|metrics|results)[ \t]+)*)(?P<word>{QUALIFIER})(?!\w)"
    r"(?>(?:[ \t]+(?i:model|epoch|step|set|split|data|results?|metrics?|checkpoint|ckpt|scores?|values?|so"
    r"|far|weights|validation|val|run|trial|found|at|@|:?[ \t]*\d+|\([^()]*\))[:!.]?)*)"
)
_LINE = re.compile(r"[=*#~_─━═-]{3,}$")  # below a title
_SAYS = re.compile(r"[:=](?:[ \t]|.*\d)")


class Headings:
    """The headings above the line that is read, each further to the right than the one before."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []
        self._title = ""  # the qualifier above lines that are not indented
        self._may_be = ""  # that of a line without marks: a title if a line of dashes comes below it
        self._names: dict[str, int] = {}  # the names below the title, with the line of each
        self._line = self._indent = 0  # the indentation of the first line below the title
        self._prefix = Prefix()  # what a logger writes before the last heading, and before the lines below it

    @property
    def is_none(self) -> bool:
        """Return whether no heading stands above the line that comes next."""
        return not (self._above or self._title or self._may_be)

    @property
    def is_flat(self) -> bool:
        """Return whether the lines that follow stand below a title, indented or not."""
        return bool(self._title)

    def is_one(self, text: str) -> bool:
        """Return whether a line is a heading, or may be one if dashes come below it."""
        text = text[_behind_logger(text) :]
        if _HEADING.match(text):
            return True
        return len(text) <= TITLE_MAX and _TITLE.fullmatch(_words(text.strip())) is not None

    def _message(self, text: str) -> str:
        """Return a line without what a logger writes before a heading, and before the lines below it."""
        if self.is_none:
            self._prefix = Prefix()
        end = self._prefix.end(text)
        if end == 0 and (end := _behind_logger(text)):
            self._prefix = Prefix(text[:end])
        return text[end:]

    def line(self, text: str) -> None:
        """Take the next line."""
        self._line += 1
        text = self._message(text)
        indent = len(text) - len(text.lstrip(" ")) if text[:1] == " " else 0
        while self._above and self._above[-1][0] >= indent:
            self._above.pop()
        if text[-1:] in (":", " ") and (match := _HEADING.match(text)):
            self._above.append((indent, match["word"]))
        if self._title:
            self._indent = indent if self._indent < 0 else self._indent
            self._title = self._title if indent >= self._indent else ""
        if len(text) <= TITLE_MAX or self._title:
            self._note_title(text.strip())

    def _note_title(self, text: str) -> None:
        words = _words(text)
        if not words:
            is_below = _LINE.match(text) is not None
            self._title = (self._title or self._may_be) if is_below else ""
            self._may_be = ""
            return
        match = _TITLE.fullmatch(words)
        qualifier = match["word"] if match else ""
        if qualifier:
            has_marks = text[-1] in _MARKS or text[0] in _MARKS or words[-1] in ":!" or words[-1].isdigit()
            self._title, self._may_be = (qualifier, "") if has_marks else ("", qualifier)
            self._names, self._indent = {}, -1
        elif _SAYS.search(text) is None:
            self._title = self._may_be = ""

    def named(self, name: str) -> str:
        """Return the name that a value of this line has."""
        words = [word for _, word in self._above if not says_split(word, name)]
        if len(words) > 1:
            return "/".join([*words, name])
        if words and heading_qualifies(words[0], name):
            return f"{words[0]} {name}"
        return self._below_title(name)

    def _below_title(self, name: str) -> str:
        if not self._title or not heading_qualifies(self._title, name):
            return name
        if self._names.setdefault(name, self._line) != self._line:
            self._title = ""  # the name comes again: this is the next report
            return name
        return f"{self._title} {name}"


def _behind_logger(text: str) -> int:
    """Return where a heading begins behind a logger's time and level; 0 where there is none."""
    if text[-1:] not in _ENDS or not text:
        return 0
    end = logged(text)
    rest = text[end:]
    if _HEADING.match(rest) or (len(rest) <= TITLE_MAX and _TITLE.fullmatch(_words(rest.strip()))):
        return end
    return 0


def _words(text: str) -> str:
    """Return a title without its marks; of `[metrics.best]`, as TOML has it, the last word."""
    words = text.strip(_MARKS)
    return words.rpartition(".")[2] if text[:1] == "[" and " " not in words else words
