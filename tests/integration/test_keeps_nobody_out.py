"""What an owner does for no client that waits keeps no other daemon out: idle launches and audits."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ardaemon.checkpoints.prune import prune
from ardaemon.core.errors import OwnedElsewhere
from ardaemon.core.layout import Experiment
from tests.integration.test_audit import AUDIT, at_work, held, shown, tried
from tests.support.jobs import alive
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import Shell
from tests.support.two_daemons import PROMPT, adopted, owner, pair, rows

pytestmark = pytest.mark.promise("one-owner")

# A launch for an idle place goes on until the file "end" is there. It says that it is at work, and when it
# was asked to end; a stubborn one goes on all the same.
HOLDS = """import os, pathlib, signal, sys, time
def asked(*_):
    pathlib.Path("asked").touch()
    if not {stubborn}:
        sys.exit(1)
signal.signal(signal.SIGTERM, asked)
pathlib.Path(os.environ["AR_RUN_ID"]).touch()
while "m" in os.environ["AR_RUN_ID"] and not pathlib.Path("end").exists():
    time.sleep(0.01)
print("val/loss: 0.5")
"""


@pytest.fixture
def two(lab: Lab) -> Iterator[tuple[Lab, Lab]]:
    """A daemon with a project, and another one on the same project."""
    with pair(lab) as (one, other):
        other.start(PROMPT)
        yield one, other


def measuring(lab: Lab, stubborn: bool = False) -> None:
    """A baseline, and then an idle launch at work, as the owner's record says by now."""
    lab.get("session.stop")
    lab.session(resume="continue", gpus=0, measure_noise=True, seconds=600)
    lab.write(HOLDS.format(stubborn=stubborn))
    lab.run()
    _at_work(lab, "r0001m1")


def _at_work(lab: Lab, launch: str) -> None:
    wait_until((lab.project / launch).exists, "the idle launch")
    wait_until(lambda: (owner(lab) or {}).get("idle"), "the owner to say that it only measures")


def gave_way(lab: Lab, launch: str) -> bool:
    """Whether that idle launch was ended for a run: its place is free before it is committed."""
    wait_until((lab.folder / f"runs/{launch}/result.json").exists, "the end of the idle launch")
    return str(lab.read(f"runs/{launch}/result.json")["reason"]).startswith("gave way to a run")


def measured(lab: Lab) -> list[str]:
    """The idle launches that have given a value."""
    names = [path.parent.name for path in lab.folder.glob("runs/r0001m*/result.json")]
    return [name for name in names if lab.read(f"runs/{name}/result.json")["status"] == "ok"]


def nothing_is_there_twice(*labs: Lab) -> None:
    """All that idle places are used for was launched once, and counted once; nothing is left."""
    wait_until(lambda: len(measured(labs[0])) == 5, "each launch to have its value")
    active = [lab.home / "active" for lab in labs]
    wait_until(lambda: not any(any(folder.iterdir()) for folder in active), "all runs to be over")
    # A daemon that finds a run at work tells its start once more, with the same pid.
    told = {
        (line["run_id"], line["pid"]) for lab in labs for line in lab.events("started") if "run_id" in line
    }
    launches = [run_id for run_id, _ in told]
    counters = labs[0].read(".ar-session.json")["counters"]
    assert len(launches) == len(set(launches)), launches
    runs = [path.parent.name for path in labs[0].folder.glob("runs/*/result.json")]
    assert sum(labs[0].read(f"runs/{run}/result.json")["attempts"] for run in runs) == counters["launches"]
    assert len(rows(labs[0])) == counters["advance"] + counters["revert"]
    assert len(labs[0].read("best.json")["values"]) == 4, "of four seeds"


