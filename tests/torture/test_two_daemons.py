"""SIGKILL of either of two daemons before each change that it makes: no id, row, launch or verdict twice.

The first daemon is killed as it works, and the second one takes its runs over. Or the second one is killed as
it does that, and is started again. In the end the first one is there again, and changes nothing.

The two differ by their state folders; or one has a copy of the other's; or the second one is in a container,
which has PIDs and mounts of its own; or one of them is another user's: then the second one is refused.
"""

import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from ardaemon.core.errors import ArdaemonError, OwnedElsewhere
from tests.support import elsewhere
from tests.support.lab import DEADLINE_S, SLUG, Lab, wait_until
from tests.support.machine import configured
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
def two(kind: str = "folders") -> Iterator[tuple[Lab, Lab]]:
    """Two daemons with state folders of their own on one project, not started; the second is of a kind."""
    with world() as one, ExitStack() as stack:
        other = copy.copy(one)
        other.clients = []
        other.state_home, other.runtime = one.root / "s2", one.root / "r2"
        for folder in (other.state_home, other.runtime, other.state_home / "ardaemon"):
            folder.mkdir(mode=0o700)
        paths = {"XDG_STATE_HOME": str(other.state_home), "XDG_RUNTIME_DIR": str(other.runtime)}
        other.environment = {**one.environment, **paths}
        if kind == "container":
            other.within = stack.enter_context(elsewhere.container())
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


def share(one: Lab, other: Lab, kind: str) -> None:
    """Let both be of one user who has started the session; or give the second one a copy of all."""
    if kind == "copy":
        but_for = shutil.ignore_patterns("queue.json")  # which says that the queue is paused
        shutil.copytree(one.state_home, other.state_home, dirs_exist_ok=True, ignore=but_for)
    shutil.copy(one.state_home / KEY, other.state_home / KEY)
    if kind == "container":  # where the first one's processes are not seen
        wait_until(lambda: not (set(one.processes()) - at_rest(one)), "its job to end")


def at_rest(lab: Lab) -> set[int]:
    """The world's processes that are no run's: such as a shim that waits for one."""
    return {pid for pid in lab.processes() if b"AR_RUN_ID=" not in environment_of(pid)}


