"""Checkpoints through a real daemon: promoted, told of, waited for, kept for who reads them, and pruned."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ardaemon.checkpoints import promote
from ardaemon.core.errors import StorageError, UsageError
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured

MIB = 1 << 20
SAVE = (
    "import os\n"
    "with open(os.environ['AR_RUN_DIR'] + '/ck-1.bin', 'wb') as file:\n"
    "    for _ in range({mib}):\n"
    "        file.write(bytes(range(256)) * 4096)\n"
    "print('val/loss: {value}')\n"
)
# Its copy would take more space than the whole disk has, whatever others free meanwhile; the file itself has
# a hole, and takes none.
SAVE_TOO_MUCH = (
    "import os\n"
    "path = os.environ['AR_RUN_DIR'] + '/ck-1.bin'\n"
    "open(path, 'wb').close()\n"
    "found = os.statvfs(os.environ['AR_RUN_DIR'])\n"
    "os.truncate(path, found.f_blocks * found.f_frsize + (1 << 20))\n"
    "print('val/loss: 0.5')\n"
)
# Follows AR_BEST_CKPT when it is told to, and says what it finds there.
READ = (
    "import os, pathlib, time\n"
    "home = pathlib.Path(os.environ['AR_EXPR_DIR'])\n"
    "(home / 'reading').touch()\n"
    "while not (home / 'go').exists():\n"
    "    time.sleep(0.01)\n"
    "best = os.path.realpath(os.environ['AR_BEST_CKPT'])\n"
    "print('found', os.path.basename(best), sorted(os.listdir(best)))\n"
    "print('val/loss: 5')\n"
)


def saves(lab: Lab, value: float, mib: int = 1) -> dict[str, Any]:
    lab.write(SAVE.format(value=value, mib=mib))
    return lab.run()


def committed(lab: Lab, run_id: str) -> Any:
    """Its result, once there is one."""
    path = lab.folder / f"runs/{run_id}/result.json"
    return lab.read(f"runs/{run_id}/result.json") if path.exists() else None


def copies(lab: Lab) -> list[str]:
    return sorted(os.listdir(lab.folder / ".ckpt"))


def test_a_copy_tells_how_far_it_is_at_most_once_a_second(lab: Lab) -> None:
    lab.ready(checkpoint_glob="{run_dir}/ck-*")
    client = lab.rpc()
    client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{}}\n')
    begun = time.monotonic()
    assert saves(lab, 1.0, mib=64)["checkpoint"] == ".ckpt/r0001"
    seconds = time.monotonic() - begun
    told = lab.events("promoting")
    assert told
    assert {event["total"] for event in told} == {64 * MIB}
    assert [event["done"] for event in told] == sorted(event["done"] for event in told)
    assert len(told) <= 1 + seconds
    while (event := client.receive())["params"]["event"] != "promoting":
        assert event["params"]["event"] != "committed"
    assert promote.verify(Path(os.path.realpath(lab.folder / "best_ckpt"))) == []


def test_an_advance_whose_checkpoint_has_no_space_waits_says_so_and_goes_on_when_there_is(lab: Lab) -> None:
    lab.ready(checkpoint_glob="{run_dir}/ck-*")
    saves(lab, 1.0)
    before = lab.read("best.json")
    lab.write(SAVE_TOO_MUCH)
    run_id = lab.submit()["run_id"]
    with pytest.raises(StorageError, match=r"No space left on device: its copy takes .* are free for it"):
        lab.wait(run_id)  # who waits for it need not wait for ever
    [view] = lab.call("queue.list")["runs"]
    assert (view["state"], view["result"]) == ("judged", None)
    assert "No space left" in view["why"]
    assert lab.read("best.json") == before
    assert os.readlink(lab.folder / "best_ckpt") == ".ckpt/r0001"
    assert copies(lab) == ["r0001"]
    own = lab.folder / f"runs/{run_id}/job/ck-1.bin"
    os.truncate(own, 5)  # as if there were space for it
    result = wait_until(lambda: committed(lab, run_id), "the commit")
    assert (result["verdict"], result["checkpoint"]) == ("advance", f".ckpt/{run_id}")
    assert own.exists()


def test_the_best_that_a_run_was_launched_with_stays_until_it_has_ended(lab: Lab) -> None:
    """Also over a restart of the daemon, which knows it from run.json."""
    configured(lab, "cpu_slots = 2\n")
    lab.ready(checkpoint_glob="{run_dir}/ck-*")
    saves(lab, 1.0)
    lab.write(READ)
    reader = lab.submit()["run_id"]
    wait_until((lab.folder / "reading").exists, "the job to be at work")
    saves(lab, 0.5)
    lab.kill()
    lab.start("tests.support.faulty")  # there a former best is kept for nobody but runs
    saves(lab, 0.4)
    assert copies(lab) == ["r0001", "r0004"]
    (lab.folder / "go").touch()
    lab.wait(reader)
    log = (lab.folder / f"runs/{reader}/run.log").read_text()
    assert "found r0001 ['ck-1.bin', 'meta.json']" in log
    saves(lab, 3.0)
    assert copies(lab) == ["r0004"]


def test_a_former_best_is_there_for_a_while_for_who_has_followed_the_link(lab: Lab) -> None:
    lab.ready(checkpoint_glob="{run_dir}/ck-*")
    saves(lab, 1.0)
    followed = Path(os.path.realpath(lab.folder / "best_ckpt"))
    saves(lab, 0.5)
    assert promote.verify(followed) == []


def test_keep_checkpoints_prunes_what_runs_leave_and_never_the_best(lab: Lab) -> None:
    lab.ready(checkpoint_glob="{run_dir}/ck-*", keep_checkpoints=1)
    for value in (1.0, 2.0, 3.0, 4.0):
        saves(lab, value)
    left = sorted(path.parents[1].name for path in lab.folder.glob("runs/*/job/ck-1.bin"))
    assert left == ["r0001", "r0004"]


def test_a_stop_of_the_daemon_cuts_a_copy_short_and_the_next_one_makes_it_anew(lab: Lab) -> None:
    lab.ready(checkpoint_glob="{run_dir}/ck-*")
    lab.write(SAVE.format(value=1.0, mib=256))
    run_id = lab.submit()["run_id"]
    partial = lab.folder / f".ckpt/.{run_id}.partial"
    wait_until(lambda: partial.exists() or (lab.folder / ".ckpt" / run_id).exists(), "the copy")
    lab.stop()
    assert lab.process is not None
    assert (lab.process.poll(), (lab.root / "stderr").read_text()) == (0, "")
    lab.start()
    assert lab.wait(run_id)["result"]["checkpoint"] == f".ckpt/{run_id}"
    assert promote.verify(lab.folder / ".ckpt" / run_id) == []
    assert copies(lab) == [run_id]


@pytest.mark.parametrize("n", [0, -1])
def test_keep_checkpoints_below_one_is_refused(lab: Lab, n: int) -> None:
    lab.start()
    lab.init()
    with pytest.raises(UsageError, match="--keep-checkpoints"):
        lab.session(keep_checkpoints=n)
