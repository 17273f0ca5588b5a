"""Plays an example: a private daemon, real training runs, and the verdicts that its demo.toml expects.

    python examples/drive.py digits
    python examples/drive.py hf-trainer --python .venv-frameworks/bin/python

Everything happens in a temporary folder of its own (project, state, socket, home), which is removed at the
end; no process stays behind. Standard library alone. `--python` is the interpreter of the example's own
environment, the daemon has another; `--keep` keeps the folder.
"""

import argparse
import difflib
import json
import os
import shutil
import signal
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from private_world import Failed, World, say, styled

HERE = Path(__file__).resolve().parent
EXIT_CODES = {"ok": 0, "crash": 10, "timeout": 11, "invalid": 12}  # of arctl, by a run's status


@dataclass(frozen=True)
class Step:
    """One edit of train.py, and what must become of it."""

    title: str
    verdict: str
    status: str = "ok"
    edits: list[list[str]] = field(default_factory=list)
    note: str | None = None  # for `arctl run --note`, where train.py has no RUN_NOTE

    @property
    def kept(self) -> bool:
        return self.verdict == "advance"


@dataclass(frozen=True)
class Experiment:
    """One table of demo.toml: what `arctl init` and `arctl session start` are told, and the steps."""

    topic: str
    goal: str
    metric: str
    direction: str
    session: list[str]  # {project} is replaced by the project's path
    step: list[Step]
    seal: list[str] = field(default_factory=list)
    checkpoint: str | None = None  # the name in best_ckpt/ that the best run's state has, a pattern


def read(example: Path) -> list[Experiment]:
    """The experiments of an example's demo.toml."""
    tables = tomllib.loads((example / "demo.toml").read_text(encoding="utf-8"))["experiment"]
    return [Experiment(**{**table, "step": [Step(**step) for step in table["step"]]}) for table in tables]


def edit(text: str, edits: list[list[str]]) -> str:
    """Apply the edits; each must find its place."""
    for old, new in edits:
        if old not in text:
            raise Failed(f"train.py has no {old!r} to edit")
        text = text.replace(old, new)
    return text


def show_edit(before: str, after: str) -> None:
    for line in difflib.ndiff(before.splitlines(), after.splitlines()):
        if line.startswith(("- ", "+ ")):
            say(styled(f"  {line[:2]}{line[2:].strip()}", "31" if line[0] == "-" else "32"))


def last_result(world: World) -> dict[str, object]:
    """result.json of the newest run."""
    newest = max((world.experiment / "runs").glob("r*/result.json"), default=None)
    return {} if newest is None else read_json(newest)


def read_json(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def play(world: World, experiment: Experiment, number: int, best: str) -> str:
    """Make a step's edit, run it, check what became of it; returns the best version afterwards."""
    step = experiment.step[number - 1]
    say(styled(f"\n{number}. {step.title}", "1;36"))
    candidate = edit(best, step.edits)
    show_edit(best, candidate)
    world.train.write_text(candidate, encoding="utf-8")
    code = world.arctl("run", "--wait", *(("--note", step.note) if step.note else ()))
    result = last_result(world)
    got = (result.get("status"), result.get("verdict"), code)
    expected = (step.status, step.verdict, EXIT_CODES[step.status])
    if got != expected:
        raise Failed(f"step {number}: expected (status, verdict, exit code) {expected}, got {got}")
    best = candidate if step.kept else best
    if world.train.read_text(encoding="utf-8") != best:
        raise Failed(f"step {number}: train.py should be the best version now, and is not")
    if experiment.checkpoint is not None:
        check_checkpoint(world, experiment.checkpoint)
    say(styled(f"  train.py {'is the best so far' if step.kept else 'is the best version again'}", "2"))
    return best


def check_checkpoint(world: World, pattern: str) -> None:
    """best_ckpt/ must hold the state of the run that best.json names."""
    folder = world.experiment / "best_ckpt"
    best = read_json(world.experiment / "best.json")["run_id"]
    found = [path.name for path in folder.glob(pattern)]
    if not found or read_json(folder / "meta.json")["run_id"] != best:
        raise Failed(f"best_ckpt/ should hold {pattern} of {best}, and has {found}")
    say(styled(f"  best_ckpt/{found[0]} is of {best}", "2"))


def tell(world: World, experiment: Experiment) -> None:
    """The whole of one experiment, but for the cleaning up."""
    say(styled("A new experiment", "1;36"))
    world.must(
        *("init", world.slug, "--train", "train.py", "--prepare", "prepare.py", "--program", "program.md"),
        *("--primary-metric", experiment.metric, "--primary-direction", experiment.direction),
        *("--goal", experiment.goal),
        *(word for path in experiment.seal for word in ("--seal", path)),
    )
    settings = (word.replace("{project}", str(world.project)) for word in experiment.session)
    world.must("session", "start", *settings)
    best = world.train.read_text(encoding="utf-8")
    for number in range(1, len(experiment.step) + 1):
        best = play(world, experiment, number, best)
    say(styled("\nWhere it stands", "1;36"))
    world.must("status", "--compact")


def end(signum: int, _frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP clean up as Ctrl+C does."""
    raise KeyboardInterrupt(signal.Signals(signum).name)


def clean_up(world: World, keep: bool) -> None:
    """Leave nothing behind, whatever happened before."""
    handlers = [
        (signum, signal.signal(signum, signal.SIG_IGN))
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ]
    if world.processes():
        for pid in world.close():
            say(f"  killing process {pid}, which did not end")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    if keep:
        say(f"  kept: {world.folder}")
    else:
        shutil.rmtree(world.folder, ignore_errors=True)
    for signum, handler in handlers:
        signal.signal(signum, handler)


def drive(example: Path, python: str, keep: bool) -> int:
    """Play every experiment of the example, each in a world of its own; returns the number of runs."""
    experiments = read(example)
    for experiment in experiments:
        world = World(example, experiment.topic, python)
        try:
            tell(world, experiment)
        finally:
            clean_up(world, keep)
    return sum(len(experiment.step) for experiment in experiments)


def main() -> int:
    examples = sorted(path.parent.name for path in HERE.glob("*/demo.toml"))
    parser = argparse.ArgumentParser(prog="drive.py", description="A private daemon and real training runs.")
    parser.add_argument("example", choices=examples)
    parser.add_argument(
        "--python", default=sys.executable, help="the interpreter of the example's environment"
    )
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder, to look at its files")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    began = time.monotonic()
    try:
        runs = drive(HERE / chosen.example, chosen.python, chosen.keep)
    except Failed as failure:
        say(f"demo: failed: {failure}")
        return 1
    except KeyboardInterrupt:
        say("\ndemo: interrupted; what ran is stopped")
        return 130
    say(f"demo: {runs} runs, every verdict as expected, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
