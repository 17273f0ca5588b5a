"""A job that writes its own end: the record of an end counts only where nothing of the attempt lives."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from ardaemon.core.layout import Host
from ardaemon.engines.base import Launch, Lost
from ardaemon.engines.local import starter
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.engines.local.records import read_start
from ardaemon.engines.local.spare import Spare
from tests.support.engines import EngineWorld
from tests.support.jobs import alive, launched
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.machine import configured

pytestmark = pytest.mark.promise("trusted-files")

# Writes exit.json as a shim would, kills its shim, and goes on for ten minutes.
FORGES = """import json, os, pathlib, signal, time
attempt = pathlib.Path(os.environ["AR_RUN_DIR"]).parent / "a1"
print("val/loss: 0.1", flush=True)
while not json.loads((attempt / "start.json").read_text())["job"]:
    time.sleep(0.01)
end = {"schema": 1, "ending": "exited", "exit_code": 0, "seconds": 1.0, "ended_monotonic": time.monotonic()}
{more}
(attempt / "exit.json").write_text(json.dumps(end))
(attempt / "forged").write_text(str(os.getpid()))  # now: it may be ended as soon as its shim is gone
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(600)
"""
ITSELF = """me = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
end["survivors"] = [{"pid": os.getpid(), "start": int(me[19]), "name": "python"}]"""
NO_START = '(attempt / "start.json").unlink()'


@pytest.mark.parametrize("trees", ["auto", "off"])
@pytest.mark.parametrize("more", ["", ITSELF, NO_START], ids=["alone", "a survivor", "without start.json"])
def test_what_lives_on_is_ended_and_is_no_success(lab: Lab, more: str, trees: str) -> None:
    configured(lab, f'grace = 0.2\nverify = 5.0\ncgroup = "{trees}"\n')
    lab.ready(seconds=60)
    run_id = launched(lab, FORGES.replace("{more}", more))
    forger = _forger(lab, run_id)
    result = lab.wait(run_id, timeout=DEADLINE_S)["result"]
    assert (result["status"], result["verdict"], result["reason"]) == ("crash", "crash", "supervisor_lost")
    assert not alive(forger)
    assert (lab.folder / f"runs/{run_id}/a1/exit.json.refused").exists()
    assert lab.tried(0.5)["verdict"] == "advance", "its place is free"


def test_a_daemon_that_comes_later_does_not_believe_it_either(lab: Lab) -> None:
    configured(lab, "grace = 60.0\nverify = 5.0\n")
    lab.ready(seconds=60)
    # It takes its time, so that the daemon is killed while it waits.
    deaf = 'signal.signal(signal.SIGTERM, lambda *_: (attempt / "asked").touch())'
    run_id = launched(
        lab, FORGES.replace("{more}", deaf).replace("time.sleep(600)", "while True: time.sleep(1)")
    )
    forger = _forger(lab, run_id)
    wait_until((lab.folder / f"runs/{run_id}/a1/asked").exists, "the daemon to end it")
    lab.kill()
    os.kill(forger, 9)
    wait_until(lambda: not alive(forger), "its end")
    lab.start()
    result = lab.wait(run_id, timeout=DEADLINE_S)["result"]
    assert (result["verdict"], result["reason"]) == ("crash", "supervisor_lost")


def _forger(lab: Lab, run_id: str) -> int:
    note = lab.folder / f"runs/{run_id}/a1/forged"
    return int(wait_until(lambda: note.exists() and note.read_text(), "the job to write its end"))


# --- start.json, which the job can write as well ---


@pytest.fixture
def world(tmp_path: Path) -> Iterator[EngineWorld]:
    (tmp_path / "s").mkdir()
    made = EngineWorld(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_start_json_is_believed_only_as_far_as_it_agrees_with_what_the_shim_was_given(
    world: EngineWorld,
) -> None:
    async def work() -> None:
        await world.engine.start(world.order("sleep 60", limit=5.0))
        path = Path(world.handle.folder) / "start.json"
        await world.until(lambda: json.loads(path.read_bytes())["job"], "the job's pid")
        written = json.loads(path.read_bytes())
        forged = {
            "shim": [1, 1],
            "deadline": 1e12,
            "over_by": 1e12,
            "cgroup": "/sys/fs/cgroup/ardaemon-1-1-1",
        }
        path.write_text(json.dumps({**written, **forged}))
        start = read_start(world.handle)
        assert start is not None
        assert list(start.shim) == written["shim"]
        assert start.cgroup == ""
        assert written["deadline"] <= start.deadline <= written["deadline"] + starter.ACKNOWLEDGE_S
        assert start.over_by is not None
        assert start.over_by <= written["over_by"] + starter.ACKNOWLEDGE_S

    anyio.run(work)


# Removes start.json, kills its shim, and then does what {more} says.
HIDES = """
import json, os, pathlib, signal, time
start = pathlib.Path("{start}")
while not (start.exists() and json.loads(start.read_text())["job"]):
    time.sleep(0.01)
start.unlink()
os.kill(os.getppid(), signal.SIGKILL)
{more}
"""


@pytest.mark.parametrize("later", [False, True], ids=["its own daemon", "a later daemon"])
def test_without_its_start_json_a_job_still_has_its_limit(
    world: EngineWorld, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    given = starter.given

    def sooner(launch: Launch, shim: Spare) -> bytes:
        """Note the limit without the time for a machine that swaps."""
        return given(replace(launch, limit=launch.limit - starter.ACKNOWLEDGE_S), shim)

    monkeypatch.setattr(starter, "given", sooner)

    async def work() -> None:
        engine = await _hidden(world, "time.sleep(600)", limit=1.0)
        with anyio.fail_after(DEADLINE_S):
            if later:
                engine = LocalEngine(
                    Host(world.root / "s", world.root / "r"), world.lessor, lambda: 0.2, pids_max=None
                )
            end = await engine.ended(world.handle)
        assert end == Lost(ending="supervisor_lost")

    anyio.run(work)


def test_a_job_that_hides_that_it_began_is_not_started_again(world: EngineWorld) -> None:
    async def work() -> None:
        engine = await _hidden(world, "", limit=60.0)
        with anyio.fail_after(DEADLINE_S):
            assert await engine.ended(world.handle) == Lost(ending="supervisor_lost")

    anyio.run(work)


async def _hidden(world: EngineWorld, more: str, limit: float) -> LocalEngine:
    """An attempt whose shim is gone, and its start.json."""
    start = Path(world.handle.folder) / "start.json"
    script = shlex.join([sys.executable, "-c", HIDES.format(start=start, more=more)])
    assert await world.engine.start(world.order(f"exec {script}", limit=limit)) is not None
    shim = world.engine.starter.children[world.handle.folder].process
    await world.until(lambda: shim.poll() is not None, "the shim's end")
    return world.engine
