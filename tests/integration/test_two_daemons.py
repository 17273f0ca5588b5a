"""Two daemons and one project, as with another HOME, in a container, or with a copied state folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ardaemon.core.errors import OwnedElsewhere, Refused, Unfollowed, UnknownExperiment
from ardaemon.core.project_owner import LET_GO_S
from ardaemon.experiment.ownership import Ownership, describe
from ardaemon.handlers.projects import LISTED_MAX, bounded
from ardaemon.recovery import LOOK_MOST_S
from tests.support import lab as labs
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.promises import some
from tests.support.shell import Shell
from tests.support.two_daemons import KEY, PROMPT, adopted, owner, pair, rows, waiting

pytestmark = pytest.mark.promise("one-owner")


@pytest.fixture
def two(lab: Lab) -> Iterator[tuple[Lab, Lab]]:
    """A daemon with a project, and the world of another one on the same project, which is not started."""
    with pair(lab) as both:
        yield both


def tried(lab: Lab) -> str | OwnedElsewhere:
    """The id of a run, or why it was refused."""
    try:
        run_id: str = lab.run()["run_id"]
    except OwnedElsewhere as error:
        return error
    return run_id


def test_of_two_daemons_that_are_asked_at_once_one_has_the_project_and_no_id_is_given_twice(
    two: tuple[Lab, Lab], record_property: Callable[[str, object], None]
) -> None:
    two[1].start(PROMPT)
    rounds = len(some(range(20), 2))
    with ThreadPoolExecutor() as pool:
        for _ in range(rounds):
            answers = list(pool.map(tried, two))
            ids = [answer for answer in answers if isinstance(answer, str)]
            assert ids, answers
            assert len(set(ids)) == len(ids)
            for lab in two:
                wait_until(lambda: owner(two[0]) is None, "the owner to let go")
                ids.append(lab.run()["run_id"])
    record_property("cases", rounds)
    assert rows(two[0]) == [f"r{number:04d}" for number in range(1, len(rows(two[0])) + 1)]
    counters = two[0].read(".ar-session.json")["counters"]
    judged = counters["advance"] + counters["revert"] + counters["measure"]  # it may try the best again
    assert judged == len(rows(two[0])) >= 3 * rounds


def test_a_daemon_is_refused_while_the_other_has_a_run_and_waits_once_it_has_none(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    go = waiting(one)
    other.start(PROMPT)
    with pytest.raises(OwnedElsewhere) as caught:
        other.submit()
    assert f"pid {one.pid}" in caught.value.message
    assert str(one.home) in caught.value.message
    go()
    assert one.wait("r0001")["result"]["verdict"] == "advance"
    wait_until(lambda: (owner(one) or {"active": False})["active"] is False, "the owner to rest")
    other.edit(0.4)
    assert other.run()["run_id"] == "r0002"
    wait_until(lambda: owner(one) is None, "the owner to let go")
    assert one.tried(0.3)["primary"]["best_run_before"] == "r0002"  # it has read everything anew
    assert rows(one) == ["r0001", "r0002", "r0003"]


def test_an_owner_without_a_run_hands_the_project_over_when_another_daemon_asks(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    one.stop()
    one.start()  # it would keep the project for LET_GO_S
    one.tried(0.9)
    other.start(PROMPT)
    begun = time.monotonic()
    assert other.tried(0.8)["run_id"] == "r0002"
    assert time.monotonic() - begun < LET_GO_S / 2
    assert not list((one.project / ".autoresearch").glob(".owner-wanted"))


def resting(lab: Lab) -> Ownership:
    """Have a daemon with another state folder take the project, and let it rest."""
    owner_there = Ownership(describe(lab.root / "earlier/ardaemon/1", b"key"))
    with owner_there.changing(lab.project):
        pass
    owner_there.rest(lab.project)
    return owner_there


def test_who_waits_for_an_owner_that_does_not_hand_over_is_told_at_once_for_whom_and_until_when(
    two: tuple[Lab, Lab],
) -> None:
    """An owner of an earlier version knows nothing of wishes."""
    one, other = two
    one.stop()
    earlier = resting(one)
    other.start(PROMPT)
    other.edit(0.8)
    with Shell(other).start("run", "--wait") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert earlier.let_go(one.project)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert line.startswith(f"waiting: another daemon has {one.project}, and no run in it (pid {os.getpid()} ")
    assert re.search(r" on \S+, uid \d+.*, state folder .*, since 20.* within \d+ s; at once with: ", line)
    assert f"XDG_STATE_HOME={one.root}/earlier arctl daemon stop" in line
    assert (process.returncode, err) == (0, ""), err
    assert "[r0001] advance: baseline" in out


def test_adopt_waits_for_an_owner_that_is_about_to_let_go_as_a_run_does(two: tuple[Lab, Lab]) -> None:
    one, other = two
    one.stop()
    earlier = resting(one)
    other.start(PROMPT)
    with Shell(other).start("adopt") as process:
        wished = other.project / ".autoresearch/.owner-wanted"
        wait_until(lambda: wished.exists() or process.poll() is not None, "the wish, or an answer")
        assert earlier.let_go(one.project)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, ""), err
    assert out == f"this daemon has {one.project}, and no run was left\n"


def test_reading_takes_no_project_and_is_let_in_by_every_owner(two: tuple[Lab, Lab]) -> None:
    one, other = two
    wait_until(lambda: owner(one) is None, "the owner to let go")
    other.start(PROMPT)
    for lab in two:
        assert lab.get("status.get", last=5)["session"]["live"]
        lab.get("run.list", last=5)
        lab.get("session.get")
    assert owner(one) is None
    go = waiting(one)
    assert other.get("status.get", last=5)["session"]["live"]
    go()
    one.wait("r0001")


def doctor(lab: Lab) -> list[str]:
    """What `arctl doctor` says of the project's owner."""
    command = [sys.executable, "-m", "arctl", "doctor", "--json"]
    done = subprocess.run(command, cwd=lab.project, env=lab.environment, capture_output=True, check=False)
    return [check["found"] for check in json.loads(done.stdout)["checks"] if check["name"] == "owner"]