def environment_of(pid: int) -> bytes:
    """The environment of a process; nothing of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def first_is_killed(one: Lab, other: Lab, plan: dict[str, object], kind: str) -> None:
    """The first daemon has the plan; the second one goes on."""
    start(one, plan)
    with pytest.raises(Killed):
        First(one).told(SAVED)
    share(one, other, kind)
    start(other)
    Second(other).told()


def second_has(one: Lab, other: Lab, plan: dict[str, object], kind: str) -> None:
    """The first daemon is killed with a run in its queue; the second one has the plan, and takes it over."""
    start(one)
    story = First(one)
    story.begin()
    one.call("queue.pause")
    story.submit(SAVED)
    one.kill()
    share(one, other, kind)
    start(other, plan)
    Second(other).told()


WISHES: dict[str, dict[str, object]] = {
    "run.submit": {"submit_id": SAVED.name, "environment": {}},
    "session.stop": {},
}


def give_away(lab: Lab) -> None:
    """Let the lab's daemon and clients be another user's, who may write into the project."""
    lab.root.chmod(0o1777)  # where its daemon says that it has come to the point
    subprocess.run(["chmod", "-R", "a+rwX", str(lab.project)], check=True)
    for folder in (lab.state_home, lab.runtime):
        subprocess.run(["chown", "-R", f"{elsewhere.STRANGER}", str(folder)], check=True)
    lab.environment["HOME"] = str(lab.state_home)
    lab.within, lab.uid = elsewhere.stranger(lab.root), elsewhere.STRANGER


def another_user_is_refused(one: Lab, other: Lab, plan: dict[str, object], kind: str) -> None:
    """The first daemon is killed; another user's, who may write there, is refused; the first one goes on.

    Or the first one is that user's, and root's is refused, which trusts whatever lies there.
    """
    if kind == "root":
        give_away(one)
        configured(other, f"trusted = [{json.dumps(str(one.project))}]\n")
    start(one, plan)
    with pytest.raises(Killed):
        First(one).told(SAVED)
    if kind == "user":
        give_away(other)
    start(other)
    before = contents(one)
    for method, params in WISHES.items():
        with pytest.raises(OwnedElsewhere) as caught:
            other.call(method, project=str(one.project), expr=SLUG, **params)
        assert caught.value.data["standing"] == "user"
    assert contents(one) == before
    other.stop()
    start(one)
    Second(one).told()


def contents(lab: Lab) -> dict[str, bytes]:
    """Every file of the experiment that no job writes."""
    names = (
        ".ar-session.json",
        "results.tsv",
        "best.json",
        "train.py",
        "runs/*/run.json",
        "runs/*/result.json",
    )
    found = (path for name in names for path in lab.folder.glob(name))
    return {str(path): path.read_bytes() for path in found}


def rows_of(lab: Lab) -> tuple[list[str], list[str]]:
    """The run of each row of results.tsv, and the candidate that it was."""
    lines = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    return [line.split("\t")[0] for line in lines], [line.split("\t")[-1] for line in lines]


def brought_to_rest(lab: Lab) -> None:
    """Have the daemon started, if it is not, and all its runs committed."""
    if lab.process is None or lab.process.poll() is not None:
        lab.start()
    active = lab.home / "active"
    wait_until(lambda: not any(active.iterdir()), "no run to be left")


def nothing_is_there_twice(one: Lab, other: Lab, kind: str) -> None:
    """As disk and jobs have it; also after the first daemon is there again."""
    if kind == "container":
        brought_to_rest(other)
        if rows_of(one)[0][0] != "r0001":
            return what_was_left_is_there_once(one, other)
    for lab in (one,) if kind in REFUSED else (other, one):
        brought_to_rest(lab)
        rows, notes = rows_of(lab)
        assert (rows, notes) == ([f"r{n:04d}" for n in range(1, len(rows) + 1)], [*NAMES]), (rows, notes)
        counters = lab.read(".ar-session.json")["counters"]
        assert (counters["advance"], counters["revert"]) == (1, 1), counters
        marks = (lab.project / "marks").read_text().splitlines()
        assert marks == [f"{row} {name}" for row, name in zip(rows, NAMES, strict=True)], marks
    return None


def what_was_left_is_there_once(one: Lab, other: Lab) -> None:
    """The first daemon was killed as it launched a run, and no job of it was seen: so the run was left to it.

    The client, which had no answer, got another id. The first daemon ends that run when it is there again.
    """
    assert rows_of(one) == (["r0002", "r0003"], [*NAMES]), rows_of(one)
    other.call("daemon.stop")
    brought_to_rest(one)
    assert rows_of(one) == (["r0002", "r0003", "r0001"], [*NAMES, SAVED.name]), rows_of(one)
    counters = one.read(".ar-session.json")["counters"]
    assert sum(counters[verdict] for verdict in ("advance", "revert", "crash", "interrupted")) == 3, counters
    ids = [line.split()[0] for line in (one.project / "marks").read_text().splitlines()]
    assert len(set(ids)) == len(ids), ids


Scene = Callable[[Lab, Lab, dict[str, object], str], None]
SCENES: dict[str, tuple[Scene, int]] = {  # who has the plan
    "owner": (first_is_killed, 0),
    "who takes over": (second_has, 1),
    "owner, beside another user": (another_user_is_refused, 0),
}
# (scene, kind); the others than the first two are one case each but at full size.
PAIRS = [
    ("owner", "folders"),
    ("who takes over", "folders"),
    ("owner", "copy"),
    ("who takes over", "copy"),
    ("owner", "container"),
    ("who takes over", "container"),
    ("owner, beside another user", "user"),
    ("owner, beside another user", "root"),
]
REFUSED = ("user", "root")  # kinds: whose the second daemon is


@cache
def found(name: str) -> list[Point]:
    """Every change of the project, and of its own entries, that the daemon makes from the first submit on."""
    scene, which = SCENES[name]
    with two() as labs:
        log = labs[0].root / "operations"
        plan: dict[str, object] = {"record": str(log), "root": str(labs[0].root)}
        if which == 0:
            start(labs[0], plan)
            First(labs[0]).told(SAVED)
        else:
            scene(*labs, plan, "folders")
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


@pytest.mark.timeout(3600 if FULL else 600)
@pytest.mark.promise("one-owner")
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_nothing_is_there_twice_whenever_one_of_two_daemons_is_killed(
    name: str, kind: str, record_property: Record
) -> None:
    if kind in ("container", *REFUSED) and not elsewhere.can():
        pytest.skip("only root may make namespaces, and become another user")
    scene, every = SCENES[name][0], found(name)
    assert len(every) > 30, "the story has become too short to prove anything"
    mine = some(every, QUICK if kind == "folders" else 1)
    record_property("cases", len(mine))
    wrong = []
    for point in mine:
        with two(kind) as labs:
            try:
                scene(*labs, planned(labs[0], point, "kill"), kind)
                nothing_is_there_twice(*labs, kind)
                assert (labs[0].root / "reached").exists(), "the point was not met"
            except (AssertionError, ArdaemonError, OSError, ValueError) as error:
                wrong.append(f"{point}: {error} {error.__cause__ or ''}")
    record_property("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} of {len(mine)}:\n" + "\n".join(wrong)
