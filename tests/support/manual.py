"""Markdown files whose commands are run: what stands in their fenced blocks, and in backticks.

A block `console` holds commands, each behind `$ `, and below each what it printed. A line that ends in `\\`
goes on in the next. `(exit code 65)` as the last line of an output says with which code the command ends;
without it, that is 0. A block `diff` is an edit of train.py: lines behind `-` go, lines behind `+` come, the
others stay. Other blocks (`python`, `toml`, `json`) are only read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(.*)$")
HEADING = re.compile(r"^#+ (.*)$")
CODE = re.compile(r"^\(exit code (\d+)\)$")
INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Place:
    """Where in a file something stands."""

    file: str
    line: int
    heading: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.heading})"


@dataclass(frozen=True)
class Block:
    """A fenced block: the words behind its fence, and its text."""

    place: Place
    info: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        """The first of the words."""
        return self.info[0] if self.info else ""


@dataclass(frozen=True)
class Command:
    """A command of a block, and what the file says that it prints."""

    place: Place
    text: str
    shown: str
    code: int
    measured: bool = False  # its numbers are measurements (`console measured`)


@dataclass(frozen=True)
class Edit:
    """An edit of train.py."""

    place: Place
    before: str
    after: str

    def apply(self, train: Path) -> None:
        """Make the edit; the lines before it must stand there once."""
        text = train.read_text()
        assert text.count(self.before) == 1, (
            f"{self.place}: not once in train.py: {self.before!r} in {text!r}"
        )
        train.write_text(text.replace(self.before, self.after))


def headings(path: Path) -> list[str]:
    """The headings of a file, in their order."""
    return [found[1] for kind, _, found in _lines(path) if kind == "heading"]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a file, in their order."""
    listed: list[Block] = []
    heading, opened, lines = "", 0, list[str]()
    info: tuple[str, ...] = ()
    for kind, number, found in _lines(path):
        if kind == "heading":
            heading = found[1]
        elif kind == "open":
            opened, info, lines = number, tuple(found[1].split()), []
        elif kind == "inside":
            lines.append(found[0])
        elif kind == "close":
            listed.append(Block(Place(path.name, opened, heading), info, "\n".join(lines)))
    return listed


def steps(path: Path) -> list[Command | Edit]:
    """The commands and edits of a file, in their order."""
    listed: list[Command | Edit] = []
    for block in blocks(path):
        if block.language == "console":
            listed += _commands(block)
        elif block.language == "diff":
            listed.append(_edit(block))
    return listed


def inline(path: Path) -> list[tuple[int, str]]:
    """What stands between backticks outside the blocks, each with the number of its line."""
    return [
        (number, code)
        for kind, number, found in _lines(path)
        if kind in ("text", "heading")
        for code in INLINE.findall(found[0])
    ]


def table(path: Path, heading: str) -> list[list[str]]:
    """The rows of the tables under a heading, each as its cells, the rows of column names too."""
    part = path.read_text().partition(f"# {heading}\n")[2]
    assert part, f"{path} has no heading {heading}"
    lines = re.split(r"^#+ ", part, flags=re.MULTILINE)[0].splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("|") and "---" not in line]


def _lines(path: Path) -> Iterator[tuple[str, int, re.Match[str]]]:
    """Each line's kind, number, and what was found in it."""
    within = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        whole = re.match("(?s).*", line)
        assert whole is not None
        if fence := FENCE.match(line):
            within = not within
            yield ("open" if within else "close"), number, fence
        elif within:
            yield "inside", number, whole
        elif found := HEADING.match(line):
            yield "heading", number, found
        else:
            yield "text", number, whole
    assert not within, f"{path}: its last block is not closed"


def _commands(block: Block) -> list[Command]:
    pieces = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not pieces[0], f"{block.place}: begins with no command: {pieces[0]!r}"
    return [_command(block, piece) for piece in pieces[1:]]


def _command(block: Block, piece: str) -> Command:
    lines = piece.splitlines()
    end = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\"))
    output = lines[end:]
    told = CODE.match(output[-1]) if output else None
    shown = "\n".join(output[:-1] if told else output)
    code = int(told[1]) if told else 0
    return Command(block.place, "\n".join(lines[:end]), shown, code, "measured" in block.info)


def _edit(block: Block) -> Edit:
    lines = block.text.splitlines()
    before = [line[1:] for line in lines if not line.startswith("+")]
    after = [line[1:] for line in lines if not line.startswith("-")]
    return Edit(block.place, "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after))
