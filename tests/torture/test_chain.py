"""chain.init is killed before each of its operations: the child is there whole, or nothing has happened."""

import errno
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from ardaemon.core.errors import ArdaemonError
from tests.support import chains
from tests.support.chains import CHILD
from tests.support.faulty import TAKES_SPACE
from tests.support.jobs import launched
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.promises import FULL, some
from tests.support.shell import Shell
from tests.torture import disk
from tests.torture.points import (
    PROGRAM,
    WARNED_OF,
    Point,
    Record,
    none_wrong,
    planned,
    points,
    recorded,
    undisturbed,
    world,
)
from tests.torture.recording import empty_disk, recorded_whole
from tests.torture.story import CANDIDATES, PRINT, Candidate, Story

pytestmark = [pytest.mark.promise("chain"), pytest.mark.timeout(1500 if FULL else 600)]

CHUNKS = 2  # so that both cores have work to the end
QUICK, STATES = 4, 5  # points, and disks, of each chunk in `make test`
ERRORS = 3  # points at which the disk fails
CLIENTS = 1  # points of each chunk at which the client is killed
GO = "go"  # a file: the run at work ends once it is there
WAIT = "import time\nwhile not os.path.exists(home + '/../../go'):\n    time.sleep(0.01)\n"
AT_WORK = Candidate("at work", WAIT + PRINT.format(value=2), "revert")
WAITS = Candidate("waits", PRINT.format(value=3), "interrupted")
PARENT = next(candidate for candidate in CANDIDATES if candidate.name == "saved")
STATE = "state of saved" * 99


class ChainStory(Story):
    """A parent with a checkpoint, a live session and a run that waits; then the chain goes on by force."""

    candidates = (PARENT, AT_WORK)
    settings: ClassVar[Mapping[str, Any]] = {**Story.settings, "plateau": 9}

    def __init__(self, lab: Lab, mend: Callable[[], None] = lambda: None) -> None:
        super().__init__(lab, mend)
        self.asked = False

    def tell(self) -> "ChainStory":
        """The whole story, to its end."""
        self.begin_with_a_parent()
        self.let_one_wait()
        self.insist(self._follow)
        self.judged(WAITS)
        wait_until(lambda: not any((self.lab.home / "active").iterdir()), "the active folder to be empty")
        return self

    def begin_with_a_parent(self) -> None:
        """Until there is a best that an experiment could follow."""
        self.begin()
        self.submit(PARENT)
        self.judged(PARENT)

    def _session(self) -> None:
        if not self.lab.get("session.get")["session"]["live"]:
            where = {"project": str(self.lab.project), "expr": SLUG}
            self.lab.call(
                "session.start", **where, settings=self.settings, environment=self.environment, chain=2
            )

    def let_one_wait(self) -> None:
        """Hold a run while another one is in the only slot, so that it never starts."""
        self.submit(AT_WORK)
        self.insist(lambda: self.lab.wait(self.runs[AT_WORK.name], until="launched"))
        self.submit(WAITS)
        self.insist(lambda: self.lab.get("queue.hold", run_id=self.runs[WAITS.name]))
        (self.lab.project / GO).touch()
        self.judged(AT_WORK)

    def _follow(self) -> None:
        """Ask for the child; after a kill, look first what another client finds."""
        if self.asked:
            assert_nothing_or_all(self.lab, self.runs[WAITS.name])
        self.asked = True
        chains.go_on(self.lab, force=True)


def assert_nothing_or_all(lab: Lab, waits: str) -> bool:
    """Is the child there? Then all is as it has to be with it; else all is as it was."""
    session = lab.get("session.get")["session"]  # any request about the project
    chain, there = chains.chain(lab), chains.folder(lab).exists()
    trail = [SLUG, CHILD] if there else [SLUG]
    assert (chain["current_slug"], chain["chain_trail"]) == (trail[-1], trail), chain
    assert (chain["chain_remaining"], chain["making"]) == (1 if there else 2, None), chain
    assert (session["live"], session["terminated_by"]) == ((False, "chained") if there else (True, None))
    assert not list(lab.folder.parent.glob(".new-*")), "half a child"
    if there:
        assert lab.wait(waits)["result"]["verdict"] == "interrupted"
        assert_whole(lab, waits)
    else:
        view = lab.get("run.get", run_id=waits)
        assert (view["state"], view["held"]) == ("queued", True), view
    return there


