"""A file that somebody else can write is data: whatever stands there stops, fills and commands nothing.

Every kind of file that the daemon reads, of a project and of a job, is put in the place of a trap. Meanwhile
somebody else asks for his status without a pause, and is answered at once; his runs go on.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import ArdaemonError, InternalError
from tests.support import lab as labs
from tests.support.lab import Lab, wait_until
from tests.support.neighbour import Neighbour
from tests.support.pace import slower
from tests.support.promises import FULL, some
from tests.support.pulse import Pulse
from tests.support.traps import STRANGER, a_device_that_waits, an_endless_device, an_endless_file, put
from tests.torture.story import facts_kept

pytestmark = [
    pytest.mark.promise("trust"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away"),
]

ANSWER_S = 0.1  # of an answer to somebody else: nobody notices it
SECRET = "SECRET"
NUMBERS = itertools.count(1)  # of the projects

# Of a project, or of a run that is over, in the experiment's folder.
STATE = (
    ".ar-session.json best.json batch_contract.json results.tsv .ckpt/left.json .ckpt/r0001/meta.json"
    " runs/r0001/run.json runs/r0001/result.json runs/r0000/train.py runs/r0001/train.py"
    " runs/r0001/run.log train.py .train.py.swap UNCLEAN.json ../.chain-session.json"
).split()
LINKED = "program.md prepare.py data.csv".split()  # people have links there
ASKED = "status.get session.get run.list run.get run.tail experiment.seal session.stop".split()
# Another user's is passed over, is not asked for while the project is at rest, or is held by the seal.
UNNAMED = {
    *(".ckpt/left.json", ".ckpt/r0001/meta.json", "runs/r0001/result.json"),
    *("runs/r0000/train.py", "runs/r0001/train.py", "prepare.py", "data.csv"),
}
# Of a run at work, from its own folder: the --metrics word, and the file.
WRITTEN = (
    ("log", "../a1/run.log"),
    ("log", "../a1/before.json"),
    ("log", "../a1/start.json"),
    ("log", "../a1/samples.jsonl"),
    ("log", "../a1/measured.json"),
    ("log", "../a1/curve.jsonl"),
    ("log", "ready"),
    ("log", "model.bin"),
    ("jsonl", "metrics.jsonl"),
    ("csv", "metrics.csv"),
    ("tensorboard", "events.out.tfevents.1.host"),
    ("trainer_state", "trainer_state.json"),
    ("wandb", "wandb_run.json"),
    ("wandb", "wandb/offline-run-1/run-{wandb}.wandb"),
    ("trackio", "{trackio}/p.db"),
    ("trackio", "{trackio}/p.db-wal"),
    ("mlflow", "{project}/mlflow.db"),
)
JOB = """import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.support import traps
job = Path(os.environ["AR_RUN_DIR"])
given = os.environ
name = {name!r}.format(wandb=given["WANDB_RUN_ID"], trackio=given["TRACKIO_DIR"], project=os.getcwd())
path = Path(os.path.normpath(job / name))
path.parent.mkdir(parents=True, exist_ok=True)
{order}
print("val/loss: 1", flush=True)
{trap}
"""
ORDERED = """Path({order!r}).write_text(f"{{path}}\\n{thing}")"""

Thing = Callable[[Path], object]


def anothers(path: Path) -> None:
    """What is there is another user's now."""
    path.touch()
    os.chown(path, STRANGER, STRANGER)


def link_to(target: Path) -> Thing:
    return lambda path: path.symlink_to(target)


class World:
    """A daemon that swaps files on demand, somebody else on it, and projects."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.order = lab, lab.root / "swap"
        lab.start("tests.support.swapping", SWAP=str(self.order))
        self.neighbour = Neighbour(lab)

    def project(self) -> Lab:
        """A new project with everything that the daemon reads, and a run that advanced."""
        lab = self.lab.beside(f"p{next(NUMBERS)}")
        data, prepare = lab.project / "data.csv", lab.project / "prepare.py"
        data.write_text("1,2\n")
        prepare.write_text("CONTRACT = 1\n")
        lab.init(prepare=str(prepare))
        shutil.copy(data, lab.folder / "data.csv")
        lab.get("experiment.seal", add=["data.csv"])
        lab.session(settle=0, checkpoint_glob="{run_dir}/*.bin", keep_checkpoints=1)
        lab.write(
            'RUN_NOTE = "noted"\nimport os\nopen(os.environ["AR_RUN_DIR"] + "/model.bin", "w").write("x")\n'
            'print("val/loss: 1")\nprint("the log")\n'
        )
        assert lab.run()["verdict"] == "advance"
        wait_until(lambda: facts_kept(lab.folder), "the last that is written of the run")
        return lab


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with closing(labs.make()) as lab:
        yield World(lab)


def answer(lab: Lab, method: str, **params: Any) -> str:
    """What the daemon says to one call; a fault of its own, or of a thread that hangs, is no answer."""
    try:
        return str(lab.get(method, **params))
    except ArdaemonError as error:
        if isinstance(error, InternalError) or "has not answered" in error.message:
            raise AssertionError(f"{method}: {error}") from error
        return f"{error} ({error.mend})"


def answers(lab: Lab) -> str:
    """What it says to everything that reads the project's files."""
    said = [answer(lab, method) for method in ASKED]
    settings = {"seconds": 20, "settle": 0, "checkpoint_glob": "{run_dir}/*.bin", "keep_checkpoints": 1}
    said.append(answer(lab, "session.start", settings=settings, environment=lab.environment))
    given = {"submit_id": os.urandom(8).hex(), "environment": lab.environment, "again": True}
    said.append(answer(lab, "run.submit", **given))
    said.append(answer(lab, "run.wait", timeout=2))
    return "\n".join(said)


