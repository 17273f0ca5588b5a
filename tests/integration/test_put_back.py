"""A backup, or an older file, that is put back under a daemon: told, and nothing is merged into it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import Refused, SealBroken
from tests.support import chains
from tests.support.chains import CHILD
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.two_daemons import PROMPT, begun, owner, pair, rows, waiting

pytestmark = pytest.mark.promise("one-owner")

LAST = "261124-last"


@pytest.fixture
def two(lab: Lab) -> Iterator[tuple[Lab, Lab]]:
    """A daemon with a project, and the world of another one on the same project, which is not started."""
    with pair(lab) as both:
        yield both


def test_a_backup_that_is_put_back_under_a_run_is_told_and_nothing_is_written_into_it(
    two: tuple[Lab, Lab],
) -> None:
    one, _ = two
    home, backup = one.project / ".autoresearch", one.project / "backup"
    go = waiting(one)
    samples = one.folder / "runs/r0001/a1/samples.jsonl"  # from then on nothing is made there that goes again
    wait_until(samples.exists, "the first samples")
    shutil.copytree(home, backup, symlinks=True)
    home.rename(one.project / "away")
    backup.rename(home)
    go()

    def blocked() -> str:
        (run,) = one.call("queue.list")["runs"]
        return run["why"] or ""

    why = wait_until(lambda: "another folder, or a copy" in blocked() and blocked(), "the run to be blocked")
    assert "arctl daemon restart" in why
    assert rows(one) == []
    one.stop()
    one.start(PROMPT)
    assert one.wait("r0001")["result"] is not None
    assert rows(one) == ["r0001"]


def put(path: Path, data: bytes) -> None:
    """Put another file in the place of this one, as tools do: a reader sees the one or the other."""
    path.with_name("new").write_bytes(data)
    path.with_name("new").rename(path)


CHANGES: dict[str, dict[str, Any]] = {
    "run.submit": {"submit_id": "x", "environment": {}},
    "experiment.seal": {"accept": True},
    "session.set": {"given": {"plateau": 3}},
    "run.rerun": {"run_id": "r0001", "environment": {}},
}


def test_a_session_that_is_put_back_alone_is_told_and_nothing_is_merged_into_it(
    two: tuple[Lab, Lab],
) -> None:
    """As by a backup or a sync client: `.autoresearch/` and the lock are the same ones."""
    one, _ = two
    session = one.folder / ".ar-session.json"
    one.tried(0.9)
    before = session.read_bytes()
    one.tried(0.5)
    newest = session.read_bytes()
    for restarted in (False, True):
        put(session, before)
        if restarted:  # then the run's own folder tells
            one.kill()
            one.start(PROMPT)
        for method, params in CHANGES.items():
            with pytest.raises(Refused, match="went back to r0001"):
                one.get(method, **params)
        assert session.read_bytes() == before
        put(session, newest)
    go = waiting(one)
    put(session, before)
    go()
    wait_until(lambda: "went back" in (one.get("run.get", run_id="r0003")["why"] or ""), "it to be blocked")
    assert rows(one) == ["r0001", "r0002"]
    put(session, newest)
    wait_until((one.folder / "runs/r0003/result.json").exists, "the commit")
    assert one.read(".ar-session.json")["counters"]["since_start"] == 3


def test_a_person_may_go_on_from_a_session_that_was_put_back(two: tuple[Lab, Lab]) -> None:
    one, _ = two
    session = one.folder / ".ar-session.json"
    before = session.read_bytes()
    one.tried(0.9)
    put(session, before)
    one.get("session.stop")
    assert "from a copy from before" in one.session(resume="continue", gpus=0)["warnings"][0]
    assert one.tried(0.5)["run_id"] == "r0002"  # the folder of r0001 is there


def restarted(lab: Lab) -> None:
    """Let another daemon go on, which knows only what is on the disk."""
    lab.kill()
    lab.start(PROMPT)


def warned(lab: Lab, method: str, **params: Any) -> str:
    """What the answer warns of, on one line."""
    return " ".join(lab.call(method, project=str(lab.project), **params)["warnings"])


def test_a_chain_that_is_put_back_alone_is_told_and_no_experiment_follows_it(lab: Lab) -> None:
    """Its budget would count down a second time."""
    chains.parent(lab.start(PROMPT))
    file = chains.chain_file(lab)
    begun = file.read_bytes()
    chains.go_on(lab)
    moved = file.read_bytes()
    put(file, begun)
    assert chains.tried(lab, 0.5, CHILD)["next"] == "stop: max_runs(1), the chain went back: arctl chain"
    for _ in range(2):
        with pytest.raises(Refused, match="written 2 times, and the one that is there 1 times"):
            chains.go_on(lab, LAST)
        with pytest.raises(Refused, match="the chain went back"):
            chains.begin(lab, CHILD, chain=9)
        assert "put the newest one back" in warned(lab, "status.get", expr=CHILD)
        assert "put the newest one back" in warned(lab, "chain.get")
        assert file.read_bytes() == begun
        restarted(lab)
    put(file, moved)
    assert chains.go_on(lab, LAST)["chain_remaining"] == 0


def test_a_chain_that_was_stopped_does_not_go_on_from_a_copy_and_a_person_begins_another(lab: Lab) -> None:
    chains.parent(lab.start(PROMPT))
    file = chains.chain_file(lab)
    begun = file.read_bytes()
    lab.call("chain.stop", project=str(lab.project))
    put(file, begun)
    restarted(lab)
    with pytest.raises(Refused, match="the chain went back") as refused:
        chains.go_on(lab)
    assert "arctl chain stop; arctl session start --chain N" in refused.value.mend
    lab.call("chain.stop", project=str(lab.project))
    chains.begin(lab, chain=1, resume="continue")
    lab.get("session.stop")
    assert chains.go_on(lab)["chain_remaining"] == 0


def test_a_session_that_is_put_back_with_its_table_while_no_daemon_runs_is_told(two: tuple[Lab, Lab]) -> None:
    """The folder of the run that they lack tells; one that a job has made does not."""
    one, _ = two
    names = (".ar-session.json", "results.tsv")
    one.tried(0.9)
    before = {name: (one.folder / name).read_bytes() for name in names}
    one.tried(0.5)
    forged = one.folder / "runs/r0009"
    shutil.copytree(one.folder / "runs/r0002", forged)
    for file in ("run.json", "result.json"):
        (forged / file).write_text((forged / file).read_text().replace("r0002", "r0009"))
    one.stop()
    put_all(one, before)
    one.start(PROMPT)
    with pytest.raises(Refused, match="went back to r0001: r0002 was committed here"):
        one.submit()
    one.get("session.stop")
    one.session(resume="continue", gpus=0)
    restarted(one)
    assert one.tried(0.7)["run_id"] == "r0010"


@pytest.mark.parametrize("stopped", [True, False], ids=["no daemon runs", "the daemon rests"])
def test_a_whole_backup_that_is_put_back_is_told_and_no_id_is_given_again(lab: Lab, stopped: bool) -> None:
    """It is of one time: what its daemon has noted elsewhere tells."""
    begun(lab)
    lab.tried(0.9)
    home, backup = lab.project / ".autoresearch", lab.root / "backup"
    shutil.copytree(home, backup, symlinks=True)
    lab.tried(0.5)
    exchange(lab, backup, stopped)
    with pytest.raises(Refused, match="went back to r0001") as refused:
        lab.submit()
    assert "arctl session start --resume continue" in refused.value.mend
    lab.get("session.stop")
    lab.session(resume="continue", gpus=0)
    lab.stop()
    lab.start(PROMPT)
    assert lab.tried(0.7)["run_id"] == "r0003"


@pytest.mark.parametrize("stopped", [True, False], ids=["no daemon runs", "the daemon rests"])
def test_of_another_experiment_in_its_place_nothing_is_known(lab: Lab, stopped: bool) -> None:
    begun(lab)
    shutil.copytree(lab.project / ".autoresearch", lab.root / "first", symlinks=True)
    shutil.rmtree(lab.project / ".autoresearch")
    lab.init()
    lab.session(gpus=0)
    lab.tried(0.9)
    exchange(lab, lab.root / "first", stopped)
    assert lab.tried(0.5)["run_id"] == "r0001"


def exchange(lab: Lab, other: Path, stopped: bool) -> None:
    """Put another `.autoresearch/` in the place of the lab's."""
    home = lab.project / ".autoresearch"
    if stopped:
        lab.stop()
    else:
        wait_until(lambda: not (owner(lab) or {}).get("active"), "the project to rest")
    shutil.rmtree(home)
    other.rename(home)
    if stopped:
        lab.start(PROMPT)


