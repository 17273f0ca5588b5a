"""A shell's command line as the simple commands in it; nothing of it is run.

A word whose text cannot be told before the shell runs it is None. What cannot be read (an open quote) raises
Unclear.
"""

import os
import re
from typing import NamedTuple

from guards.event import Unclear
from guards.words import ASSIGNED, ASSIGNMENT, Text, Words

DEPTH_MAX = 20  # commands within commands
COMMAND_MAX = 128 << 10  # characters: a longer line cannot be handed to a shell (execve(2), MAX_ARG_STRLEN)

_REDIRECTION = re.compile(r"(?:\d*|\{\w+\})(&>>|&>|<<<|<<-|<<|<>|>>|>\||>&|<&|>|<)")
_END = re.compile(r"\|\||&&|;;&|;;|;&|\|&|[;&|\n]")
# Words before a command that are no command themselves.
_LEADING = frozenset("if then elif else while until do ! { } coproc".split())
_LOOPS = ("for", "select", "case")
_DECLARE = ("export", "declare", "local", "readonly", "typeset")


class Command(NamedTuple):
    """A simple command: its words, the files that its output goes to, and the folder that it runs in."""

    words: list[Text]
    outputs: list[Text]
    folder: Text


class Shell(Words):
    """A command line, and the commands read so far."""

    def __init__(
        self, text: str, folder: Text, at: int = 0, depth: int = 0, variables: dict[str, str] | None = None
    ) -> None:
        if len(text) > COMMAND_MAX or depth > DEPTH_MAX or "\0" in text:
            raise Unclear("the command is too long, too deep, or no text")
        super().__init__(text, at, variables)
        self.folder, self.depth = folder, depth
        self.words: list[Text] = []
        self.outputs: list[Text] = []
        self.commands: list[Command] = []
        self.heredocs: list[tuple[str, bool]] = []  # those whose text comes after this line
        self.left: list[Text] = []  # the folders that ( … ) return to
        self.made: list[str] = []  # folders that `mkdir` makes
        self.begun = folder  # where this list of commands began: `a && b &` is one
        self.piped = False  # the command reads another one's output

    def read(self, inside: bool = False) -> list[Command]:
        """Read the commands to the end; `inside`: to the parenthesis that closes them."""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign in " \t\r":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):  # the line goes on
                self.at += 2
            elif sign == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif sign == ")" and inside and not self.left:
                self.at += 1
                self._finish()
                return self.commands
            elif sign in "()":
                self._parenthesis(sign)
            elif not (self._test() or self._redirection() or self._end()):
                self.words.append(self.word())
        if inside:
            raise Unclear("the command has an open (")
        self._finish()
        return self.commands

    def substitution(self) -> None:
        shell = Shell(self.text, self.folder, self.at, self.depth + 1, self.variables)
        self.commands += shell.read(inside=True)
        self.at = shell.at

    def inner(self, text: str) -> None:
        self.commands += Shell(text, self.folder, 0, self.depth + 1, self.variables).read()

    def _parenthesis(self, sign: str) -> None:
        if (
            sign == "("
            and not self.words
            and (sum_ := re.compile(r"\(\([^()]*\)\)").match(self.text, self.at))
        ):
            self.at = sum_.end()
            return
        self.at += 1
        self._finish()
        if sign == "(":
            self.left.append(self.folder)
        elif self.left:
            self.folder = self.left.pop()

    def _test(self) -> bool:
        """Pass a `[[ … ]]`, in which < and > compare."""
        is_test = self.text.startswith(("[[ ", "[[\t"), self.at)
        if not is_test or any(word not in _LEADING for word in self.words):
            return False
        end = self.text.find(" ]]", self.at)
        self.at = end + 3 if end >= 0 else self.at
        return end >= 0

    def _end(self) -> bool:
        match = _END.match(self.text, self.at)
        if match is None:
            return False
        self.at = match.end()
        before = self.folder
        self._finish()
        self._go_on(match[0], before)
        if match[0] == "\n":
            self._skip_heredocs()
        return True

    def _go_on(self, operator: str, before: Text) -> None:
        """Take the next command's folder: neither a `cd` in a pipe moves it, nor one that fails."""
        into_pipe = operator in ("|", "|&")
        if into_pipe or self.piped:
            self.folder = before
        self.piped = into_pipe
        if into_pipe or operator == "&&":
            return
        if operator == "&":
            self.folder = self.begun
        elif self.folder != self.begun and not self._is_there(self.folder):
            self.folder = None
        self.begun = self.folder

    def _is_there(self, folder: Text) -> bool:
        """Return whether `cd` to a folder works, as far as can be told."""
        return folder is not None and (
            os.path.isdir(folder) or any(f"{made}/".startswith(f"{folder}/") for made in self.made)
        )

    def _redirection(self) -> bool:
        match = _REDIRECTION.match(self.text, self.at)
        if match is None:
            return False
        self.at = match.end()
        if match[1] in ("<", ">") and self.text.startswith("(", self.at):
            self.at += 1
            self.substitution()
            self.words.append(None)  # a pipe's name
            return True
        self.skip_blanks()
        self._target(match[1], self.word())
        return True

    def _target(self, operator: str, target: Text) -> None:
        if operator in ("<<", "<<-"):
            self.heredocs.append((target or "", operator == "<<-"))
        elif operator == ">&" and target is not None and target.rstrip("-").isdigit() | (target == "-"):
            pass  # another descriptor
        elif operator not in ("<", "<&", "<<<"):
            self.outputs.append(target)

    def _skip_heredocs(self) -> None:
        for mark, tabs in self.heredocs:
            line = None
            while line != mark and self.at < len(self.text):
                end = self.text.find("\n", self.at)
                line = self.text[self.at : end if end >= 0 else None]
                self.at += len(line) + 1
                line = line.lstrip("\t") if tabs else line
        self.heredocs = []

    def _finish(self) -> None:
        """Take the command that ends here, and what it does to the commands after it."""
        words, outputs = self._without_leading(self.words), self.outputs
        self.words, self.outputs = [], []
        if words[:1] and words[0] in _LOOPS:
            self._forget(words[1:2])
            words = []
        words = self._assigned(words)
        if words or outputs:
            self.commands.append(Command(words, outputs, self.folder))
        match words[:1]:
            case ["read"] | ["unset"]:
                self._forget(words[1:])
            case ["cd"] | ["pushd"] | ["popd"]:
                self._move(words)
            case ["mkdir"]:
                self.made += filter(None, (resolved(word, self.folder) for word in words[1:]))

    @staticmethod
    def _without_leading(words: list[Text]) -> list[Text]:
        words = words[2:] if words[:1] == ["function"] else words
        at = next((at for at, word in enumerate(words) if word not in _LEADING), len(words))
        return words[at:]

    def _assigned(self, words: list[Text]) -> list[Text]:
        """Return a command without the assignments before it. Those that stand alone hold from here on."""
        declared = words[1:] if words[:1] and words[0] in _DECLARE else words
        at = next((at for at, word in enumerate(words) if not _assigns(word)), len(words))
        if declared is not words or at == len(words):
            pairs = (ASSIGNMENT.fullmatch(word) for word in declared if word is not None and word != ASSIGNED)
            for pair in filter(None, pairs):
                self._assign(pair)
        return words[at:]

    def _assign(self, pair: re.Match[str]) -> None:
        if pair[0].startswith("+", pair.end(1)):
            self._forget([pair[1]])
        else:
            self.variables[pair[1]] = pair[2]

    def _forget(self, names: list[Text]) -> None:
        for name in names:
            self.variables.pop(name or "", None)

    def _move(self, words: list[Text]) -> None:
        operands = [word for word in words[1:] if word is None or not word.startswith("-") or word == "-"]
        target = operands[0] if operands else self.variables.get("HOME")
        self.folder = None if words[0] == "popd" or target == "-" else resolved(target, self.folder)


def _assigns(word: Text) -> bool:
    return word is not None and (word == ASSIGNED or ASSIGNMENT.fullmatch(word) is not None)


def resolved(path: Text, folder: Text) -> Text:
    """Return a path as an absolute one; None if that cannot be told."""
    if path is None or (folder is None and not path.startswith("/")):
        return None
    return os.path.join(folder or "/", path)
