"""log_quota: while a run is under way its disk never stays full if old logs may go."""

import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from ardaemon.core.config import Config
from ardaemon.core.errors import StorageError
from ardaemon.core.events import LogsRemoved
from ardaemon.core.layout import Experiment
from ardaemon.core.live_config import LiveConfig
from ardaemon.experiment.locks import Locks
from ardaemon.host import state
from ardaemon.host.disk import Disks
from ardaemon.pipeline import log_quota
from ardaemon.pipeline.log_quota import LogQuota
from ardaemon.pipeline.unrecorded import Unrecorded
from tests.experiment.test_old_logs import ran
from tests.support.disks import mounted

pytestmark = pytest.mark.promise("logs")
MIB = 1 << 20
DEADLINE_S = 30.0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project on a disk of 8 MiB."""
    with mounted(tmp_path, "tmpfs", "size=8m"):
        yield tmp_path


def gone(made: Experiment) -> list[str]:
    logs = sorted(made.runs.glob("r*/a1/run.log"))
    return [path.parent.parent.name for path in logs if path.stat().st_size < 4096]


async def followed(project: Path, quota: str) -> LogsRemoved:
    """Follow the project's disk, as from a run's first moment on, until old logs were removed."""
    told: list[LogsRemoved] = []
    was_told = anyio.Event()

    def tell(_: Experiment, event: LogsRemoved) -> None:
        told.append(event)
        was_told.set()

    async with anyio.create_task_group() as tasks:
        config = LiveConfig(Config(log_quota=quota))
        quotas = LogQuota(config, Locks(), Disks(), tasks, tell)
        under_way: set[Path] = set()
        changed = anyio.Event()
        nobody: Any = None
        unrecorded = Unrecorded(tuple, nobody, nobody)
        tasks.start_soon(quotas.loop, lambda: under_way, lambda: changed, unrecorded)
        await anyio.wait_all_tasks_blocked()  # it waits for the first run
        under_way.add(project)
        changed.set()
        with anyio.fail_after(DEADLINE_S):
            await was_told.wait()
        tasks.cancel_scope.cancel()
    return told[0]


def test_a_disk_that_fills_up_while_a_run_is_at_work_has_room_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a shim can write its record, and a commit goes on: nobody else makes room in the night."""
    made = ran(project / ".autoresearch", 8, log=b"step 1\n" * (MIB // 8))
    monkeypatch.setattr(log_quota, "FREE_DISK_MIN", 2 * MIB)
    monkeypatch.setattr(log_quota, "ROOM", 3 * MIB)
    monkeypatch.setattr(log_quota, "LOOK_S", 0.01)
    told = anyio.run(followed, project, "1GiB")
    assert gone(made) == ["r0001", "r0002", "r0003"], "enough, and no more"
    assert told.runs == 3
    assert told.by.startswith("log_quota = 1GiB, for only ")


@asynccontextmanager
async def quotas(quota: str | None) -> AsyncIterator[LogQuota]:
    """With `log_quota` as that; what it announces is told to nobody."""
    async with anyio.create_task_group() as tasks:
        yield LogQuota(LiveConfig(Config(log_quota=quota)), Locks(), Disks(), tasks, lambda *_: None)


def refusal(path: Path, number: int) -> StorageError:
    """What a write gets of which the disk says that."""
    with pytest.raises(StorageError) as caught, state.storage("write", path):
        raise OSError(number, os.strerror(number), str(path))
    return caught.value


def test_what_a_disk_has_refused_for_want_of_room_makes_logs_of_that_disk_go_and_nothing_else_does(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ran(project / ".autoresearch", 6, log=b"step 1\n" * 1000)
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    async def refused(error: Exception, quota: str | None = None) -> tuple[str, ...]:
        async with quotas(quota) as made:
            return await made.refused(project, error)

    monkeypatch.setattr(log_quota, "ROOM", 8192)
    for error in (
        refusal(made.results, errno.EIO),
        refusal(elsewhere / "r0001.json", errno.ENOSPC),
        StorageError("no errno", ""),
        ValueError(),
    ):
        assert anyio.run(refused, error) == ()
    assert anyio.run(refused, refusal(made.results, errno.EDQUOT), "none") == ()
    assert gone(made) == []
    for number, run_id in ((errno.EDQUOT, "r0001"), (errno.ENOSPC, "r0002")):
        (said,) = anyio.run(refused, refusal(made.results, number))
        assert "for the disk had no room" in said
        assert gone(made)[-1] == run_id
    for left in ("r0003", "r0004", "r0005", "r0006"):  # one at a time, once nothing else is left
        assert anyio.run(refused, refusal(made.results, errno.EDQUOT))
        assert gone(made)[-1] == left
    assert anyio.run(refused, refusal(made.results, errno.EDQUOT)) == ()


def test_where_logs_are_to_stay_nothing_goes_and_else_all_go_before_the_disk_is_full(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ran(project / ".autoresearch", 8, log=b"step 1\n" * (MIB // 8))

    async def looked(quota: str | None) -> tuple[str, ...]:
        async with quotas(quota) as made:
            return await made.make_room(project)

    free = log_quota._free(project)
    with monkeypatch.context() as patch:
        patch.setattr(log_quota, "FREE_DISK_MIN", free + 5 * MIB)
        assert anyio.run(looked, "none") == ()
        assert gone(made) == []
        (said,) = anyio.run(looked, "1GiB")
    assert said.startswith("old logs of 6 runs (")
    assert gone(made) == ["r0001", "r0002", "r0003", "r0004", "r0005", "r0006"], "the last ones last"
    (said,) = anyio.run(looked, "1GiB")
    assert said.startswith("old logs of 2 runs (")
    assert anyio.run(looked, "1GiB") == ()