def test_launches_for_idle_places_end_for_another_daemon_as_for_a_run(two: tuple[Lab, Lab]) -> None:
    one, other = two
    measuring(one)
    other.edit(0.8)
    assert other.run()["run_id"] == "r0002"
    assert gave_way(one, "r0001m1")
    assert one.call("queue.list")["runs"] == []
    _at_work(other, "r0001m1x2")
    one.edit(0.7)
    assert one.run()["run_id"] == "r0003"
    assert gave_way(one, "r0001m1x2")
    (one.project / "end").touch()
    nothing_is_there_twice(one, other)
    assert rows(one) == ["r0001", "r0002", "r0003"]


@pytest.mark.parametrize("then", ["adopted", "there again"])
def test_a_daemon_that_is_killed_as_it_hands_over_leaves_nothing_twice(
    two: tuple[Lab, Lab], then: str
) -> None:
    one, other = two
    measuring(one, stubborn=True)
    other.edit(0.8)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(other.run)
        wait_until((one.project / "asked").exists, "the idle launch to be asked to end")
        one.kill()
        (one.project / "end").touch()
        with pytest.raises(OwnedElsewhere, match="has ended, and has left runs"):
            asked.result()
    if then == "adopted":
        assert adopted(other)["runs"] == [f"{SLUG}/r0001m1"]
    one.start(PROMPT)
    assert other.run()["run_id"] == "r0002"
    assert gave_way(one, "r0001m1")
    nothing_is_there_twice(one, other)
    assert rows(one) == ["r0001", "r0002"]


def auditing(*labs: Lab) -> None:
    """An audit in the session; what was run is marked in one place."""
    for lab in labs:
        lab.environment["AUDIT_MARKS"] = str(labs[0].root / "marks")
    (labs[0].project / "audit.py").write_text(AUDIT)
    command = f"{sys.executable} audit.py {{run_dir}}"
    labs[0].get("session.stop")
    labs[0].session(resume="continue", gpus=0, audit=command, checkpoint_glob="{run_dir}/state.pt")


def test_an_audit_needs_no_project_and_each_daemon_audits_its_own_advances_once(two: tuple[Lab, Lab]) -> None:
    one, other = two
    auditing(one, other)
    hold = held(one)
    assert tried(one, 1.0) == "advance"
    pid = at_work(one, 1)
    assert tried(other, 0.5) == "advance", "the audit keeps nobody out"
    at_work(one, 2)
    former = one.folder / ".ckpt/r0001"
    prune(Experiment(one.folder), kept_s=0.0)
    assert former.is_dir(), "the audit at work needs it"
    one.kill()
    wait_until(lambda: not alive(pid), "the end of the audit with its daemon")
    one.start(PROMPT)
    at_work(one, 3)
    prune(Experiment(one.folder), kept_s=0.0)
    assert former.is_dir(), "the audit is run again, on what it is about"
    hold.unlink()
    assert [(row["run_id"], row["value"]) for row in shown(one, 1)["rows"]] == [("r0001", 731903.0)]
    assert [(row["run_id"], row["value"]) for row in shown(other, 1)["rows"]] == [("r0002", 731902.5)]
    prune(Experiment(one.folder), kept_s=0.0)
    assert not former.exists()
    assert rows(one) == ["r0001", "r0002"]


def test_audits_that_lie_with_another_daemon_are_named_with_the_way_to_them(two: tuple[Lab, Lab]) -> None:
    one, other = two
    auditing(one, other)
    assert tried(one, 1.0) == "advance"
    shown(one, 1)
    out = Shell(other)("audit")
    there = f"XDG_STATE_HOME={one.state_home} arctl audit --expr {SLUG}"
    assert out.splitlines()[1:] == [
        f"1 audit of this experiment is with the daemon that had the run (if in a container, there): {there}"
    ]
    assert other.get("audit.get")["elsewhere"] == {str(one.home): 1}
    assert tried(other, 0.5) == "advance"
    shown(other, 1)
    assert Shell(other)("audit").splitlines()[2].startswith("r0002 ")
    there = f"XDG_STATE_HOME={other.state_home} arctl audit --expr {SLUG}"
    assert Shell(one)("audit").splitlines()[-1].endswith(there)
