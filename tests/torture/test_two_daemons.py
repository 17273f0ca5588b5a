"""SIGKILL of either of two daemons before each change that it makes: no id, row, launch or verdict twice.

The first daemon is killed as it works, and the second one takes its runs over. Or the second one is killed as
it does that, and is started again. In the end the first one is there again, and changes nothing.
"""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from ardaemon.core.errors import ArdaemonError, OwnedElsewhere
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.promises import FULL, some
from tests.torture.points import PROGRAM, Point, Record, planned, points, world
from tests.torture.story import CANDIDATES, Candidate, Story

QUICK = 2
SAVED, WORSE = CANDIDATES[1:3]
NAMES = (SAVED.name, WORSE.name)
KEY = "ardaemon/session.key"  # one user's: each may run in the session that the other has started


class Killed(Exception):
    """The daemon is gone, as planned; a story of one daemon would start it again."""


class First(Story):
    """Told to the first daemon, until it is killed or all is done."""

    def _recover(self, error: Exception) -> None:
        if (self.lab.root / "reached").exists():
            assert self.lab.process is not None
            self.lab.process.wait(DEADLINE_S)
            raise Killed from error
        super()._recover(error)

    def told(self, candidate: Candidate) -> None:
        """Begin, and have the candidate judged."""
        self.begin()
        self.submit(candidate)
        self.judged(candidate)


class Second(Story):
    """Told to the second daemon, which takes over what the first one has left."""

    def _recover(self, error: Exception) -> None:
        if isinstance(error, OwnedElsewhere):
            with suppress(AssertionError, OSError):  # it was killed meanwhile: the next try finds that
                self.lab.call("project.adopt", project=str(self.lab.project))
            return
        super()._recover(error)

    def told(self) -> None:
        """The candidate of before, by the same submit id, and another one."""
        for candidate in (SAVED, WORSE):
            self.submit(candidate)
            self.judged(candidate)


@contextmanager
def two() -> Iterator[tuple[Lab, Lab]]:
    """Two daemons with state folders of their own on one project, not started."""
    with world() as one:
        other = copy.copy(one)
        other.clients = []
        other.state_home, other.runtime = one.root / "s2", one.root / "r2"
        for folder in (other.state_home, other.runtime, other.state_home / "ardaemon"):
            folder.mkdir(mode=0o700)
        paths = {"XDG_STATE_HOME": str(other.state_home), "XDG_RUNTIME_DIR": str(other.runtime)}
        other.environment = {**one.environment, **paths}
        try:
            yield one, other
        finally:
            other.stop()


def start(lab: Lab, plan: dict[str, object] | None = None) -> None:
    """Start a daemon with that plan; it may be killed before it is ready."""
    environment = {"FAULT_PLAN": json.dumps(plan)} if plan is not None else {}
    try:
        lab.start(PROGRAM if plan is not None else "ardaemon", **environment)
    except AssertionError:
        assert lab.process is not None
        assert lab.process.poll() is not None


def share_key(one: Lab, other: Lab) -> None:
    """Let both be of one user who has started the session."""
    shutil.copy(one.state_home / KEY, other.state_home / KEY)


def first_is_killed(one: Lab, other: Lab, plan: dict[str, object]) -> None:
    """The first daemon has the plan; the second one goes on."""
    start(one, plan)
    with pytest.raises(Killed):
        First(one).told(SAVED)
    share_key(one, other)
    start(other)
    Second(other).told()


def second_has(one: Lab, other: Lab, plan: dict[str, object]) -> None:
    """The first daemon is killed with a run in its queue; the second one has the plan, and takes it over."""
    start(one)
    story = First(one)
    story.begin()
    one.call("queue.pause")
    story.submit(SAVED)
    one.kill()
    share_key(one, other)
    start(other, plan)
    Second(other).told()


def nothing_is_there_twice(one: Lab, other: Lab) -> None:
    """As disk and jobs have it; also after the first daemon is there again."""
    for lab in (other, one):
        if lab.process is None or lab.process.poll() is not None:
            lab.start()
        active = lab.home / "active"
        wait_until(lambda active=active: not any(active.iterdir()), "no run to be left")  # type: ignore[misc]
        lines = (lab.folder / "results.tsv").read_text().splitlines()[1:]
        rows = [line.split("\t")[0] for line in lines]
        notes = [line.split("\t")[-1] for line in lines]
        assert (rows, notes) == ([f"r{n:04d}" for n in range(1, len(rows) + 1)], [*NAMES]), (rows, notes)
        counters = lab.read(".ar-session.json")["counters"]
        assert (counters["advance"], counters["revert"]) == (1, 1), counters
        marks = (lab.project / "marks").read_text().splitlines()
        assert marks == [f"{row} {name}" for row, name in zip(rows, NAMES, strict=True)], marks


Scene = Callable[[Lab, Lab, dict[str, object]], None]


def found(scene: Scene, which: int) -> list[Point]:
    """Every change of the project, and of its own entries, that the daemon makes from the first submit on."""
    with two() as labs:
        log = labs[0].root / "operations"
        plan: dict[str, object] = {"record": str(log), "root": str(labs[0].root)}
        if which == 0:
            start(labs[0], plan)
            First(labs[0]).told(SAVED)
        else:
            scene(*labs, plan)
        operations = [json.loads(line) for line in log.read_text().splitlines()]
    every = [point for point in points(operations) if point.who == "daemon" and _decides(point)]
    first = next(at for at, point in enumerate(every) if "r0001" in point.subject)
    return every[first:] if which == 0 else every


def _decides(point: Point) -> bool:
    """Leave out views, which nothing depends on, and what is a matter of timing."""
    ours = ".autoresearch/" in point.subject or "/active/" in point.subject
    return ours and not any(
        name in point.subject for name in ("samples", "curve", "facts", ".same", ".owner")
    )


@pytest.mark.timeout(1800 if FULL else 120)
@pytest.mark.promise("one-owner")
@pytest.mark.parametrize(
    ("scene", "which"), [(first_is_killed, 0), (second_has, 1)], ids=["owner", "who takes over"]
)
def test_nothing_is_there_twice_whenever_one_of_two_daemons_is_killed(
    scene: Scene, which: int, record_property: Record
) -> None:
    every = found(scene, which)
    assert len(every) > 30, "the story has become too short to prove anything"
    mine = some(every, QUICK)
    record_property("cases", len(mine))
    wrong = []
    for point in mine:
        with two() as labs:
            try:
                scene(*labs, planned(labs[0], point, "kill"))
                nothing_is_there_twice(*labs)
                assert (labs[0].root / "reached").exists(), "the point was not met"
            except (AssertionError, ArdaemonError, OSError, ValueError) as error:
                wrong.append(f"{point}: {error} {error.__cause__ or ''}")
    record_property("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} of {len(mine)}:\n" + "\n".join(wrong)
