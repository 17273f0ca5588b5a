"""An example as a project of its own, with a private daemon: what is asked of it goes through arctl."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "examples"))
from drive import clean_up, end  # noqa: E402 (a module of the examples, which are no package)
from private_world import World  # noqa: E402

COMMAND_S = 3600.0  # a guard against a hang: `arctl noise --runs 30` waits for 60 launches
LAUNCHES = Path(__file__).with_name("launches.py")
ENDED = (0, 10, 11, 12)  # exit codes of `arctl run --wait` that come with a result
REFUSED = 65  # the exit code where the version was tried before, among others
TRIED_BEFORE = ("is the same as", "does the same as", "unchanged, the best")


class Example(NamedTuple):
    """An example, the interpreter of its environment, and its text with which a night begins."""

    name: str
    metric: str
    python: str
    text: str

    @property
    def folder(self) -> Path:
        """Return where it lies."""
        return ROOT / "examples" / self.name


def end_as_interrupted() -> None:
    """Have SIGTERM and SIGHUP leave no daemon behind, as Ctrl+C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


class Broken(Exception):
    """A command did not do what it must; the text has its output."""


class Site:
    """The project with its daemon, a context manager: nothing is left of it."""

    def __init__(self, example: Example) -> None:
        """Copy the example into a folder of its own."""
        self.example, self._outside_s = example, 0.0
        self.world = World(example.folder, example.name, example.python)
        (self.world.project / "train.py").write_text(example.text, encoding="utf-8")

    def __enter__(self) -> "Site":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clean_up(self.world, keep=False)

    @property
    def train(self) -> Path:
        """Return the file that edits are made in."""
        return self.world.train

    def start(self, *settings: str) -> None:
        """Begin the experiment and its session."""
        self.must(
            *("init", self.world.slug, "--train", "train.py", "--prepare", "prepare.py"),
            *("--program", "program.md", "--goal", "see what is luck"),
            *("--primary-metric", self.example.metric, "--primary-direction", "min"),
        )
        self.must("session", "start", "--seconds", "600", "--runner", "python train.py", *settings)

    def run(self, note: str) -> dict[str, Any] | None:
        """Run train.py as it stands and return result.json; None if it was refused as tried before."""
        code, output, error = self._arctl("run", "--wait", "--json", "--note", note)
        if code in ENDED and output.startswith("{"):
            return dict(json.loads(output))
        if code == REFUSED and any(words in error + output for words in TRIED_BEFORE):
            return None
        raise Broken(f"arctl run --wait ended with exit code {code}\n{output}{error}")

    def must(self, *arguments: str) -> str:
        """Run arctl and return what it printed. Raises Broken if it fails."""
        code, output, error = self._arctl(*arguments)
        if code:
            raise Broken(f"arctl {' '.join(arguments)} ended with exit code {code}\n{output}{error}")
        return output

    def file(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the experiment."""
        return dict(json.loads((self.world.experiment / name).read_bytes()))

    def version(self, run: str) -> Path:
        """Return the version of train.py that a run tried."""
        return self.world.experiment / "runs" / run / "train.py"

    def values(self, train: Path, seeds: Iterable[int]) -> tuple[float | None, ...]:
        """Launch a version with these seeds, without the daemon."""
        command = [self.example.python, str(LAUNCHES), str(train), self.example.metric, *map(str, seeds)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AR_")}
        before = os.times()
        done = subprocess.run(
            command, cwd=self.world.project, env=kept, stdout=subprocess.PIPE, text=True, check=True
        )
        after = os.times()
        self._outside_s += after.children_user - before.children_user
        return tuple(json.loads(done.stdout))

    def cpu_s(self) -> float:
        """Return the CPU seconds of every job so far."""
        exits = [json.loads(path.read_bytes()) for path in self.world.experiment.glob("runs/*/a*/exit.json")]
        return self._outside_s + float(sum(one["user_s"] + one["system_s"] for one in exits))

    def _arctl(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [self.world.program, *arguments],
            cwd=self.world.project,
            env=self.world.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr
