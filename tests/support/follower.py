"""An agent that does nothing but follow SKILL.md: its commands and where it goes next are read from the file.

What a model would add is given to it: the answers of a person, and ideas for edits.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.manual import INLINE, Command, steps, table

Typed = Callable[
    [str], tuple[int, str]
]  # a command line as it is typed: its exit code, and all that it prints
Idea = tuple[str, Callable[[str], str]]  # a note, and the edit that it stands for
SECTION = re.compile('"(.+?)"')
LAST_LINE = re.compile(r"^\[(r\d+)\] (\w+)")
WORD = re.compile("[a-z.]{2,}")
END = "The end"


class Skill:
    """SKILL.md, as its reader uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands = [step for step in steps(path) if isinstance(step, Command)]

    def command(self, heading: str, begins: str) -> list[str]:
        """The words of the first command under a heading that begins so."""
        texts = [step.text for step in self.commands if step.place.heading == heading]
        return shlex.split(next(text for text in texts if text.startswith(begins)))

    def row(self, heading: str, code: str) -> list[str]:
        """The row of the tables under a heading whose first cell names that."""
        return next(row for row in table(self.path, heading) if code in INLINE.findall(row[0]))

    def questions(self, stored: str, folder: Path) -> list[str]:
        """The options that the interview asks for, where the session holds so much already."""
        asked = []
        for _, condition, options in table(self.path, "Begin")[1:]:
            if self._asks(condition, stored, folder):
                asked += [word for code in INLINE.findall(options) for word in code.split() if word[0] == "-"]
        return asked

    def mend(self, code: int, said: str) -> str:
        """What to do about an error: of the rows with its code, the one that shares most words with it."""
        rows = [row for row in table(self.path, "Leave") if re.search(rf"\b{code}, ", row[0])]
        return max(rows, key=lambda row: len(set(WORD.findall(row[0])) & set(WORD.findall(said))))[1]

    def _asks(self, condition: str, stored: str, folder: Path) -> bool:
        named = INLINE.findall(condition)
        if condition.startswith("no line"):
            return named[0] not in stored
        if "best.json" in named:
            return not (folder / "best.json").exists()
        if "runs/" in named:
            return len(list((folder / "runs").iterdir())) > 1
        return "session: " in named[0] or named[0] in stored


@dataclass
class Follower:
    """One agent, from its first command to its last line."""

    skill: Skill
    typed: Typed
    project: Path
    ideas: Iterator[Idea]
    answers: Mapping[str, str | None]  # an option, and its value; None: it has none
    children: Iterator[str]
    asks_history: int = 1  # before each so-manieth idea
    calls: list[str] = field(default_factory=list)
    read: list[int] = field(default_factory=lambda: [0])  # bytes, one number for each iteration
    ended: str = ""
    expr: str = ""
    last: str = ""  # run

    def work(self, section: str = "Begin") -> str:
        """Follow the file to the end; why it ended."""
        while section != END:
            try:
                section = getattr(self, section.lower().replace(" ", "_"))()
            except Elsewhere as turn:
                section = turn.section
        return self.ended

    def call(self, words: list[str], again: bool = True) -> str:
        """Call a command; what to do about an error stands under "Leave"."""
        line = shlex.join(words)
        self.calls.append(line)
        code, out = self.typed(line)
        self.read[-1] += len(out.encode())
        if code == 0:
            return out
        what = self.skill.mend(code, out)
        if "once more" in what and again:
            return self.call(words, again=False)
        raise Elsewhere(self._turn(what, out))

    def _turn(self, what: str, why: str) -> str:
        if "another edit" in what:
            return "Hypothesis"
        return next(iter(SECTION.findall(what)), None) or self.leave(why)

    def begin(self) -> str:
        out = self.call(self.skill.command("Begin", "arctl session show"))
        self.expr = re.search(r"^expr: (\S+)", out, re.MULTILINE)[1]  # type: ignore[index]
        if "questions: none" not in out and "session: live" not in out:
            asked = self.skill.questions(out, self.train.parent)
            given = {option: value for option, value in self.answers.items() if option in asked}
            options = [word for pair in given.items() for word in pair if word is not None]
            self.call([*self.skill.command("Begin", "arctl session start")[:3], *options])
        return "State"

    def baseline(self) -> str:
        return self.decide(self.call(self.skill.command("Begin", "arctl run")))

    def state(self) -> str:
        out = self.call(self.skill.command("State", "arctl status"))
        self.expr = re.search(r"^expr: (\S+)", out, re.MULTILINE)[1]  # type: ignore[index]
        if re.search("^(running|queued):", out, re.MULTILINE):
            return "Still running"
        over = re.search(r"^session: not live \((\w+)", out, re.MULTILINE)
        if over is None:
            return self.baseline() if "best: none yet" in out else "Hypothesis"
        left = re.search("^chain: ([1-9]|unlimited)", out, re.MULTILINE)
        return self.leave(out) if over[1] in ("manual", "unclean") or left is None else "Chain"

    def hypothesis(self) -> str:
        self.read.append(0)
        if len(self.read) % self.asks_history == 0:
            self.call(self.skill.command("Hypothesis", "arctl history"))
        return "Edit"

    def edit(self) -> str:
        note, change = next(self.ideas)
        text = self.train.read_text()
        self.read[-1] += len(text.encode())
        text = re.sub("^RUN_NOTE = .*$", f'RUN_NOTE = "{note}"', change(text), flags=re.MULTILINE)
        self.train.write_text(text)
        return "Run"

    def run(self) -> str:
        return self.decide(self.call(self.skill.command("Run", "arctl run")))

    def decide(self, out: str) -> str:
        """Go where the tables under "Decide" say."""
        last = LAST_LINE.match(out.splitlines()[-1])
        assert last is not None, out
        self.last, word = last.groups()
        where = SECTION.findall(self.skill.row("Decide", word)[1])[0]
        if where == "Leave":
            return self.leave(out.splitlines()[-1])
        return self._by_verdict(out, where) if word == "continue" else str(where)

    def _by_verdict(self, out: str, otherwise: str) -> str:
        verdict = LAST_LINE.match(out.splitlines()[-2])
        assert verdict is not None, out
        return str([*SECTION.findall(self.skill.row("Decide", verdict[2])[3]), otherwise][0])

    def still_running(self) -> str:
        words = self.skill.command("Still running", "arctl wait")
        return self.decide(self.call([word for word in words if not re.fullmatch(r"r\d+", word)]))

    def crash(self) -> str:
        words = self.skill.command("Crash", "arctl tail")
        self.call([re.sub(r"^r\d+$", self.last, word) for word in words])
        return "Hypothesis"

    def chain(self) -> str:
        self.call(self.skill.command("Chain", "arctl report"))
        words = self.skill.command("Chain", "arctl chain-init")
        words[words.index("--new-slug") + 1] = self.expr = next(self.children)
        words[words.index("--rationale") + 1] = f"The runs up to {self.last} have shown what this can give."
        self.call(words)
        return self.baseline()

    def leave(self, why: str) -> str:
        self.ended = why
        return END

    @property
    def train(self) -> Path:
        """The file to edit."""
        return self.project / ".autoresearch" / self.expr / "train.py"


class Elsewhere(Exception):
    """The agent goes on in another section."""

    def __init__(self, section: str) -> None:
        super().__init__(section)
        self.section = section
