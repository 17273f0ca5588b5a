"""The disk gives an error in the place of a record: its run is judged once that can be read."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until
from tests.support.shell import UNTIL_TOLD

pytestmark = pytest.mark.promise("disk-error")

EIO = "Input/output error"


@pytest.fixture
def ended(lab: Lab) -> str:
    """A run whose job has ended, well, while no daemon lived."""
    lab.ready()
    go = lab.root / "go"
    run_id = launched(lab, UNTIL_TOLD.format(go=str(go), value=0.5))
    lab.kill()
    go.touch()
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the end of the job")
    return run_id


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Cover a file by one that gives EIO when it is read: nothing is mapped at this process's first byte."""
    subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/mem", str(path)], check=True)
    try:
        with pytest.raises(OSError, match=EIO):
            path.read_bytes()
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount")
@pytest.mark.parametrize("name", ["a1/exit.json", "run.json"])
def test_a_record_that_the_disk_does_not_give_is_waited_for_and_nothing_is_judged_without_it(
    lab: Lab, ended: str, name: str
) -> None:
    run = lab.folder / "runs" / ended

    def heard() -> object:
        """What the daemon says of the run, or makes of it."""
        said = [lab.events(event) for event in ("blocked", "unreadable", "stranded")]
        return (any(said) and said) or ((run / "result.json").exists() and (run / "result.json").read_text())

    with unreadable(run / name):
        lab.start()
        assert EIO in str(wait_until(heard, "what the daemon makes of it"))
    wait_until((run / "result.json").exists, "the verdict, once it can be read")
    lab.settled()
    result = lab.wait(ended)["result"]
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5), result["reason"]
