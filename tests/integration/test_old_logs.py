"""`arctl prune` and `log_quota`: old logs go because somebody says so, or before the disk is full."""

import errno
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.core.errors import StorageError
from tests.support.disks import mounted
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import Shell

pytestmark = pytest.mark.promise("logs")
PRINTS = "import os\nos.write(1, (b'.' * {dots} + b'\\n') * {lines})\nprint('val/loss: {value}')\n"


def ran(lab: Lab, value: float, lines: int, width: int = 7) -> None:
    """A run that printed so many lines of so many bytes each."""
    lab.write(PRINTS.format(dots=width - 1, lines=lines, value=value))
    assert lab.run()["status"] == "ok"


def removed(lab: Lab) -> dict[str, str]:
    """The runs whose logs went, and the line that stands there."""
    logs = {path.parent.parent.name: path.read_bytes() for path in lab.folder.glob("runs/*/a1/run.log")}
    return {run_id: data.decode() for run_id, data in sorted(logs.items()) if data.startswith("… ".encode())}


def test_all_but_the_last_ones_and_the_best_go_and_everybody_says_what_went(lab: Lab) -> None:
    lab.ready()
    for value in (0.1, 0.5, 0.6, 0.7, 0.8, 0.9):
        ran(lab, value, 6000)
    shell = Shell(lab)
    would = shell("prune", "--keep-logs", "2", "--dry-run")
    assert (
        would
        == "would be removed: 3 logs (132 KiB): r0002-r0004\nkept: the last 2 and that of r0001 (best)\n"
    )
    assert removed(lab) == {}
    before = {path: path.read_bytes() for path in lab.folder.glob("runs/*/*.*") if path.name != "run.log"}
    answer = shell.json("prune", "--keep-logs", "2")
    assert (answer["runs"], answer["size"]) == (["r0002", "r0003", "r0004"], 3 * 45056)
    assert list(removed(lab)) == ["r0002", "r0003", "r0004"]
    assert before == {path: path.read_bytes() for path in before}, "snapshots, records and results"
    said = shell("tail", "r0003")
    assert said.startswith("… the log (44 KiB) was removed at 2")
    assert said.endswith("Z by arctl prune --keep-logs 2 …\n")
    assert shell("prune", "--keep-logs", "2").startswith("no log was removed\n")
    assert lab.events("logs removed")[0]["runs"] == 3
    assert "keep-logs" in shell.end(shell.start("prune"))[2]

    configured(lab, 'log_quota = "100KiB"\n')
    wait_until(lambda: lab.events("config"), "the quota is taken up")
    ran(lab, 1.0, 6000)  # r0005 to r0007 are the last ones: none may go
    ran(lab, 1.1, 6000)
    wait_until(lambda: "r0005" in removed(lab), "the oldest goes")
    assert list(removed(lab)) == ["r0002", "r0003", "r0004", "r0005"]
    assert "by log_quota = 100KiB …" in removed(lab)["r0005"]
    assert shell("tail", "r0001").endswith("val/loss: 0.1\n"), "the best's stays"


def test_a_daemon_killed_in_the_midst_leaves_each_log_whole_or_gone_and_the_next_does_the_rest(
    lab: Lab,
) -> None:
    lab.ready()
    for value in (0.1, 0.5, 0.6, 0.7):
        ran(lab, value, 6000)
    whole = (lab.folder / "runs/r0004/a1/run.log").read_bytes()[:-4]
    lab.stop()
    folder = f"~/{lab.folder.relative_to(lab.root)}/runs/r0003/a1"
    at = ["daemon", "rename", f"{folder}/.run.log.tmp -> {folder}/run.log", 1]
    plan = {"at": at, "root": str(lab.root), "do": "kill", "flag": str(lab.root / "flag")}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    with pytest.raises(AssertionError, match=r"closed the connection during log\.prune"):
        lab.get("log.prune", keep_logs=0)
    assert (lab.root / "flag").exists()
    assert list(removed(lab)) == ["r0002"]
    assert (lab.folder / "runs/r0003/a1/run.log").read_bytes()[:-4] == whole
    lab.kill()
    lab.start()
    assert lab.get("log.prune", keep_logs=0)["runs"] == ["r0003", "r0004"]
    assert sorted(path.name for path in lab.folder.glob("runs/r0003/a1/.*")) == []


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Lab]:
    """The project lies on a disk of 80 MiB: with 17 MiB in it, it counts as full."""
    with mounted(lab.project, "tmpfs", "size=80m"):
        yield lab