def test_doctor_names_the_other_daemon_that_has_the_project(two: tuple[Lab, Lab]) -> None:
    one, other = two
    go = waiting(one)
    assert doctor(one) == []
    (found,) = doctor(other)
    assert f"pid {one.pid}" in found
    assert str(one.home) in found
    (one.project / ".autoresearch/.owner").write_bytes(b"{")
    assert "cannot be read" in doctor(other)[0]
    go()


def test_a_daemon_that_is_stopped_lets_go_at_once(two: tuple[Lab, Lab]) -> None:
    one, other = two
    one.run()
    one.stop()
    assert owner(one) is None
    other.start(PROMPT)
    assert other.tried(0.9)["run_id"] == "r0002"


def test_what_a_killed_daemon_has_left_is_its_own_and_goes_on_with_it(two: tuple[Lab, Lab]) -> None:
    one, other = two
    go = waiting(one)
    one.kill()
    other.start(PROMPT)
    with pytest.raises(OwnedElsewhere, match="has ended, and has left runs") as caught:
        other.submit()
    assert str(one.home) in caught.value.message
    one.start(PROMPT)
    go()
    assert one.wait("r0001")["result"]["verdict"] == "advance"
    assert rows(one) == ["r0001"]


def test_an_id_that_a_daemon_has_left_is_not_given_again(two: tuple[Lab, Lab]) -> None:
    """A person has removed the lock, for the state folder with the run in it is gone."""
    one, other = two
    one.call("queue.pause")
    one.submit()
    one.kill()
    (other.state_home / KEY).unlink()  # it is another user's home
    (one.project / ".autoresearch/.owner").unlink()
    other.start(PROMPT)
    other.session(resume="continue", gpus=0)
    assert other.tried(0.9)["run_id"] == "r0002"
    assert rows(one) == ["r0002"]


