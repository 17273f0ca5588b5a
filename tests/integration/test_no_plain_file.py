"""Something that is no plain file stands where the daemon keeps one: that project alone has the fault."""

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core import files
from ardaemon.core.errors import ArdaemonError, InternalError
from ardaemon.core.file_kinds import Kind
from ardaemon.handlers import tail
from ardaemon.host import follow
from tests.support import lab as labs
from tests.support.lab import Lab, wait_until
from tests.support.neighbour import Neighbour
from tests.support.traps import NOT_PLAIN, Put, an_endless_device, put
from tests.torture.story import facts_kept

pytestmark = pytest.mark.promise("no-plain-file")

FILES = (
    "results.tsv .ar-session.json best.json batch_contract.json program.md prepare.py train.py UNCLEAN.json"
    " .train.py.swap .ckpt runs/r0000/train.py runs/r0001/run.json runs/r0001/result.json"
    " runs/r0001/train.py runs/r0001/run.log runs/r0001/a1 runs/r0002 runs ../.chain-session.json"
).split()
ASKED = "status.get session.get run.list run.get run.tail experiment.seal session.stop".split()
NUMBERS = itertools.count(1)  # of the projects
WAITS = """import os, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
print("val/loss: 0")
"""


def answer(lab: Lab, method: str, **params: Any) -> str:
    """What the daemon says to one call, right or wrong; a fault of its own is no answer."""
    try:
        return str(lab.get(method, **params))
    except InternalError as error:
        raise AssertionError(f"{method}: {error}") from error
    except ArdaemonError as error:
        return f"{error} ({error.mend})"


def _started(lab: Lab) -> str:
    settings = {"seconds": 20, "settle": 0}
    return answer(lab, "session.start", settings=settings, environment=lab.environment)


def _tried(lab: Lab) -> str:
    """Submit and wait, as far as that goes."""
    said = answer(lab, "run.submit", submit_id=os.urandom(8).hex(), environment=lab.environment, again=True)
    return f"{said} {answer(lab, 'run.wait', timeout=2)}"


@dataclass(frozen=True)
class Machine:
    """A daemon that serves all projects of these tests, and one in which everything stays as it should be."""

    lab: Lab
    neighbour: Neighbour
    model: Path  # a project with a run that advanced, which nobody changes any more

    def world(self) -> Lab:
        """A new project, which is a copy of the model."""
        lab = self.lab.beside(f"p{next(NUMBERS)}")
        shutil.copytree(self.model, lab.project, symlinks=True, dirs_exist_ok=True)
        return lab


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with closing(labs.make()) as lab:
        lab.start()
        model = lab.beside("model")
        model.init()
        model.session(settle=0)
        model.write('print("val/loss: 1")')
        assert model.run()["verdict"] == "advance"
        wait_until(lambda: facts_kept(model.folder), "the last that is written of the run")
        kept = shutil.ignore_patterns(".owner")  # removed as soon as the daemon lets go of the project
        frozen = shutil.copytree(model.project, lab.root / "frozen", symlinks=True, ignore=kept)
        yield Machine(lab, Neighbour(lab), frozen)


@pytest.mark.parametrize("name", FILES)
def test_whatever_stands_in_a_files_place_is_named_or_mended_and_others_go_on(
    machine: Machine, name: str
) -> None:
    """All things at once, each in a project of its own."""
    said: dict[Put, list[str]] = {}
    for thing in NOT_PLAIN:
        lab = machine.world()
        put(lab.folder / name, thing)
        answers = [answer(lab, method) for method in ASKED]
        said[thing] = [*answers, _started(lab), _tried(lab)]
        assert lab.call("daemon.info")["pid"] == lab.pid, (thing, said)
    assert machine.neighbour.tried() in ("advance", "revert"), said


@pytest.mark.parametrize("thing", NOT_PLAIN)
@pytest.mark.parametrize("name", ["results.tsv", ".ar-session.json", "best.json"])
def test_a_state_file_is_made_anew_from_the_others(machine: Machine, name: str, thing: Put) -> None:
    lab = machine.world()
    put(lab.folder / name, thing)
    status = lab.get("status.get")
    assert status["best"]["run_id"] == "r0001"
    assert [row["run_id"] for row in lab.get("run.list")["runs"]] == ["r0001"]
    assert (lab.folder / name).is_file()
    assert name in str(status["warnings"])


@pytest.mark.parametrize("thing", [os.mkfifo, Path.mkdir, an_endless_device])
@pytest.mark.parametrize("name", ["results.tsv", "runs/{run}/result.json", "runs/{run}/run.log", "best.json"])
def test_a_job_that_puts_it_there_holds_up_its_own_commit_at_most(
    machine: Machine, name: str, thing: Put
) -> None:
    """The commit comes when it is away again, if not before."""
    lab = machine.world()
    go = lab.project / "go"
    lab.write(WAITS.format(go=str(go)))
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the job")
    path = lab.folder / name.format(run=run_id)
    put(path, thing)
    go.touch()
    assert machine.neighbour.tried() in ("advance", "revert")

    def committed() -> bool:
        answer(lab, "run.wait", run_id=run_id, timeout=5)
        if path.is_dir():
            shutil.rmtree(path)
        elif path.is_symlink() or path.is_fifo():  # and not a file that the daemon has just put there
            path.unlink()
        return bool(lab.get("run.get", run_id=run_id)["result"])

    wait_until(committed, "the commit")
    assert lab.wait(run_id)["result"]["verdict"] == "advance"


@pytest.mark.parametrize("thing", NOT_PLAIN)
def test_who_follows_a_log_does_not_wait_for_it(tmp_path: Path, thing: Put) -> None:
    thing(tmp_path / "run.log")
    assert follow.read_at(tmp_path / "run.log", 0) == (0, b"")


def test_a_log_that_is_removed_while_its_end_is_read_is_no_fault_of_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "run.log"
    log.write_text("step 1\n")

    def removed(path: Path, kind: Kind) -> int:
        fd = opened(path, kind)
        path.unlink()
        return fd

    opened = files.descriptor
    monkeypatch.setattr(files, "descriptor", removed)
    assert tail._end_of(log, 1) == (len("step 1\n"), "", None)