SEALED = ("program.md", "batch_contract.json")


def sealed(lab: Lab) -> dict[str, bytes]:
    """The seal, and a file that it seals."""
    return {name: (lab.folder / name).read_bytes() for name in SEALED}


def put_all(lab: Lab, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        put(lab.folder / name, data)


def two_seals(lab: Lab) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Accept another seal than the first, by which 0.5 is no win; return the first and the other."""
    first, program = sealed(lab), lab.folder / "program.md"
    program.write_text(program.read_text().replace("constraints = []", 'constraints = ["val/loss>=0.6"]'))
    lab.get("experiment.seal", accept=True)
    return first, sealed(lab)


def test_a_seal_that_is_put_back_with_the_file_that_it_seals_is_told(two: tuple[Lab, Lab]) -> None:
    """By its hashes alone it holds."""
    one, _ = two
    one.tried(0.9)
    first, newest = two_seals(one)
    for _ in range(2):
        put_all(one, first)
        with pytest.raises(SealBroken, match="another one was accepted since"):
            one.submit()
        (fault,) = one.get("experiment.seal")["said"]
        assert "went back" in fault
        with pytest.raises(SealBroken, match="the seal went back"):
            one.get("experiment.seal", add=[str(one.project / "train.py")])
        assert sealed(one) == first
        restarted(one)
    one.get("session.stop")
    with pytest.raises(SealBroken, match="the seal went back"):
        one.session(resume="continue", gpus=0)
    put_all(one, newest)
    one.session(resume="continue", gpus=0)
    assert one.tried(0.5)["verdict"] == "revert"


def test_a_run_under_which_the_seal_is_put_back_does_not_count(two: tuple[Lab, Lab]) -> None:
    one, _ = two
    first, _ = two_seals(one)
    go = waiting(one)
    put_all(one, first)
    go()
    result = one.wait("r0001")["result"]
    assert (result["verdict"], "the seal went back" in result["reason"]) == ("invalid", True)


def test_a_person_may_accept_the_seal_that_was_put_back(two: tuple[Lab, Lab]) -> None:
    one, _ = two
    first, newest = two_seals(one)
    put_all(one, first)
    (said,) = one.get("experiment.seal", accept=True)["said"]
    assert "had gone back" in said
    assert one.tried(0.5)["verdict"] == "advance"
    put_all(one, newest)
    with pytest.raises(SealBroken, match="the seal went back"):
        one.submit()


def test_a_best_that_is_put_back_without_the_values_of_its_later_launches_has_them_again(
    two: tuple[Lab, Lab],
) -> None:
    one, _ = two
    one.tried(0.9)
    before = (one.folder / "best.json").read_bytes()
    for run_id in one.get("run.rerun", run_id="r0001", seeds=2, environment=one.environment)["runs"]:
        one.wait(run_id)
    newest = one.read("best.json")
    assert newest["values"] == [0.9, 0.9, 0.9]
    for _ in range(2):
        put(one.folder / "best.json", before)
        assert "best.json was a copy from before, with r0001" in warned(one, "status.get", expr=SLUG)
        assert one.read("best.json") == newest
        restarted(one)
    assert warned(one, "status.get", expr=SLUG) == ""


def test_an_older_link_to_a_checkpoint_is_put_right_before_a_run_gets_it(lab: Lab) -> None:
    """Else the run goes on from the weights of an earlier best, or from none once these are pruned."""
    lab.ready(checkpoint_glob="{run_dir}/ck-*")
    script = """import os
print("begins with", os.path.basename(os.environ.get("AR_BEST_CKPT", "none")))
open(os.environ["AR_RUN_DIR"] + "/ck-1", "w").close()
print("val/loss: {value}")
"""
    for value in (0.9, 0.5):
        lab.write(script.format(value=value))
        assert lab.run()["verdict"] == "advance"
    link = lab.folder / "best_ckpt"
    link.unlink()
    link.symlink_to(".ckpt/r0001")
    lab.write(script.format(value=0.6))
    run_id = lab.run()["run_id"]
    assert "begins with r0002" in (lab.folder / "runs" / run_id / "run.log").read_text()
    assert link.readlink() == Path(".ckpt/r0002")