def assert_whole(lab: Lab, waits: str) -> None:
    """The child's files are there, and say the same."""
    home = chains.folder(lab)
    assert (home / "train.py").read_text() == PARENT.text
    assert (home / "runs/r0000/train.py").read_text() == PARENT.text
    assert (home / "prepare.py").read_text() == "CONTRACT = {'version': 1}\n"
    assert (home / "parent_ckpt/state.pt").read_text() == STATE
    assert json.loads((home / "parent_ckpt/meta.json").read_bytes())["run_id"] == "r0001"
    decision = json.loads((home / "chain_decision.json").read_bytes())
    assert (decision["rationale"], decision["dropped"]) == (chains.RATIONALE, [waits])
    status = lab.call("status.get", project=str(lab.project), expr=CHILD)
    assert (status["session"]["live"], status["warnings"]) == (True, [])
    seal = lab.call("experiment.seal", project=str(lab.project), expr=CHILD)
    assert seal["said"] == ["the seal holds"]


class Told(NamedTuple):
    """The undisturbed story: the points of chain.init in it, and the picture that it leaves."""

    points: list[Point]
    picture: dict[str, Any]


@cache
def told() -> Told:
    """Tell it, once for each worker."""
    with world() as lab:
        operations, picture = recorded(lab, ChainStory)
    begins, ends = of_chain_init(operations)
    every = points(operations)
    return Told(every[len(points(operations[:begins])) : len(points(operations[:ends]))], picture)


def of_chain_init(operations: list[dict[str, Any]]) -> tuple[int, int]:
    """Where chain.init begins to write, and where its answer has been given."""
    writes = [at for at, facts in enumerate(operations) if ".chain-session.json.tmp" in facts["subject"]]
    intent = next(at for at in writes if '"making": {' in (operations[at]["data"] or "")) - 1
    aside = next(at for at, facts in enumerate(operations) if f".new-{CHILD}" in facts["subject"])
    begins = min(intent, aside)
    answers = (
        at for at, facts in enumerate(operations) if at > writes[-1] and facts["name"] == "acknowledge"
    )
    return begins, next(answers) + 1


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_kill_before_any_operation_leaves_the_child_whole_or_nothing(
    chunk: int, record_property: Record
) -> None:
    found = [point for point in told().points if point.who == "daemon"]
    assert len(found) > 60, "the story has become too short to prove anything"
    mine = some(found[chunk::CHUNKS], QUICK)
    if not FULL:
        mine += telling(found)[chunk::CHUNKS]
    none_wrong(list(dict.fromkeys(mine)), "kill", undisturbed(told().picture), record_property, ChainStory)


def telling(found: list[Point]) -> list[Point]:
    """The rename that puts the child in place, what follows at once, and each file that is begun after it."""
    after = next(
        at for at, point in enumerate(found) if point.name == "rename" and point.subject.endswith(f"/{CHILD}")
    )
    return [*found[after : after + 2], *(point for point in found[after:] if point.name == "create")]


def test_a_run_that_was_to_be_cancelled_is_not_started_by_the_next_daemon(record_property: Record) -> None:
    """Its slot gets free while no daemon lives, and the next one starts what waits before it is asked."""
    record_property("cases", 1)
    moment = telling([point for point in told().points if point.who == "daemon"])[1]
    with world() as lab:
        lab.start(PROGRAM, FAULT_PLAN=json.dumps(planned(lab, moment, "kill")))
        story = ChainStory(lab)
        story.begin_with_a_parent()
        other = lab.beside("q")
        other.init()
        other.session()
        running = launched(
            other, WAIT.replace("home + '/../../go'", f"'{lab.project / GO}'").join(("import os\n", ""))
        )
        story.submit(WAITS)
        with pytest.raises(AssertionError, match="closed the connection"):
            chains.go_on(lab, force=True)
        (lab.project / GO).touch()
        wait_until(lambda: not lab.processes(), "the other's job to have ended, and the daemon")
        lab.start()
        assert other.wait(running)["result"]["status"] == "invalid"
        assert_nothing_or_all(lab, story.runs[WAITS.name])
        assert not (lab.folder / "runs" / story.runs[WAITS.name] / "a1").exists()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_client_that_is_killed_before_any_operation_leaves_one_child_and_the_same_command_names_it(
    chunk: int, record_property: Record
) -> None:
    """The daemon is held up right before the operation; then it goes on by itself."""
    found = [point for point in told().points if point.who == "daemon"]
    mine = some(found[chunk::CHUNKS], CLIENTS)
    if not FULL:
        mine += telling(found)[:1] if chunk == 0 else []
    for moment in mine:
        killed_client(moment)
    record_property("cases", len(mine))