def test_a_copy_of_a_state_folder_takes_up_nothing_while_the_other_daemon_is_at_work(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    go = waiting(one)
    shutil.copytree(one.home / "active", other.state_home / "ardaemon" / one.home.name / "active")
    other.home.chmod(0o700)
    other.start(PROMPT)
    (warning,) = wait_until(lambda: other.call("queue.list")["warnings"], "the daemon's look at it")
    assert f"another daemon works in {one.project} (pid {one.pid}" in warning
    go()
    assert one.wait("r0001")["result"]["verdict"] == "advance"
    one.stop()
    latest = LOOK_MOST_S + DEADLINE_S  # it looks ever more rarely, and a busy machine takes its time before
    wait_until(lambda: not any((other.home / "active").iterdir()), "the copied entry to be dropped", latest)
    assert rows(one) == ["r0001"]
    assert other.tried(0.4)["run_id"] == "r0002"


def test_what_a_dead_daemon_has_left_is_taken_over_with_its_session_and_goes_on(two: tuple[Lab, Lab]) -> None:
    one, other = two
    (other.state_home / KEY).unlink()
    go = waiting(one)
    one.edit(0.9)  # no better, whichever of the two is judged first: the slot is free before the verdict
    queued = one.submit()["run_id"]
    other.start(PROMPT)
    with pytest.raises(OwnedElsewhere, match=f"pid {one.pid}"):
        adopted(other)
    one.kill()
    answer = adopted(other)
    assert answer["runs"] == [f"{labs.SLUG}/r0001", f"{labs.SLUG}/{queued}"]
    assert answer["unseen"] == []
    assert adopted(other)["runs"] == answer["runs"]
    assert not any((one.home / "active").iterdir())
    go()
    assert other.wait("r0001")["result"]["verdict"] == "advance"
    assert other.wait(queued)["result"] is not None
    assert other.tried(0.3)["verdict"] == "advance"
    one.start(PROMPT)  # it has no run there any more
    assert one.call("queue.list")["runs"] == []
    assert sorted(rows(one)) == ["r0001", "r0002", "r0003"]
    counters = one.read(".ar-session.json")["counters"]
    assert counters["advance"] + counters["revert"] == 3


def test_a_run_whose_state_folder_is_gone_is_named_and_its_id_is_not_given_again(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    one.call("queue.pause")
    one.submit()
    one.kill()
    shutil.rmtree(one.home)
    other.start(PROMPT)
    answer = adopted(other)
    assert answer["runs"] == []
    assert [line.split(":")[0] for line in answer["unseen"]] == [f"{labs.SLUG}/r0001"]
    assert "has no active entry here: the state folder" in answer["said"][0]
    assert other.tried(0.9)["run_id"] == "r0002"


def test_who_asks_for_a_run_of_another_daemon_is_told_whose_it_is_and_what_to_do(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    go = waiting(one)
    other.start(PROMPT)
    for ask in (other.wait, lambda run_id: other.get("run.cancel", run_id=run_id)):
        with pytest.raises(Unfollowed, match=f"another daemon works in .*pid {one.pid} ") as caught:
            ask("r0001")
        assert f"XDG_STATE_HOME={one.state_home} arctl queue" in caught.value.mend
        assert "cp " not in caught.value.mend  # its job is at work: a second one is no way out
    (line,) = (line for line in other.get("status.get")["warnings"] if "r0001" in line)
    assert "followed by another daemon" in line
    one.kill()
    with pytest.raises(Unfollowed, match="has ended, and has left runs") as caught:
        other.wait("r0001")
    assert "arctl adopt" in caught.value.mend
    (line,) = (line for line in other.get("status.get")["warnings"] if "r0001" in line)
    assert "followed by no daemon" in line
    adopted(other)
    go()
    assert other.wait("r0001")["result"]["verdict"] == "advance"


def test_a_daemon_whose_state_folder_was_removed_is_named_with_the_command_that_ends_it(lab: Lab) -> None:
    """Another one of that folder serves meanwhile: XDG_STATE_HOME leads to that."""
    lab.ready()
    go = waiting(lab)
    first = lab.process
    assert first is not None
    shutil.rmtree(lab.home)
    shutil.rmtree(lab.runtime / "ardaemon")
    lab.start()
    with pytest.raises(OwnedElsewhere, match="no command reaches it") as caught:
        lab.submit()
    assert f"kill {first.pid} " in caught.value.mend
    go()
    wait_until(lambda: first.poll() is not None, "the first daemon has ended by itself")
    assert rows(lab) == ["r0001"]
    assert lab.tried(0.9)["run_id"] == "r0002"


def test_a_daemon_that_is_there_again_keeps_its_runs(two: tuple[Lab, Lab]) -> None:
    """It is there, and the lock is not: somebody has removed the file, and put it back."""
    one, other = two
    waiting(one)
    file = one.project / ".autoresearch/.owner"
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data)
    other.start(PROMPT)
    with pytest.raises(Refused, match="is there again"):
        adopted(other)
    (one.project / "go").touch()


def test_where_no_run_or_no_experiment_is_left_that_is_said(two: tuple[Lab, Lab]) -> None:
    one, other = two
    one.stop()
    other.start(PROMPT)
    with pytest.raises(UnknownExperiment):
        other.call("project.adopt", project=str(other.root))
    assert adopted(other)["said"] == [f"this daemon has {one.project}, and no run was left"]


def test_thousands_of_runs_that_are_taken_over_are_named_by_json_alone() -> None:
    lines = [f"r{number:04d} goes on here" for number in range(5000)]
    assert bounded(lines[:LISTED_MAX], "that go on here") == lines[:LISTED_MAX]
    shown = bounded(lines, "that go on here")
    assert shown[-1] == f"and {5000 - LISTED_MAX} more that go on here: arctl adopt --json names all"
    assert len(shown) == LISTED_MAX + 1
