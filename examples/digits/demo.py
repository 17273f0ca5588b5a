"""What `make demo` runs: a private daemon, real training runs, and every kind of verdict.

Everything happens in a temporary folder of its own (project, state, socket, home), which is
removed at the end; no process stays behind. Standard library alone. `--keep` keeps the folder.
"""

import argparse
import difflib
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType

from private_world import Failed, World, say, styled

# The limit counts from the moment train.py says that it is ready, so it fits on a slow machine too.
SECONDS = 6
STARTUP = 60


@dataclass(frozen=True)
class Step:
    """One edit of train.py, and what must become of it."""

    title: str
    edits: tuple[tuple[str, str], ...]
    status: str
    verdict: str
    exit_code: int  # of arctl
    then: str  # said about train.py afterwards

    @property
    def kept(self) -> bool:
        return self.verdict == "advance"


STEPS = (
    Step(
        "The baseline: train.py as it is",
        (),
        *("ok", "advance", 0, "is the first best"),
    ),
    Step(
        "A better idea: ten times the learning rate",
        (('"baseline"', '"lr 0.02 -> 0.2"'), ("LEARNING_RATE = 0.02", "LEARNING_RATE = 0.2")),
        *("ok", "advance", 0, "stays as it was edited: the new best"),
    ),
    Step(
        "A worse idea: a lot of weight decay",
        (('"lr 0.02 -> 0.2"', '"weight decay 0.03"'), ("WEIGHT_DECAY = 0.0", "WEIGHT_DECAY = 0.03")),
        *("ok", "revert", 0, "is the best version again"),
    ),
    Step(
        "A mistake: shapes that do not fit",
        (('"lr 0.02 -> 0.2"', '"one more hidden unit"'), ("(HIDDEN, prepare", "(HIDDEN + 1, prepare")),
        *("crash", "crash", 10, "is the best version again"),
    ),
    Step(
        f"Training that would go on for long (the limit is {SECONDS} s)",
        (('"lr 0.02 -> 0.2"', '"train longer"'), ("EPOCHS = 60", "EPOCHS = 200_000")),
        *("timeout", "timeout", 11, "is the best version again"),
    ),
    Step(
        "An edit that renames the metric in what it prints",
        (
            ('"lr 0.02 -> 0.2"', '"tidy the output"'),
            ("val/loss={val_loss", "val_loss={val_loss"),
            ('print(f"val/loss: ', 'print(f"val_loss: '),
        ),
        *("invalid", "revert", 12, "is the best version again"),
    ),
    Step(
        "And on from the best: a wider network",
        (('"lr 0.02 -> 0.2"', '"hidden 16 -> 64"'), ("HIDDEN = 16", "HIDDEN = 64")),
        *("ok", "advance", 0, "stays as it was edited: the new best"),
    ),
)


def edit(text: str, edits: tuple[tuple[str, str], ...]) -> str:
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
    return {} if newest is None else dict(json.loads(newest.read_text(encoding="utf-8")))


def play(world: World, number: int, step: Step, best: str) -> str:
    """Make the edit, run it, check what became of it; returns the best version afterwards."""
    say(styled(f"\n{number}. {step.title}", "1;36"))
    candidate = edit(best, step.edits)
    show_edit(best, candidate)
    world.train.write_text(candidate, encoding="utf-8")
    code = world.arctl("run", "--wait")
    result = last_result(world)
    got = (result.get("status"), result.get("verdict"), code)
    if got != (step.status, step.verdict, step.exit_code):
        expected = (step.status, step.verdict, step.exit_code)
        raise Failed(f"step {number}: expected (status, verdict, exit code) {expected}, got {got}")
    best = candidate if step.kept else best
    if world.train.read_text(encoding="utf-8") != best:
        raise Failed(f"step {number}: train.py should be the best version now, and is not")
    say(styled(f"  train.py {step.then}", "2"))
    return best


def tell(world: World) -> None:
    """The whole demo, but for the cleaning up."""
    say(styled("A new experiment", "1;36"))
    world.must(
        *("init", world.slug, "--train", "train.py", "--prepare", "prepare.py", "--program", "program.md"),
        *("--primary-metric", "val/loss", "--primary-direction", "min"),
        *("--goal", "read handwritten digits with the lowest validation loss"),
    )
    world.must(
        *("session", "start", "--seconds", str(SECONDS), "--startup", str(STARTUP)),
        *("--runner", "python train.py", "--max-runs", "20", "--plateau", "8"),
    )
    best = world.train.read_text(encoding="utf-8")
    for number, step in enumerate(STEPS, 1):
        best = play(world, number, step, best)
    say(styled("\nWhere it stands", "1;36"))
    world.must("status", "--compact")
    world.must("status", "--last", "6")
    say(styled("\nThe end", "1;36"))
    world.must("session", "stop")
    world.processes()  # remember them all
    world.must("daemon", "stop")
    if left := world.left():
        raise Failed(f"processes are left: {left}")
    say("  no process is left")


def end(signum: int, _frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP clean up as Ctrl+C does."""
    raise KeyboardInterrupt(signal.Signals(signum).name)


def clean_up(world: World, keep: bool) -> None:
    """Leave nothing behind, whatever happened before."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo.py", description="A private daemon and real training runs.")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder, to look at its files")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    began = time.monotonic()
    world = World()
    try:
        tell(world)
    except Failed as failure:
        say(f"demo: failed: {failure}")
        return 1
    except KeyboardInterrupt:
        say("\ndemo: interrupted; stopping what runs")
        return 130
    finally:
        clean_up(world, keep)
    say(f"demo: {len(STEPS)} runs, every verdict as expected, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