def test_before_a_submit_is_refused_for_a_full_disk_old_logs_go_but_not_if_they_are_to_stay(
    small_disk: Lab,
) -> None:
    configured(small_disk, 'log_quota = "none"\n')
    lab = small_disk.ready()
    for value, lines in ((0.1, 10), (0.5, 10 << 10), (0.6, 10), (0.7, 10), (0.8, 10)):
        ran(lab, value, lines, width=1024)
    (lab.project / "filler").write_bytes(bytes(10 << 20))
    with pytest.raises(StorageError, match="MiB are free") as refused:
        lab.submit()
    assert "arctl prune --keep-logs 10" in refused.value.mend
    assert removed(lab) == {}

    configured(lab, "")
    wait_until(lambda: lab.events("config"), "the file is taken up")
    view = lab.submit()
    (said,) = view["warnings"]
    assert said.startswith("old logs of 1 run (10 MiB) were removed by the daemon, for only ")
    assert said.endswith('; log_quota = "none" in config.toml keeps them')
    assert list(removed(lab)) == ["r0002"]
    assert "of the disk were free" in removed(lab)["r0002"]
    assert lab.wait(view["run_id"])["result"]["status"] == "ok"


def refuses(lab: Lab, run_id: str, nth: int) -> Path:
    """Have the daemon started anew; for the nth write of that run's run.json the user's quota is used up.

    What is returned exists once that was met.
    """
    lab.stop()
    folder, flag = f"~/{lab.folder.relative_to(lab.root)}/runs/{run_id}", lab.root / run_id
    at = ["daemon", "rename", f"{folder}/.run.json.tmp -> {folder}/run.json", nth]
    plan = {"at": at, "root": str(lab.root), "do": errno.EDQUOT, "flag": str(flag)}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    return flag


def test_where_a_users_quota_is_used_up_old_logs_go_whatever_the_disk_has_free(lab: Lab) -> None:
    """Nothing but its refusal tells of that: at a submit, and at a commit in the night."""
    lab.ready()
    for value in (0.1, 0.5, 0.6, 0.7, 0.8):
        ran(lab, value, 6000)
    flag = refuses(lab, "r0006", 1)
    (said,) = lab.submit()["warnings"]
    assert said.startswith("old logs of 1 run (44 KiB) were removed by the daemon, for the disk had no room")
    assert flag.exists()
    assert list(removed(lab)) == ["r0002"]
    assert lab.wait("r0006")["result"]["status"] == "ok"
    flag = refuses(lab, "r0007", 3)  # after its submit and its launch: its verdict
    assert lab.run()["run_id"] == "r0007"
    assert flag.exists()
    assert list(removed(lab)) == ["r0002", "r0003"]


def test_on_a_disk_without_a_free_byte_prune_says_a_first_step_that_takes_none(lab: Lab) -> None:
    """A daemon that does not own the project yet cannot even write down there that it does."""
    lab.ready()
    ran(lab, 0.1, 10)
    ran(lab, 0.5, 6000)
    lab.stop()
    flag = lab.root / "full"
    at = ["daemon", "write", f"~/{lab.folder.parent.relative_to(lab.root)}/.owner", 1]
    plan = {"at": at, "root": str(lab.root), "do": errno.ENOSPC, "flag": str(flag)}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    shell = Shell(lab)
    code, _, said = shell.end(shell.start("prune", "--keep-logs", "0"))
    assert (code, "No space left on device" in said) == (74, True), said
    first, _, then = said.rpartition("→ ")[2].strip().partition(" && arctl ")
    subprocess.run(shlex.split(first), check=True)
    assert (lab.folder / "runs/r0002/a1/run.log").stat().st_size == 0
    flag.unlink()
    assert "kept: that of r0001 (best)" in shell(*shlex.split(then))
    assert list(removed(lab)) == ["r0002"]


def test_a_run_whose_entry_finds_no_room_in_the_state_folder_leaves_nothing(lab: Lab) -> None:
    lab.ready()
    lab.stop()
    entry = f"~/{lab.home.relative_to(lab.root)}/active"
    at = ["daemon", "rename", f"{entry}/.HASH-r0001.json.tmp -> {entry}/HASH-r0001.json", 1]
    flag = lab.root / "full"
    plan = {"at": at, "root": str(lab.root), "do": errno.ENOSPC, "flag": str(flag)}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    with pytest.raises(StorageError, match="No space left on device"):
        lab.submit()
    assert flag.exists()
    assert not (lab.folder / "runs/r0001").exists()
    assert not any("followed by no daemon" in line for line in lab.get("status.get")["warnings"])
    flag.unlink()
    assert lab.run()["run_id"] == "r0001"
