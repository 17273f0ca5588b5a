"""`make mutants`: each promise broken on purpose in a copy of the code; its own tests have to notice.

Before that they have to pass in such a copy with nothing broken.

With names (`make mutants PROMISE=power-cut`) those promises alone; in docs/reliability.md their rows take the
place of those that were there, and the last line says so.
Exit code 1 if a mutant was not noticed, or was no fair one: where a plain run does not work any more either,
any test would have noticed.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from ardaemon.host import proc
from tests.support.page import DOCS, Page
from tests.support.promises import PROMISES, files_of
from tests.torture import mutants_chain, mutants_daemon, mutants_others, mutants_runs
from tests.torture.mutant import Mutant, changed, code

MUTANTS = (
    *mutants_runs.MUTANTS,
    *mutants_others.MUTANTS,
    *mutants_chain.MUTANTS,
    *mutants_daemon.MUTANTS,
)
ROOT = Path(__file__).parents[2]
PAGE = Page(DOCS / "reliability.md", "<!-- mutants: written by make mutants -->", "<!-- end of mutants -->")
AT_ONCE = 2  # as `make test` does it
LIMIT_S = 600.0  # of one mutant: the slowest is noticed within a minute, on a machine that does nothing else
CLEAN_S = 20.0  # for what its tests left behind to be gone
POLL_S = 0.02  # between two looks at whether they have ended: this process reaps for them, as init would
SAID_MAX = 160  # characters of the failure that are shown
FAILED = 1  # pytest's exit code: tests were run, and some failed
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
AT_FIRST_SIGHT = ("-p", "tests.torture.at_first_sight", "--hypothesis-profile", "at-first-sight")
# A run, from its submit to its verdict, works with every mutant: else that breaks more than a promise.
PLAIN = "tests/integration/test_loop.py::test_the_first_run_with_a_metric_becomes_best_and_stays_in_train_py"


@dataclass(frozen=True)
class Tried:
    """What became of one mutant; `how` is empty if it was noticed."""

    mutant: Mutant
    how: str
    seconds: float
    said: str


def main(names: list[str]) -> int:
    """Try all, or those of the promises that are named; print, and write the page."""
    unknown = [name for name in names if name not in PROMISES]
    if unknown:
        print(f"mutants: no promise {', '.join(unknown)}; known: {', '.join(PROMISES)}", file=sys.stderr)
        return 64
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as after Ctrl-C: what was begun is put away
    chosen = [mutant for mutant in MUTANTS if not names or mutant.promise in names]
    begun = time.monotonic()
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn")) as pool:
        faults = list(filter(None, pool.map(unbroken, dict.fromkeys(mutant.promise for mutant in chosen))))
        if faults:
            print("\n".join(faults), file=sys.stderr)
            return 1
        found = []
        for number, one in enumerate(pool.map(tried, chosen), 1):
            found.append(one)
            print(_line(one, f"{number}/{len(chosen)}"), flush=True)
    text = table(found, time.monotonic() - begun)
    print(text.splitlines()[-1])
    PAGE.write(rewritten(text, names) if names else text)
    return 1 if any(one.how for one in found) else 0


def _line(one: Tried, count: str) -> str:
    how = one.how or "noticed"
    return f"{count} {how:8} {one.seconds:5.1f} s  {one.mutant.promise}: {one.mutant.broken}\n    {one.said}"


# --- one mutant ---


def selected(promise: str, tests: Collection[str]) -> list[str]:
    """Pytest's arguments for those tests of the promise; where none is named, for all of them."""
    return ["-m", "promise", "--promise", promise, *(tests or files_of(promise))]


def unbroken(promise: str) -> str:
    """What its tests say where nothing is broken, if they fail: then a mutant would prove nothing."""
    named = [mutant.tests for mutant in MUTANTS if mutant.promise == promise]
    tests = dict.fromkeys(chain(*named)) if all(named) else ()
    with tempfile.TemporaryDirectory(prefix="mu-") as folder:
        code, said = World(Path(folder)).tests(*selected(promise, tests))
    return f"mutants: nothing is broken, and the tests of {promise} fail: {said}" if code != 0 else ""


