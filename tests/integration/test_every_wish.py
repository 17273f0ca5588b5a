"""Every wish in every state of a run: what the user is told, and what becomes of the run.

A wish that comes in time interrupts the run, whatever the daemon is doing with it at that moment. A wish that
comes too late changes no verdict, and whoever asked is told so: never "cancelled".
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from ardaemon.core.lifecycle import TRANSITIONS
from tests.support import lab as labs
from tests.support.jobs import alive, held_launch, is_pending, job_of, launched, shim_of, stop
from tests.support.lab import Lab, wait_until
from tests.support.promises import times
from tests.support.shell import UNTIL_TOLD
from tests.support.states import SCENES, Scene
from tests.support.terminal import Terminal

pytestmark = pytest.mark.promise("wishes")

INTERRUPTED, VERDICT, HELD = "interrupted", "ok", "held"
CANCEL, STOP, CTRL_C = "arctl cancel", "arctl session stop", "Ctrl+C in arctl run --wait"


class Becomes(NamedTuple):
    """What a wish makes of the run, and whether its session is live afterwards."""

    run: str
    live: bool | None  # None: live or not, the client says how to end it


# Until the daemon knows that the run's processes have ended, the run is interrupted; after that its verdict
# stands. `session stop` and Ctrl+C end the session as well. Ctrl+C that finds a verdict may leave it live, if
# it says so.
TABLE = {
    "queued": {
        CANCEL: Becomes(INTERRUPTED, True),
        STOP: Becomes(HELD, False),
        CTRL_C: Becomes(INTERRUPTED, False),
    },
    "launching": {
        CANCEL: Becomes(INTERRUPTED, True),
        STOP: Becomes(INTERRUPTED, False),
        CTRL_C: Becomes(INTERRUPTED, False),
    },
    "running": {
        CANCEL: Becomes(INTERRUPTED, True),
        STOP: Becomes(INTERRUPTED, False),
        CTRL_C: Becomes(INTERRUPTED, False),
    },
    "exited": {
        CANCEL: Becomes(VERDICT, True),
        STOP: Becomes(VERDICT, False),
        CTRL_C: Becomes(VERDICT, False),
    },
    "judged": {
        CANCEL: Becomes(VERDICT, True),
        STOP: Becomes(VERDICT, False),
        CTRL_C: Becomes(VERDICT, None),
    },
    "committed": {
        CANCEL: Becomes(VERDICT, True),
        STOP: Becomes(VERDICT, False),
        CTRL_C: Becomes(VERDICT, None),
    },
}
CELLS = [(state, wish) for state, row in TABLE.items() for wish in row]
# Goes on until its limit: a wish that is not heard is seen, and none comes too late on a slow machine.
GOES_ON = "import time\nprint('val/loss: 1.0', flush=True)\ntime.sleep(60)\n"


def test_the_table_answers_every_wish_in_every_state() -> None:
    assert set(TABLE) == {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values())
    assert all(set(row) == {CANCEL, STOP, CTRL_C} for row in TABLE.values())


@pytest.fixture(scope="module")
def machine() -> Iterator[Lab]:
    """A daemon for all scenes that start none of their own."""
    with closing(labs.make()) as lab:
        yield lab.start()


@pytest.fixture
def stage(machine: Lab, lab: Lab, state: str, wish: str) -> Iterator[Lab]:
    """A project for the scene; nothing is left in the queue after it."""
    if state in ("launching", "judged"):
        yield lab
        return
    project = machine.beside(f"{state}-{CELLS.index((state, wish))}")
    yield project
    for run in machine.call("queue.list")["runs"]:
        project.get("run.cancel", run_id=run["run_id"])
    wait_until(lambda: not machine.call("queue.list")["runs"], "an empty queue")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal()) as made:
        yield made


@pytest.mark.parametrize(("state", "wish"), CELLS)
def test_a_wish_is_done_or_said_to_be_too_late(stage: Lab, terminal: Terminal, state: str, wish: str) -> None:
    expected, lab, scene = TABLE[state][wish], stage, Scene(stage, terminal if wish == CTRL_C else None)
    with SCENES[state](scene):
        command = wish_for(scene, wish)
        said = answer(scene, command, state, wish)
    said = said or words(scene, command)
    if expected.run == HELD:
        assert "session is over" in lab.get("run.get", run_id=scene.run_id)["why"]
    else:
        result = lab.wait(scene.run_id)["result"]
        assert result["status"] == expected.run, said
    check_words(state, wish, expected, said)
    live = lab.get("session.get")["session"]["live"]
    says_how = expected.live is None and "arctl session stop" in said
    assert says_how or live is bool(expected.live), f"the session is live: {live}; said: {said}"
    if wish == CTRL_C:
        assert command.returncode == (13 if expected.run == INTERRUPTED else 0), said


def wish_for(scene: Scene, wish: str) -> subprocess.Popen[str]:
    """Make the wish; the command whose words are the answer to it."""
    if scene.client is not None and scene.terminal is not None:
        scene.terminal.ctrl_c()
        return scene.client
    return scene.shell.start(*(["cancel", scene.run_id] if wish == CANCEL else ["session", "stop"]))


def answer(scene: Scene, command: subprocess.Popen[str], state: str, wish: str) -> str:
    """Wait until the daemon has heard of the wish, as far as that can be seen; what was said by then."""
    if state == "judged" and wish != CANCEL:
        return ""  # the daemon is alone with the experiment's files: others may wait for that
    if wish != CTRL_C:
        return words(scene, command)
    if state != "committed":
        wait_until(lambda: heard(scene), "the daemon to write the wish down")
    else:  # the client is stopped; the terminal hands a signal on a moment after the key
        wait_until(lambda: is_pending(command.pid, signal.SIGINT), "Ctrl+C to arrive")
    return ""


def words(scene: Scene, command: subprocess.Popen[str]) -> str:
    """Everything that a command said to its end."""
    _, out, err = scene.shell.end(command)
    return out + err


def heard(scene: Scene) -> bool:
    """The wish stands in the run's active entry or has ended the session; or the run is committed."""
    entries = list((scene.lab.home / "active").glob(f"*-{scene.run_id}.json"))
    try:
        wanted = [json.loads(entry.read_bytes())["wanted"] for entry in entries]
    except FileNotFoundError:
        return True
    return wanted != ["run"] or not scene.lab.read(".ar-session.json")["live"]


