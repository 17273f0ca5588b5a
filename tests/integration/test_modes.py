"""Who may read what the daemon writes into a project: nobody whom its umask or the original keeps out."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import TRAIN, Lab, wait_until
from tests.support.shell import Shell
from tests.torture.story import facts_kept

pytestmark = pytest.mark.promise("trust")

OTHERS = 0o077
SAVES = 'import os\nopen(os.environ["AR_RUN_DIR"] + "/x.ckpt", "w").write("0")\n'


@pytest.fixture
def mask() -> Iterator[None]:
    """A shell whose user lets nobody else read anything."""
    before = os.umask(OTHERS)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def story(lab: Lab) -> None:
    """A run of each kind: a baseline, a better one with a checkpoint, a worse one, a broken one."""
    lab.session(checkpoint_glob="{run_dir}/*.ckpt")
    lab.tried(0.9)
    lab.write(SAVES + TRAIN.format(value=0.5, note=""))
    assert lab.run()["verdict"] == "advance"
    assert lab.tried(0.7)["verdict"] == "revert"
    lab.write("raise ValueError\n")
    assert lab.run()["status"] == "crash"
    lab.get("session.stop")
    lab.session(resume="fresh", ack=True)
    lab.tried(0.8)
    wait_until(lambda: facts_kept(lab.folder), "the last that is written of the runs")


def test_under_a_strict_umask_nothing_in_the_project_is_open_to_others(lab: Lab, mask: None) -> None:
    """Though what it is made from is: the daemon was started in a shell where files are private."""
    lab.start()
    for name in ("train.py", "prepare.py"):
        lab.project.joinpath(name).touch()
        lab.project.joinpath(name).chmod(0o644)
    lab.init(prepare=str(lab.project / "prepare.py"))
    story(lab)
    written = [path for path in lab.folder.parent.rglob("*") if not path.is_symlink()]
    names = {path.name for path in written}
    assert {"train.py", "run.json", "result.json", "results.tsv", "run.log", "exit.json", "x.ckpt"} <= names
    assert {"program.md", "prepare.py", "batch_contract.json", "archive", ".ckpt", "meta.json"} <= names
    assert [str(path) for path in written if mode(path) & OTHERS] == []


def test_a_private_script_stays_private_in_all_its_copies(lab: Lab) -> None:
    """What the daemon itself has to tell, and the umask lets others read, others may read."""
    lab.start()
    for name in ("train.py", "prepare.py", "program.md"):
        lab.project.joinpath(name).touch(mode=0o600)
    lab.init(prepare=str(lab.project / "prepare.py"), program=str(lab.project / "program.md"))
    story(lab)
    scripts = [path for path in lab.folder.rglob("*.py") if not path.is_symlink()]
    scripts.append(lab.folder / "program.md")
    places = {path.relative_to(lab.folder).parts[0] for path in scripts}
    assert places == {"train.py", "prepare.py", "program.md", "runs", "archive"}
    assert {str(path.relative_to(lab.folder)): mode(path) for path in scripts if mode(path) & OTHERS} == {}
    assert mode(lab.folder / "results.tsv") == 0o644


@pytest.mark.parametrize(("given", "then"), [(0o755, 0o755), (0o600, 0o600), (0o6755, 0o755), (0o664, 0o644)])
def test_train_py_keeps_what_its_owner_allows_but_no_more_than_the_umask(
    lab: Lab, given: int, then: int
) -> None:
    """Over a revert, which puts another version in its place."""
    lab.ready()
    lab.tried(0.5)
    lab.edit(0.9)
    lab.folder.joinpath("train.py").chmod(given)
    assert lab.run()["verdict"] == "revert"
    assert mode(lab.folder / "train.py") == then


WRITES = """import os
folder = os.environ["AR_RUN_DIR"]
os.mkdir(folder + "/made")
open(folder + "/written", "w").close()
print("val/loss: 0.5")
"""


@pytest.mark.parametrize("strict", ["the submitter", "the daemon"])
def test_the_submitters_umask_is_the_jobs_and_nobody_elses(lab: Lab, strict: str) -> None:
    """Also over a kill of the daemon, which has not started the job yet."""
    theirs, own = (OTHERS, 0o022) if strict == "the submitter" else (0o022, OTHERS)
    shell = Shell(lab)
    before = os.umask(own)
    try:
        lab.ready()
        shell.hold(0.9)
        lab.submit()
        lab.write(WRITES)
        assert shell.end(shell.start("run", umask=theirs))[0] == 0
        lab.kill()
        lab.start()
    finally:
        os.umask(before)
    shell.release()
    assert lab.wait("r0002")["result"]["verdict"] == "advance"
    run = lab.folder / "runs/r0002"
    assert (mode(run / "job/written"), mode(run / "job/made")) == (0o666 & ~theirs, 0o777 & ~theirs)
    for name in ("run.json", "result.json", "a1/run.log", "a1/exit.json", "a1/start.json"):
        assert mode(run / name) == 0o644 & ~own, name
    assert {mode(run), mode(run / "a1"), mode(run / "job")} == {0o777 & ~own}
