"""Reads a command as a shell would read the same line, without a shell, and names what only a shell can do.

The words come out as POSIX 2.2 and 2.3 quote and split them: quotes, backslashes, a line that goes on after a
backslash, a comment. Leading assignments (`LR=0.1 python train.py`) are variables. For all else that a shell
would not hand on as it stands (`>`, `|`, `&&`, `$HOME`, `*`, ...) there is a ShellPart: who asks for the
command refuses it, with what to write instead.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_EXPANDS = re.compile(r"[A-Za-z0-9_{(@*#?!$'\"-]")  # what makes more than itself of a $ before it
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")
_HIDDEN = "\0"  # stands in a word's plain text for a character that was quoted
_IN_SCRIPT = 'put the line into a script, as run.sh, with "$1" in the script\'s place'

_AS_IT_STANDS = "or put '…' around the word, where the program is to get it as it stands"
_SPACE = " \t\r\n"  # a no-break space is a letter, for a shell as well

# What a shell does with an unquoted part -> what it is called, and what to write instead.
PARTS = {
    ">": ("a redirection", "leave it out: all that a run prints is in its run.log (arctl tail)"),
    "<": ("a redirection", "let the script open the file"),
    "|": ("a pipe", f"leave it out if it only keeps the output, which is in run.log; else {_IN_SCRIPT}"),
    "&&": ("several commands", _IN_SCRIPT),
    "||": ("several commands", _IN_SCRIPT),
    ";": ("several commands", _IN_SCRIPT),
    "\n": ("several lines", f"end each line but the last with a backslash; or {_IN_SCRIPT}"),
    "&": ("a command in the background", "leave the & out: arctl run without --wait returns at once"),
    "(": ("a group of commands", _IN_SCRIPT),
    ")": ("a group of commands", _IN_SCRIPT),
    "$": ("a variable or a command", f"write its value; {_AS_IT_STANDS}"),
    "`": ("a command in backquotes", f"write what it prints; {_AS_IT_STANDS}"),
    "*": ("a pattern of file names", "write the names"),
    "{": ("a list in braces", "write each word"),
    "~": ("another user's home folder", "write the folder's path"),
}
OF_LINES = frozenset(PARTS[key][0] for key in "><|;\n&(")  # what they are called for which a script is there


class ShellPart(NamedTuple):
    """A part of a command that needs a shell: its characters, what it is, and what to write instead."""

    text: str
    what: str
    mend: str


class Word(NamedTuple):
    """A word, and its plain text: the same with each quoted character as a NUL."""

    text: str
    plain: str


class CommandLine(NamedTuple):
    """A command: what it sets, its words, and the first part of it that needs a shell."""

    variables: dict[str, str]
    words: list[str]
    needs_shell: ShellPart | None


def read(line: str, home: str | None = None) -> CommandLine:
    """Read a command; `~` at a word's start becomes `home`. Raises ValueError if its end is missing."""
    words, part = _Reader(line.replace("\r\n", "\n")).read()
    part = part or next(filter(None, map(_pattern, words)), None)
    variables = {}
    while words and (name := _ASSIGNED.match(words[0].text)) and words[0].plain.startswith(f"{name[1]}="):
        at = len(name[1]) + 1
        variables[name[1]] = _at_home(Word(words[0].text[at:], words[0].plain[at:]), home)
        del words[0]
    return CommandLine(variables, [_at_home(word, home) for word in words], part)


def home_of(environment: Mapping[str, str]) -> str | None:
    """Return the folder for which `~` stands in a shell with this environment."""
    return environment.get("HOME") or None


def _at_home(word: Word, home: str | None) -> str:
    alone = word.plain == "~" or word.plain.startswith("~/")
    return home + word.text[1:] if alone and home is not None else word.text


def _pattern(word: Word) -> ShellPart | None:
    """Return what a shell would make other words of, where it finds such files."""
    plain = word.plain
    if "*" in plain or "?" in plain or re.search(r"\[[^\]]+\]", plain):
        return _unquoted(word, "*")
    if _BRACES.search(plain):
        return _unquoted(word, "{")
    if plain.startswith("~") and plain != "~" and not plain.startswith("~/"):
        return _unquoted(word, "~")
    return None


def _unquoted(word: Word, key: str) -> ShellPart:
    what, mend = PARTS[key]
    quoted = shlex.quote(word.text)
    return ShellPart(word.text, what, f"{mend}; or {quoted}, where the program is to get it as it stands")


class _Reader:
    """Reads one line from its start to its end."""

    def __init__(self, line: str) -> None:
        self.line, self.at = line, 0
        self.part: ShellPart | None = None

    def read(self) -> tuple[list[Word], ShellPart | None]:
        return list(self._words()), self.part

    def _words(self) -> Iterator[Word]:
        while self.at < len(self.line):
            here = self.line[self.at]
            if here in _SPACE or self.line.startswith("\\\n", self.at):
                self._look_at_line_end(here)
                self.at += 2 if here == "\\" else 1
            elif here == "#":
                end = self.line.find("\n", self.at)
                self.at = len(self.line) if end < 0 else end
            else:
                yield self._word()

    def _word(self) -> Word:
        text, plain = "", ""
        while self.at < len(self.line) and self.line[self.at] not in _SPACE:
            piece, quoted = self._piece()
            text += piece
            plain += _HIDDEN * len(piece) if quoted else piece
        return Word(text, plain)

    def _piece(self) -> tuple[str, bool]:
        """Take the next character of a word, or all that stands in its quotes."""
        here = self.line[self.at]
        self.at += 1
        if here == "'":
            return self._until_quote(), True
        if here == '"':
            return self._in_double_quotes(), True
        if here == "\\":
            return self._escaped(), True
        self._look_at(here)
        return here, False

    def _until_quote(self) -> str:
        end = self.line.find("'", self.at)
        if end < 0:
            raise ValueError("a quote does not end")
        text, self.at = self.line[self.at : end], end + 1
        return text

    def _in_double_quotes(self) -> str:
        text = ""
        while self.at < len(self.line):
            here = self.line[self.at]
            self.at += 1
            if here == '"':
                return text
            if here == "\\" and self.line[self.at : self.at + 1] in ("$", "`", '"', "\\", "\n"):
                text += self._escaped()
                continue
            if here in "$`":
                self._look_at(here)
            text += here
        raise ValueError("a quote does not end")

    def _escaped(self) -> str:
        if self.at == len(self.line):
            raise ValueError("it ends in a backslash, and no line follows")
        here = self.line[self.at]
        self.at += 1
        return "" if here == "\n" else here

    def _look_at(self, here: str) -> None:
        """Note that a shell would not hand this character on."""
        after = re.sub(r"\A(?:\\\n)+", "", self.line[self.at :])[
            :1
        ]  # on the next line, where this one goes on
        if here == "$" and not _EXPANDS.match(after):
            return
        double = here + here if here in "&|" and after == here else here
        if double in PARTS and here not in "*{~":
            self._needs_shell(double, self.line[self.at - 1 :])

    def _look_at_line_end(self, here: str) -> None:
        """Note that another line follows, where one has begun."""
        rest = self.line[self.at :].strip(_SPACE)
        if here == "\n" and rest and self.line[: self.at].strip(_SPACE):
            self._needs_shell("\n", rest)

    def _needs_shell(self, key: str, rest: str) -> None:
        if self.part is None:
            self.part = ShellPart(rest.partition("\n")[0].strip(), *PARTS[key])