def check_words(state: str, wish: str, expected: Becomes, said: str) -> None:
    """What was said is true."""
    if wish == STOP:
        assert "session: not live" in said
    elif expected.run == INTERRUPTED:
        assert ("cancelled" if wish == CANCEL else "interrupted") in said
    else:
        assert "cancelled" not in said, f"{said!r} of a run whose verdict stands"
        # To `arctl cancel` the verdict itself is an answer.
        late = "advance" if (state, wish) == ("committed", CANCEL) else "already"
        assert late in said, f"{said!r} does not say that the wish came too late"


# --- a run that is launching, more closely ---


def wish_by_protocol(lab: Lab, method: str) -> None:
    lab.get(method, **({"run_id": "r0001"} if method == "run.cancel" else {}))


@pytest.mark.parametrize("method", ["run.cancel", "session.stop"])
def test_a_wish_for_a_run_that_is_launching_is_heard_by_the_next_daemon(lab: Lab, method: str) -> None:
    scene = Scene(lab)
    with held_launch(lab):
        scene.ready()
        lab.write(GOES_ON)
        scene.submit("launching")
        wish_by_protocol(lab, method)
        lab.kill()
        lab.start()
    assert lab.wait(scene.run_id)["result"]["status"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_wish_that_was_answered_holds_whatever_becomes_of_the_daemon(
    lab: Lab, number: signal.Signals
) -> None:
    scene = Scene(lab)
    with held_launch(lab):
        scene.ready()
        scene.submit("launching")
        assert "cancelled" in scene.shell("cancel", scene.run_id)
        os.kill(lab.pid, number)
    if number == signal.SIGKILL:
        lab.kill()  # it is gone
        lab.start()
    else:
        os.kill(lab.pid, signal.SIGCONT)
    result = lab.wait(scene.run_id)["result"]
    assert (result["status"], result["verdict"]) == ("interrupted", "interrupted")


@pytest.mark.parametrize("again", times(20, 1))
def test_a_cancel_at_any_moment_after_the_submit_interrupts_the_run(lab: Lab, again: int) -> None:
    lab.ready()
    moments = random.Random(again)
    for _ in range(8):
        lab.write(GOES_ON)
        run_id = lab.submit()["run_id"]
        time.sleep(moments.uniform(0, 0.05))  # the moment is what is tried, nothing is waited for
        state = lab.get("run.cancel", run_id=run_id)["state"]
        result = lab.wait(run_id)["result"]
        assert result["status"] == "interrupted", f"cancelled while it was {state}: {result['verdict']}"


# --- a run that has ended, more closely ---


def test_a_cancel_that_comes_after_the_end_and_before_anybody_knows_of_it_interrupts_the_run(
    lab: Lab,
) -> None:
    """The woken shim finds the end and the stop at once; the client was told that the run is interrupted."""
    lab.ready()
    go = lab.root / "go"
    run_id = launched(lab, UNTIL_TOLD.format(go=str(go), value=1.0))
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    stop(lab, shim)
    go.touch()
    wait_until(lambda: not alive(job), "the job's end")
    assert lab.get("run.get", run_id=run_id)["state"] == "running"
    lab.get("run.cancel", run_id=run_id)
    result = lab.wait(run_id)["result"]
    assert result["status"] == "interrupted"
    assert lab.read(f"runs/{run_id}/a1/exit.json")["ending"] == "exited"


def test_a_cancel_that_crossed_the_end_of_its_job_holds_for_the_next_daemon(lab: Lab) -> None:
    """It was acknowledged while the job ran; before the shim heard of it, the job had ended by itself."""
    lab.ready()
    go = lab.root / "go"
    run_id = launched(lab, UNTIL_TOLD.format(go=str(go), value=1.0))
    lab.kill()
    (entry,) = (lab.home / "active").glob(f"*-{run_id}.json")
    entry.write_text(json.dumps({**json.loads(entry.read_bytes()), "wanted": "cancel"}))
    go.touch()
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the end of the job")
    assert lab.read(f"runs/{run_id}/a1/exit.json")["ending"] == "exited"
    lab.start()
    assert lab.wait(run_id)["result"]["status"] == "interrupted"


def test_a_wish_that_came_too_late_is_too_late_for_the_next_daemon_as_well(lab: Lab) -> None:
    scene = Scene(lab)
    with SCENES["exited"](scene):
        said = scene.shell("cancel", scene.run_id)
        lab.kill()
        lab.start()
    assert lab.wait(scene.run_id)["result"]["verdict"] == "advance"
    assert "cancelled" not in said


@pytest.mark.parametrize("wish", [CANCEL, STOP])
def test_a_verdict_that_waits_for_the_disk_stands_and_a_session_that_was_stopped_stays_so(
    lab: Lab, wish: str
) -> None:
    lab.start("tests.support.faulty")  # no fault: it tries again soon
    scene = Scene(lab)
    scene.ready()
    lab.tried(1.0)
    scene.run_id = "r0002"
    in_the_way = lab.folder / ".train.py.swap"
    in_the_way.mkdir()
    lab.edit(2.0)
    scene.submit("judged")
    wait_until(lambda: lab.events("blocked"), "the commit to wait")
    said = words(scene, wish_for(scene, wish))
    in_the_way.rmdir()
    scene.reach("committed")
    assert lab.wait(scene.run_id)["result"]["verdict"] == "revert"
    assert lab.get("session.get")["session"]["live"] is (wish == CANCEL), said
    assert "cancelled" not in said