def at_once(world: World, pulse: Pulse) -> None:
    """Somebody else noticed nothing."""
    assert world.neighbour.tried() in ("advance", "revert")
    assert pulse.answers > 0
    assert pulse.worst < ANSWER_S * slower()


def kept(lab: Lab) -> Callable[[], None]:
    """Keep the project's experiments; what puts them back as they were."""
    home, copy = lab.folder.parent, lab.project / "kept"
    shutil.copytree(home, copy, symlinks=True)

    def gone() -> bool:
        with suppress(OSError):  # the daemon may write what it derives of runs in this moment
            shutil.rmtree(home)
        return not home.exists()

    def back() -> None:
        wait_until(gone, "the project's experiments to be gone")
        shutil.copytree(copy, home, symlinks=True)

    return back


def forged(path: Path, aside: Path) -> Path:
    """A copy of the file that says something else."""
    text = path.read_text() if path.is_file() else ""
    for word in ("noted", "val/loss", "the log", "*.bin"):
        text = text.replace(word, SECRET)
    aside.write_text(text or SECRET)
    return aside


# --- of a project ---


@pytest.mark.parametrize(
    "thing", [os.mkfifo, Path.mkdir, an_endless_device, a_device_that_waits, an_endless_file, anothers]
)
def test_a_trap_in_a_projects_file_holds_nobody_up(
    world: World, thing: Thing, record_property: Callable[[str, object], None]
) -> None:
    """Another user's file is named with its owner, and is not changed."""
    lab, names = world.project(), some([*STATE, *LINKED], 6)
    back = kept(lab)
    with Pulse(world.neighbour) as pulse:
        for name in names:
            path = lab.folder / name
            thing(path) if thing is anothers else put(path, thing)
            said = answers(lab)
            assert f"uid {STRANGER}" in said or thing is not anothers or name in UNNAMED, (name, said)
            if FULL:
                at_once(world, pulse)
            back()
        at_once(world, pulse)
    record_property("cases", len(names))


def test_a_link_in_a_projects_file_is_not_followed_where_people_have_none(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    """A clone could so have the daemon read, show and believe any file."""
    lab, names = world.project(), some(STATE, 8)
    back = kept(lab)
    with Pulse(world.neighbour) as pulse:
        for name in names:
            path = lab.folder / name
            target = forged(path, lab.project / "aside")
            put(path, link_to(target))
            assert SECRET not in answers(lab), name
            back()
        at_once(world, pulse)
    record_property("cases", len(names))


@pytest.mark.parametrize("thing", ["fifo", "/dev/ptmx", "link"])
def test_a_file_of_a_project_that_is_swapped_between_look_and_opening_holds_nobody_up(
    world: World, thing: str, record_property: Callable[[str, object], None]
) -> None:
    lab, names, swapped = world.project(), some([*STATE, *LINKED], 6), 0
    back = kept(lab)
    with Pulse(world.neighbour) as pulse:
        for name in names:
            path = lab.folder / name
            target = str(forged(path, lab.project / "aside")) if thing == "link" else thing
            world.order.write_text(f"/{lab.project.name}/.autoresearch/{lab.folder.name}/{name}\n{target}")
            said = answers(lab)
            swapped += not world.order.exists()
            world.order.unlink(missing_ok=True)
            assert SECRET not in said or name in LINKED, name
            back()
        at_once(world, pulse)
    assert swapped >= len(names) / 2, "the others are not read while the project is at rest"
    record_property("cases", len(names))


# --- of a job ---

TRAPS = {
    "fifo": "traps.put(path, os.mkfifo)",
    "folder": "traps.put(path, Path.mkdir)",
    "zero": "traps.put(path, traps.an_endless_device)",
    "ptmx": "traps.put(path, traps.a_device_that_waits)",
    "endless": "traps.put(path, traps.an_endless_file)",
    "another's": "path.touch(); os.chown(path, traps.STRANGER, traps.STRANGER)",
}


def judge(lab: Lab, script: str, metrics: str) -> None:
    """Have the script run, and wait for what it is judged to be."""
    lab.get("session.stop")
    lab.session(ack=True, settle=0, metrics=metrics, checkpoint_glob="{run_dir}/*.bin")
    lab.write(script)
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["result"], f"the verdict: {script}")


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_that_a_job_leaves_holds_nobody_up_and_the_job_is_judged(
    world: World, trap: str, record_property: Callable[[str, object], None]
) -> None:
    lab, written = world.project(), some(WRITTEN, 5)
    with Pulse(world.neighbour) as pulse:
        for metrics, name in written:
            if (trap, name) == ("endless", "model.bin"):
                continue  # it is a checkpoint for which there is no space
            script = JOB.format(
                root=str(Path(labs.__file__).parents[2]), name=name, order="", trap=TRAPS[trap]
            )
            judge(lab, script, metrics)
            if FULL:
                at_once(world, pulse)
        at_once(world, pulse)
    record_property("cases", len(written))


@pytest.mark.parametrize("thing", ["fifo", "/dev/ptmx"])
def test_a_file_of_a_job_that_is_swapped_between_look_and_opening_holds_nobody_up(
    world: World, thing: str, record_property: Callable[[str, object], None]
) -> None:
    lab, written, swapped = world.project(), some(WRITTEN, 5), 0
    with Pulse(world.neighbour) as pulse:
        for metrics, name in written:
            order = ORDERED.format(order=str(world.order), thing=thing)
            script = JOB.format(
                root=str(Path(labs.__file__).parents[2]), name=name, order=order, trap="path.touch()"
            )
            judge(lab, script, metrics)
            swapped += not world.order.exists()
            world.order.unlink(missing_ok=True)
        at_once(world, pulse)
    assert swapped > 0
    record_property("cases", len(written))
