"""The words of a shell's command line, with what can be told of them before the shell runs."""

import os
import re

from guards.event import Unclear

Text = str | None  # None: it cannot be told
ASSIGNED = "=\0"  # a word that gives a variable a value which cannot be told
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=(.*)", re.DOTALL)
_PLAIN = re.compile(r"[^\s;&|<>()'\"\\$`]+")
_PLAIN_IN_QUOTES = re.compile(r"[^\"\\$`]+")
_ESCAPED_IN_QUOTES = re.compile(r"\\(?:\n()|([\\\"$`]))")
_KNOWN = ("HOME", "TMPDIR", "USER", "CLAUDE_PROJECT_DIR")


class Words:
    """A command line, and how far it is read."""

    def __init__(self, text: str, at: int, variables: dict[str, str] | None) -> None:
        self.text, self.at = text, at
        known = {name: os.environ[name] for name in _KNOWN if os.environ.get(name)}
        self.variables = known if variables is None else dict(variables)

    def substitution(self) -> None:
        """Read the commands up to the closing parenthesis, which is passed."""
        raise NotImplementedError

    def inner(self, text: str) -> None:
        """Read a text of its own as commands."""
        raise NotImplementedError

    def skip_blanks(self) -> None:
        """Go to the next word of this line."""
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def word(self) -> Text:
        """Read one word."""
        start, parts = self.at, []
        while self.at < len(self.text):
            read = self._part(start)
            if read is _NO_MORE:
                break
            parts.append(read)
        if self.at == start:  # a sign that stands for itself
            self.at += 1
            return self.text[start : self.at]
        known = joined(parts)
        match = ASSIGNMENT.match(self.text, start, self.at) if known is None else None
        if match is None:
            return known
        self.variables.pop(match[1], None)
        return ASSIGNED

    def _part(self, start: int) -> Text:
        """Read a part of a word; _NO_MORE where it ends."""
        match self.text[self.at]:
            case "'":
                return self._quoted()
            case '"':
                return self._double()
            case "\\":
                self.at += 2
                return self.text[self.at - 1 : self.at].replace("\n", "")  # the line goes on
            case "$" | "`":
                return self._expansion()
        plain = _PLAIN.match(self.text, self.at)
        if plain is None:
            return _NO_MORE
        self.at = plain.end()
        return self._home(plain[0]) if plain.start() == start else plain[0]

    def _home(self, text: str) -> Text:
        if not text.startswith("~"):
            return text
        name, slash, rest = text.partition("/")
        home = self.variables.get("HOME") if name == "~" else None
        return None if home is None else home + slash + rest

    def _quoted(self) -> str:
        return self._up_to("'", self.at + 1)

    def _up_to(self, end: str, start: int) -> str:
        found = self.text.find(end, start)
        if found < 0:
            raise Unclear(f"the command has an open {end}")
        self.at = found + 1
        return self.text[start:found]

    def _double(self) -> Text:
        self.at += 1
        parts: list[Text] = []
        while self.at < len(self.text):
            if self.text[self.at] == '"':
                self.at += 1
                return joined(parts)
            if self.text[self.at] in "$`":
                parts.append(self._expansion())
            elif match := _ESCAPED_IN_QUOTES.match(self.text, self.at) or _PLAIN_IN_QUOTES.match(
                self.text, self.at
            ):
                parts.append(match[match.lastindex or 0])
                self.at = match.end()
            else:
                parts.append("\\")
                self.at += 1
        raise Unclear('the command has an open "')

    def _expansion(self) -> Text:
        """Read what begins with $ or `; commands in it are read too."""
        start, self.at = self.at, self.at + 1
        if self.text[start] == "`":
            self.inner(self._up_to("`", self.at))
        elif self.text.startswith("((", self.at):
            self._up_to("))", self.at)
        elif self.text.startswith("(", self.at):
            self.at += 1
            self.substitution()
        elif self.text.startswith("{", self.at):
            return self._braces()
        elif self.text.startswith("'", self.at):  # $'…' has escapes of its own
            self._quoted()
        elif name := NAME.match(self.text, self.at):
            self.at = name.end()
            return self.variables.get(name[0])
        elif self.text[self.at : self.at + 1] in tuple("?!#$@*-0123456789"):
            self.at += 1
        else:
            return "$"
        return None

    def _braces(self) -> Text:
        inside = self._up_to("}", self.at + 1)
        if "$(" in inside or "`" in inside:
            raise Unclear("the command has commands inside ${…}")
        return self.variables.get(inside) if NAME.fullmatch(inside) else None


_NO_MORE = "\0"  # no word has it: a command with a NUL is refused before


def joined(parts: list[Text]) -> Text:
    """Join the parts of a word; one that cannot be told makes the word such a one."""
    return None if None in parts else "".join(part or "" for part in parts)
