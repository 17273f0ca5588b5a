"""Runs that nobody follows, or that do not move by themselves: each says so at once, and what to do.

Exit code 75 says "call me again and I will wait": an agent that obeys it in a loop must never spin.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ardaemon.core.errors import StorageError, Stuck
from tests.support import lab as labs
from tests.support.lab import DEADLINE_S, SLUG, Lab, wait_until
from tests.support.machine import config_of, with_gpus
from tests.support.nvml import FakeGpus
from tests.support.shell import UNTIL_TOLD, Shell, ended_by_arctl, shells
from tests.support.survivors import forged
from tests.support.wire import SENTINEL
from tests.torture.story import facts_kept

pytestmark = pytest.mark.promise("standstill")

STUCK = 76  # promised in the README: an agent's loop ends by it
RUN = "r0002"


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, made by arctl alone."""
    with shells(lab) as made:
        yield made


def told(shell: Shell, *arguments: str) -> str:
    """What a command says that must end a loop: its exit code is checked, and that it prints no verdict."""
    code, out, err = shell.end(shell.start(*arguments))
    assert (code, out) == (STUCK, ""), (arguments, code, out, err)
    assert RUN in err
    assert "still" not in err
    return err


# --- ways to stand still ---


def held(shell: Shell) -> None:
    """One verdict, and one run that a person holds."""
    shell.hold(0.9)
    shell.lab.submit(restore="at_submit")
    shell.lab.edit(0.8)
    shell.lab.submit(restore="at_submit")
    shell.lab.get("queue.hold", run_id=RUN)
    shell.release()
    shell("wait", "r0001")
    wait_until(lambda: facts_kept(shell.lab.folder), "the last that is written of the run")


def session_over(shell: Shell) -> None:
    shell.hold(0.9)
    shell.lab.wait(shell.lab.submit(restore="at_submit")["run_id"], until="launched")
    shell.lab.edit(0.8)
    shell.lab.submit(restore="at_submit")
    shell.lab.get("session.stop")
    shell("wait", "r0001", code=13)


def unclean(shell: Shell) -> None:
    """As after a kill that could not be verified; what survived it has ended meanwhile."""
    session_over(shell)
    ended = [{"pid": os.getpid(), "start": 1, "name": "an older one of that pid"}]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    record = {
        "schema": 1,
        "run_id": "r0001",
        "survivors": ended,
        "boot_id": boot,
        "at": "2026-11-22T10:00:00Z",
    }
    (shell.lab.folder / "UNCLEAN.json").write_text(json.dumps(record))


def entry(shell: Shell) -> Path:
    """Stop the daemon; the active entry of the run that waits."""
    held(shell)
    shell("daemon", "stop")
    return next((shell.lab.home / "active").glob(f"*-{RUN}.json"))


def entry_deleted(shell: Shell) -> None:
    entry(shell).unlink()


def entry_torn(shell: Shell) -> None:
    cut(entry(shell))


def entry_newer(shell: Shell) -> None:
    of_schema_9(entry(shell))


def record_torn(shell: Shell) -> None:
    entry(shell)
    cut(shell.lab.folder / f"runs/{RUN}/run.json")


def record_newer(shell: Shell) -> None:
    entry(shell)
    of_schema_9(shell.lab.folder / f"runs/{RUN}/run.json")


def record_away(shell: Shell) -> None:
    entry(shell)
    (shell.lab.folder / f"runs/{RUN}/run.json").rename(shell.lab.root / "away")


def project_copied(shell: Shell) -> None:
    held(shell)
    shutil.copytree(shell.lab.project, shell.lab.root / "copy", symlinks=True)
    shell.lab.project = shell.lab.root / "copy"
    shell("wait", "r0001")  # who has got that verdict is not in the copy


def project_moved(shell: Shell) -> None:
    held(shell)
    shell.lab.project = shell.lab.project.rename(shell.lab.root / "moved")
    shell("wait", "r0001")


