"""A clone may bring links along where the daemon makes folders and logs: nothing is written through them."""

from pathlib import Path

import pytest

from ardaemon.core.errors import StorageError
from tests.support.lab import Lab, wait_until


@pytest.fixture
def elsewhere(lab: Lab) -> Path:
    """A folder of the user's, with a file in it, that has nothing to do with the project."""
    folder = lab.root / "elsewhere"
    folder.mkdir()
    (folder / "run.log").write_text("val/loss: 0.001\n")
    return folder


def untouched(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == ["run.log"] and (
        (folder / "run.log").read_text() == "val/loss: 0.001\n"
    )


def test_no_run_is_laid_out_through_a_link(lab: Lab, elsewhere: Path) -> None:
    lab.ready()
    link = lab.folder / "runs/r0001"
    link.symlink_to(elsewhere)
    lab.edit(0.5)
    with pytest.raises(StorageError, match="r0001: it is a link, not a folder") as refusal:
        lab.submit()
    assert f"mv {link} {link}.old" in str(refusal.value.mend)
    assert untouched(elsewhere)
    link.rename(f"{link}.old")
    assert lab.run()["run_id"] == "r0001"
    assert untouched(elsewhere)


@pytest.mark.parametrize("name", ["a1", "job"])
def test_no_attempt_is_made_through_a_link_and_the_run_goes_on_without_it(
    lab: Lab, elsewhere: Path, name: str
) -> None:
    lab.ready()
    link = lab.folder / "runs/r0001" / name
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    lab.edit(0.5)
    lab.submit()
    wait_until(lambda: "it is a link, not a folder" in (why(lab) or ""), "the run says why it waits")
    assert str(link) in str(why(lab))
    assert untouched(elsewhere)
    link.unlink()
    lab.settled()  # the launch is tried again
    result = lab.wait("r0001")["result"]
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5)
    assert untouched(elsewhere)


def why(lab: Lab) -> str | None:
    """What the run waits for."""
    found: str | None = lab.get("run.get", run_id="r0001")["why"]
    return found


@pytest.mark.parametrize("there", ["a link", "a hard link", "lines", "a folder"])
def test_the_log_of_an_attempt_is_its_own_whatever_stood_there(lab: Lab, elsewhere: Path, there: str) -> None:
    """Neither is anything added to another file, nor is a value read that was written in advance."""
    lab.ready()
    log = lab.folder / "runs/r0001/a1/run.log"
    log.parent.mkdir(parents=True)
    if there == "a link":
        log.symlink_to(elsewhere / "run.log")
    elif there == "a hard link":
        log.hardlink_to(elsewhere / "run.log")
    elif there == "a folder":
        (log / "kept").mkdir(parents=True)
    else:
        log.write_text("val/loss: 0.001\n")
    lab.write("print('nothing that counts')\n")
    result = lab.run()
    assert (result["status"], result["verdict"]) == ("invalid", "revert")
    assert untouched(elsewhere)
    assert not log.is_symlink()
    assert log.read_text() == "nothing that counts\n"
    kept = [path.name for path in log.parent.glob("run.log.*.old/*")]
    assert kept == (["kept"] if there == "a folder" else [])


@pytest.mark.parametrize("there", ["a link", "lines"])
def test_the_runs_own_log_leads_to_the_attempts_whatever_stood_there(
    lab: Lab, elsewhere: Path, there: str
) -> None:
    lab.ready()
    log = lab.folder / "runs/r0001/run.log"
    log.parent.mkdir(parents=True)
    if there == "a link":
        log.symlink_to(elsewhere / "run.log")
    else:
        log.write_text("val/loss: 0.001\n")
    assert lab.tried(0.5)["verdict"] == "advance"
    assert log.readlink() == Path("a1/run.log")
    assert "0.001" not in lab.get("run.tail", run_id="r0001")["text"]
    assert untouched(elsewhere)


def test_fresh_puts_nothing_through_a_link(lab: Lab, elsewhere: Path) -> None:
    lab.ready()
    lab.tried(0.5)
    lab.get("session.stop")
    (lab.folder / ".runs-new").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="it is a link, not a folder"):
        lab.session(resume="fresh", ack=True)
    assert untouched(elsewhere)


def test_fresh_archives_nothing_through_a_link_to_another_experiment(lab: Lab) -> None:
    """A link to a folder elsewhere is followed: an archive may be kept apart."""
    lab.ready()
    lab.tried(0.5)
    lab.get("session.stop")
    other, apart = lab.folder.parent / "261122-other", lab.root / "apart"
    for folder in (other, apart):
        folder.mkdir()
    link = lab.folder / "archive"
    link.symlink_to(other)
    with pytest.raises(StorageError, match="archive is a link into") as refusal:
        lab.session(resume="fresh", ack=True)
    assert refusal.value.mend == f"rm {link}"
    assert not any(other.iterdir())
    link.unlink()
    link.symlink_to(apart)
    lab.session(resume="fresh", ack=True)
    assert [path.parent.name for path in apart.glob("*/runs/r0001")] == ["runs"]