def tried(mutant: Mutant) -> Tried:
    """Break the promise in a copy of the code, and run its tests on that."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mu-") as folder:
        world = World(Path(folder))
        try:
            world.change(mutant)
            how, said = _judged(world, mutant)
        except (AssertionError, OSError) as error:
            how, said = "error", str(error)
    return Tried(mutant, how, time.monotonic() - begun, said)


def _judged(world: "World", mutant: Mutant) -> tuple[str, str]:
    code, said = world.tests(*selected(mutant.promise, mutant.tests))
    if code == 0:
        return "SURVIVED", "its tests pass with it"
    if code != FAILED:
        return "error", f"its tests did not end within {LIMIT_S:.0f} s" if code is None else f"{code}: {said}"
    plain, why = world.tests(PLAIN)
    if plain != 0:
        return "error", f"it breaks more than a promise: {why}"
    return "", said


class World:
    """A copy of the code, and an interpreter that imports that one, whoever starts it and wherever."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)  # some tests act as another user
        self.tree, self.temporary = folder / "r", folder / "t"
        self.temporary.mkdir()
        self.temporary.chmod(0o1777)
        for name in _git("ls-files", "-z").split("\0"):
            source, target = ROOT / name, self.tree / name
            if name and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        self.python = self._interpreter(folder / "v")

    def _interpreter(self, home: Path) -> Path:
        venv.create(home, symlinks=True, with_pip=False)
        paths = dict.fromkeys((str(self.tree), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        place = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
        (place / "mutant.pth").write_text("".join(f"{path}\n" for path in paths))
        python = home / "bin" / "python"
        where = "import ardaemon, arctl; print(ardaemon.__file__, arctl.__file__)"
        said = subprocess.run(
            [python, "-c", where], cwd="/", env={}, capture_output=True, text=True, check=True
        )
        assert said.stdout.count(str(self.tree)) == 2, f"the mutant is not what is imported: {said.stdout}"
        return python

    def change(self, mutant: Mutant) -> None:
        """Put the mutant in."""
        path, text = changed(code(self.tree), mutant)
        path.write_text(text, encoding="utf-8")

    def tests(self, *arguments: str) -> tuple[int | None, str]:
        """Pytest's exit code (None: too late), and the first that it says of a failure."""
        options = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist", *AT_FIRST_SIGHT]
        environment = {**os.environ, "TMPDIR": str(self.temporary), "COLUMNS": "200", "TORTURE": ""}
        said = self.temporary.with_name("said")
        with said.open("wb") as out:
            command = [str(self.python), "-m", "pytest", *options, *arguments]
            process = subprocess.Popen(
                command, cwd=self.tree, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
            with _alone_with(process.pid):
                code = _waited(process, LIMIT_S)
        return code, _first_words(said.read_text(errors="replace"))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _first_words(text: str) -> str:
    """The lines of the first assertion that failed, or the last that was said at all."""
    found = re.findall(r"^(?:  \| )*E {1,3}(.+)$", text, re.MULTILINE)
    words = " ".join(" ".join(found[:4]).split()) or " ".join(text.split()[-20:])
    return words[:SAID_MAX]


# --- processes ---


@contextmanager
def _alone_with(pid: int) -> Iterator[None]:
    """Whatever `pid` leaves behind is ours, as it would be init's, and is ended with it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        end = time.monotonic() + CLEAN_S
        while not _reaped():
            assert time.monotonic() < end, f"processes of {pid} cannot be ended"
            proc.kill_children()
            time.sleep(POLL_S)


def _reaped() -> bool:
    """Reap what has ended; is no child left?"""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _waited(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Its exit code; None: it was ended as it took too long. Orphans are reaped meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode
        if pid == 0:
            time.sleep(POLL_S)
    process.send_signal(signal.SIGKILL)
    process.returncode = -signal.SIGKILL  # it is reaped with the others
    return None


# --- the page ---


def table(found: list[Tried], seconds: float) -> str:
    """What was tried, as Markdown."""
    lines = ["| promise | what was broken | noticed |", "|---|---|---|"]
    lines += [f"| {one.mutant.promise} | {one.mutant.broken} | {one.how or 'yes'} |" for one in found]
    noticed = sum(not one.how for one in found)
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    return "\n".join([*lines, "", f"{noticed} of {len(found)} noticed, in {seconds:.0f} seconds, {when}."])


def rewritten(text: str, names: list[str]) -> str:
    """The page's table with the rows of these promises in the place of those that were there."""
    before = PAGE.lines()
    new = [line for line in text.splitlines() if line.startswith(tuple(f"| {name} |" for name in names))]
    rows = [line for line in before if line.startswith(tuple(f"| {name} |" for name in PROMISES))]
    rows = [line for line in rows if not line.startswith(tuple(f"| {name} |" for name in names))]
    rows = sorted([*rows, *new], key=lambda line: list(PROMISES).index(line.split(" | ")[0].strip("| ")))
    said = [line for line in before if line and not line.startswith("|")]
    noticed = sum(line.endswith("| yes |") for line in rows)
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    said.append(f"Run again, alone, on {when}: {', '.join(names)}; now {noticed} of {len(rows)}.")
    return "\n".join([*text.splitlines()[:2], *rows, "", "\n\n".join(said)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