def other_state_folder(shell: Shell) -> None:
    held(shell)
    shell("daemon", "stop")  # as one of another user or host, it does not answer here
    for name, folder in (("XDG_STATE_HOME", "s2"), ("XDG_RUNTIME_DIR", "r2")):
        (shell.lab.root / folder).mkdir(mode=0o700)
        shell.lab.environment[name] = str(shell.lab.root / folder)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def of_schema_9(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "schema": 9}))


Way = Callable[[Shell], None]
WAITS_FOR_A_PERSON: dict[Way, tuple[str, ...]] = {
    held: ("held", f"arctl queue release {RUN} --expr {SLUG}"),
    unclean: (f"arctl clean --expr {SLUG} && arctl session start",),
    session_over: ("its session is over", "arctl session start --resume continue --expr 261122-test"),
}
FOLLOWED_BY_NOBODY: dict[Way, tuple[str, ...]] = {
    entry_deleted: ("no daemon follows it",),
    entry_torn: ("cannot be read", "/active/"),
    entry_newer: ("has schema 9", "/active/", "upgrade"),
    record_torn: ("cannot be read", f"{RUN}/run.json"),
    record_newer: ("has schema 9", f"{RUN}/run.json", "upgrade"),
    record_away: ("which is away", f"runs/{RUN}/run.json"),
    project_copied: ("no daemon follows it", "copied"),
    project_moved: ("no daemon follows it", "moved"),
    other_state_folder: ("no daemon follows it", "XDG_STATE_HOME"),
}
STANDING_STILL = {**WAITS_FOR_A_PERSON, **FOLLOWED_BY_NOBODY}


class Stood(NamedTuple):
    """A project in which a run stands still in that way."""

    way: Way
    shell: Shell


@pytest.fixture(scope="module")
def stood(request: pytest.FixtureRequest) -> Iterator[Stood]:
    """One project for every test of a way: those that change nothing come first."""
    with closing(labs.make()) as lab, ended_by_arctl(shell := Shell(lab.ready())):
        request.param(shell)
        yield Stood(request.param, shell)


def each(ways: Iterable[Way]) -> pytest.MarkDecorator:
    """A test for each of those ways."""
    return pytest.mark.parametrize("stood", ways, ids=lambda way: way.__name__, indirect=True, scope="module")


@each(STANDING_STILL)
def test_a_wait_for_a_run_that_does_not_move_ends_a_loop_and_says_why(stood: Stood) -> None:
    way, shell = stood
    for command in (["wait", RUN], ["wait", "--any"], ["result", RUN], ["wait"]):
        said = told(shell, *command)
        assert all(words in said for words in STANDING_STILL[way]), (command, said)


@each(FOLLOWED_BY_NOBODY)
def test_a_run_that_nobody_follows_is_named_by_status_and_not_cancelled(stood: Stood) -> None:
    way, shell = stood
    _, out, err = shell.end(shell.start("status", "--compact"))
    assert f"warning: {RUN}" in err
    assert len(out.splitlines()) <= 10
    told(shell, "cancel", RUN)
    if way not in (record_torn, record_newer, record_away):
        assert shell.json("tail", RUN)["state"] == "queued", "a run without a result is not committed"


@pytest.mark.parametrize("content", ["", "{broken", '{"schema": 1, "run_id": "r0001"}'])
def test_a_result_that_somebody_has_broken_is_named_and_makes_nobody_spin(shell: Shell, content: str) -> None:
    shell("run", "--wait")
    shell.lab.edit(0.8)
    shell("run", "--wait")
    result = shell.lab.folder / f"runs/{RUN}/result.json"
    whole = result.read_bytes()
    result.write_text(content)
    for command in (["wait", RUN], ["result", RUN], ["wait"]):
        said = told(shell, *command)
        assert f"{result} is none that a daemon has written" in said
        assert "put back a copy of it" in said
    result.write_bytes(whole)
    assert "val/loss=0.8" in shell("wait", RUN)