def killed_client(moment: Point) -> None:
    """Kill the client at that moment; the same command gives the child, and the budget has counted once."""
    with world() as lab:
        plan = planned(lab, moment, "wait")
        lab.start(PROGRAM, FAULT_PLAN=json.dumps(plan))
        story = ChainStory(lab)
        story.begin_with_a_parent()
        story.let_one_wait()
        words = ("--new-slug", CHILD, "--goal", "less", "--rationale", chains.RATIONALE)
        command = ("chain-init", *words, "--force")
        client = Shell(lab).start(*command)
        wait_until(Path(plan["flag"]).exists, f"the moment: {moment}")
        client.kill()
        client.communicate()
        if moment.name == "rename" and moment.subject.endswith(f"/{CHILD}"):
            assert not chains.folder(lab).exists()
        Path(plan["flag"]).unlink()
        assert Shell(lab)(*command) == f"{CHILD}\n"
        chain = chains.chain(lab)
        assert (chain["chain_remaining"], chain["chain_trail"]) == (1, [SLUG, CHILD])
        assert assert_nothing_or_all(lab, story.runs[WAITS.name])


def test_an_experiment_that_gets_the_name_of_half_a_child_is_no_child(record_property: Record) -> None:
    """The chain is put right before anything else takes the name."""
    record_property("cases", 1)
    found = [point for point in told().points if point.who == "daemon"]
    half = next(point for point in found if f".new-{CHILD}/program.md" in point.subject)
    with world() as lab:
        lab.start(PROGRAM, FAULT_PLAN=json.dumps(planned(lab, half, "kill")))
        story = ChainStory(lab)
        story.begin_with_a_parent()
        with pytest.raises(AssertionError, match="closed the connection"):
            chains.go_on(lab, force=True)
        wait_until(lambda: lab.process is not None and lab.process.poll() is not None, "the daemon's end")
        lab.start()
        train, prepare = str(lab.project / "train.py"), str(lab.project / "prepare.py")
        words = {"primary_metric": "val/loss", "primary_direction": "min", "train": train, "prepare": prepare}
        lab.call("experiment.init", project=str(lab.project), slug=CHILD, **words)
        assert lab.get("session.get")["session"]["live"]
        chain = chains.chain(lab)
        assert (chain["current_slug"], chain["chain_remaining"], chain["making"]) == (SLUG, 2, None)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_an_error_of_the_disk_at_any_operation_costs_nothing_once_it_is_over(
    fault: int, record_property: Record
) -> None:
    writes = (*TAKES_SPACE, "rmdir")
    found = [point for point in told().points if point.who == "daemon" and point.name in writes]
    same = undisturbed(told().picture, WARNED_OF)
    none_wrong(some(found, ERRORS), fault, same, record_property, ChainStory)


# --- power cuts ---


class Cut(NamedTuple):
    """A disk that a power cut during chain.init leaves, and whether its answer had been given."""

    left: disk.Left
    answered: bool
    after: str


def cuts(lab: Lab, operations: list[dict[str, Any]]) -> list[Cut]:
    """Every one."""
    begins, ends = of_chain_init([{"subject": "", **facts} for facts in operations])
    model = empty_disk(lab)
    found: dict[str, Cut] = {}
    for at, facts in enumerate(operations[:ends]):
        model.take(facts)
        if at >= begins:
            for left in model.states():
                after = f"{facts['name']} {facts.get('subject')}"
                found[disk.digest(left)] = Cut(left, at == ends - 1, after)
    return list(found.values())


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_power_cut_at_any_moment_leaves_the_child_whole_or_nothing(
    chunk: int, record_property: Record
) -> None:
    with world() as lab:
        found = cuts(lab, recorded_whole(lab, ChainStory(lab), {PARENT.name: STATE}))
        assert len(found) > 100, "too few disks to prove anything"
        mine = some(found[chunk::CHUNKS], STATES)
        if not FULL:
            mine += [cut for cut in found if much_hangs_on(cut)][chunk::CHUNKS]
        record_property("cases", len(mine))
        wrong = [said for cut in mine if (said := _goes_on(lab, cut)) is not None]
    record_property("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} of {len(mine)}:\n" + "\n".join(wrong[:5])


def much_hangs_on(cut: Cut) -> bool:
    """Tell whether something later was safe then, or was told: the child must have been safe before."""
    return cut.answered or cut.after == f"fsync_folder ~/p/.autoresearch/{SLUG}"


def _goes_on(lab: Lab, cut: Cut) -> str | None:
    """Start a daemon on that disk, and look; what went wrong, or None."""
    for name, home in (("p", lab.project), ("s", lab.state_home)):
        disk.put(cut.left.get(name, {}), home)
    lab.environment["FAULT_PLAN"] = json.dumps({"root": str(lab.root), "other_boot": True})
    lab.start(PROGRAM)
    try:
        there = assert_nothing_or_all(lab, "r0003")
        assert there or not cut.answered, "the answer was given, and the child is gone"
        made = chains.go_on(lab, force=True)
        assert (made["expr"], made["chain_remaining"]) == (CHILD, 1)
        assert assert_nothing_or_all(lab, "r0003")
    except (AssertionError, OSError, ValueError, ArdaemonError) as error:
        return f"after {cut.after}: {error}"
    finally:
        lab.stop()
    return None