def command_in(said: str) -> str:
    """The command that stands at the end of what to do now."""
    found = re.search(r"\b((cp|arctl) .*)$", said.splitlines()[-1].rpartition(": ")[2])
    assert found is not None, said
    return found[1]


@each((held, session_over, unclean, entry_deleted, entry_torn, project_copied, record_torn))
def test_who_does_as_the_message_says_gets_the_verdict(stood: Stood) -> None:
    _, shell = stood
    command = command_in(told(shell, "wait", RUN)).replace("arctl ", f"{sys.executable} -m arctl ")
    assert all(part.count("--expr") <= 1 for part in command.split(" && ")), command
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=shell.lab.project,
        env=shell.lab.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, (command, done.stderr)
    assert "val/loss=0.8" in done.stdout


def test_what_is_mended_goes_on_and_a_wait_for_it_waits_again(shell: Shell) -> None:
    record_away(shell)
    told(shell, "wait", RUN)
    assert shell.json("run", "--again", "--note", "takes another number")["run_id"] == "r0003"
    (shell.lab.root / "away").rename(shell.lab.folder / f"runs/{RUN}/run.json")
    wait_until(lambda: [run["held"] for run in shell.json("queue")["runs"]] == [True], "it is followed again")
    shell("queue", "release", RUN)
    assert "val/loss 0.9 → 0.8" in shell("wait", RUN)


def test_a_run_that_is_put_in_the_queue_of_a_machine_in_quarantine_is_recorded_and_says_so(
    shell: Shell,
) -> None:
    shell("run", "--wait")
    shell("daemon", "stop")
    forged(shell.lab)
    shell.lab.edit(0.5)
    for command in (["run", "--wait"], ["wait", RUN], ["wait", "--any"], ["result", RUN]):
        said = told(shell, *command)
        assert f"{os.getpid()} (test)" in said
        assert f"arctl clean --expr {SLUG}" in said
    assert shell.states() == ["queued"]


def test_who_waits_when_a_run_is_held_is_told_in_that_moment(shell: Shell) -> None:
    shell.hold(0.9)
    shell("run")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    shell.lab.edit(0.8)
    process = shell.start("run", "--wait")
    wait_until(lambda: shell.states() == ["running", "queued"], "the next one waits")
    shell("queue", "hold", RUN)
    code, out, err = shell.end(process)
    assert (code, out) == (STUCK, "")
    assert f"arctl queue release {RUN}" in err
    assert shell("wait", "--any", "--timeout", "1", code=75), "the first one moves: it is waited for"


def test_a_result_that_is_to_come_is_waited_for_by_the_command_that_is_named(shell: Shell) -> None:
    shell.hold(0.9)
    process = shell.waiting("run", "--wait")
    assert "call: arctl wait r0001" in shell("result", code=75)
    shell.release()
    assert shell.end(process)[0] == 0


def test_with_json_the_reason_is_an_object(shell: Shell) -> None:
    held(shell)
    code, out, err = shell.end(shell.start("wait", RUN, "--json"))
    error = json.loads(err)["error"]
    assert (code, out, error["data"]["kind"]) == (STUCK, "", "Stuck")
    assert (error["data"]["run_id"], error["data"]["expr"]) == (RUN, SLUG)


def test_a_run_that_is_being_submitted_is_never_taken_for_one_that_nobody_follows(lab: Lab) -> None:
    """Its run.json is on disk before the daemon has it on its board."""
    lab.ready()
    working(lab)
    over = threading.Event()

    def look() -> list[str]:
        client, warnings = lab.rpc(), list[str]()
        where = {"project": str(lab.project), "expr": SLUG}
        while not over.is_set():
            warnings += client.call("status.get", **where)["warnings"]
            client.call("run.wait", **where, timeout=0)  # raises Unfollowed
        return warnings

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        for _ in range(40):
            lab.submit()
        over.set()
        assert [one.result() for one in looking] == [[], []]


# --- GPUs ---


def test_a_run_for_which_too_few_gpus_are_left_says_so(lab: Lab) -> None:
    """One of two is lost: what asks for both never starts, although the other is free."""
    fake = with_gpus(lab, 2)
    lab.ready(seconds=40, settle=0)
    run_id = lab.submit(gpus=2, restore="at_submit")["run_id"]
    lab.wait(run_id)
    fake.lose(0)
    fake.write()
    lab.call("gpu.list")
    with pytest.raises(Stuck, match="GPU 0: the driver says"):
        lab.wait(lab.submit(gpus=2)["run_id"], timeout=20)


def one_is_taken_out(lab: Lab, fake: FakeGpus) -> None:
    fake.remove(1)
    fake.write()


def one_is_left_to_others(lab: Lab, fake: FakeGpus) -> None:
    config = config_of(lab)
    config.write_text(config.read_text() + 'gpus = ["0"]\n')


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (one_is_taken_out, "asks for 2 GPUs, more than there are"),
        (one_is_left_to_others, r"GPU 1: config\.toml leaves it to others"),
    ],
)
def test_a_run_that_asks_for_more_gpus_than_there_are_after_a_restart_says_so(
    lab: Lab, change: Callable[[Lab, FakeGpus], None], why: str
) -> None:
    fake = with_gpus(lab, 2)
    lab.ready(seconds=40, settle=0)
    run_id = held_by_a_person(lab, gpus=2)
    lab.stop()
    change(lab, fake)
    lab.start()
    lab.get("queue.release", run_id=run_id)
    lab.call("gpu.list")
    with pytest.raises(Stuck, match=why):
        lab.wait(run_id, timeout=20)


def held_by_a_person(lab: Lab, **params: Any) -> str:
    """A run that did not start before it was held: another one has the machine."""
    first = working(lab, **params)
    run_id: str = lab.submit(**params)["run_id"]
    lab.get("queue.hold", run_id=run_id)
    (lab.root / "go").touch()
    lab.wait(first)
    return run_id


def working(lab: Lab, **params: Any) -> str:
    """A run that has the machine until `go` is there."""
    lab.write(UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    run_id: str = lab.submit(**params)["run_id"]
    lab.wait(run_id, until="launched")
    lab.edit(0.9)
    return run_id


# --- a run that is given up ---


def test_who_waits_for_a_run_whose_folder_is_deleted_is_not_told_to_wait_again(lab: Lab) -> None:
    lab.ready()
    working(lab)
    waiting = lab.submit()["run_id"]
    client = lab.rpc()
    params = {"project": str(lab.project), "expr": SLUG, "run_id": waiting}
    client.send_raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "run.wait", "params": params}).encode())
    client.send_raw(b"\n" + SENTINEL)
    assert client.receive()["id"] == "sentinel", "the wait has begun"
    shutil.rmtree(lab.folder / f"runs/{waiting}")
    lab.submit()  # what changes the experiment finds that the run is gone
    error = client.receive()["error"]
    assert f"{waiting} was dropped" in error["message"]
    assert "arctl wait" not in error["data"]["mend"]


def test_a_run_that_the_disk_holds_up_is_tried_again_and_nobody_is_told_to_wait_at_once(lab: Lab) -> None:
    lab.ready()
    first = working(lab)
    home, away = lab.project, lab.root / "away"
    home.rename(away)
    (lab.root / "go").touch()
    wait_until(lambda: lab.events("blocked"), "the daemon's word that it cannot go on")
    (home / ".autoresearch").mkdir(parents=True)
    (home / f".autoresearch/{SLUG}").symlink_to(away / f".autoresearch/{SLUG}")
    with pytest.raises(StorageError) as caught:
        lab.wait(first)
    assert "by itself" in caught.value.mend
    assert "arctl wait" not in caught.value.mend
