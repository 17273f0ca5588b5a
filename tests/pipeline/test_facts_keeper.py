"""The loop that keeps facts.jsonl goes on whatever happens to it."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from ardaemon.core.errors import CorruptState
from ardaemon.experiment import facts
from ardaemon.experiment.locks import Locks
from ardaemon.host.disk import Disks
from ardaemon.pipeline import facts_keeper
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.source.reader import Reader
from tests.experiment.test_facts import table
from tests.support.traps import NOT_PLAIN, put


def test_a_fault_that_nobody_foresaw_ends_neither_the_loop_nor_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RecursionError("too deep")]
    materials = facts.materials

    def failing_once(*given: Any) -> Any:
        if faults:
            raise faults.pop()
        return materials(*given)

    monkeypatch.setattr(facts_keeper, "REFUSED_S", 0.0)
    monkeypatch.setattr(facts, "materials", failing_once)
    experiment = table(tmp_path, 1, 2)

    async def follow() -> None:
        async with anyio.create_task_group() as tasks:
            keeper = FactsKeeper(Locks(), Disks(), Reader(tasks), tasks)
            with anyio.fail_after(10):
                await keeper.wake(experiment).wait()

    anyio.run(follow)
    assert not faults
    assert [one.run_id for one in facts.read(experiment)] == ["r0001", "r0002"]


def test_who_asks_is_told_at_once_what_stands_in_the_files_place(tmp_path: Path) -> None:
    """No wait mends it. The loop itself would give up after two minutes; nobody waits for that here."""
    experiment = table(tmp_path, 1)

    async def ask() -> None:
        async with anyio.create_task_group() as tasks:
            keeper = FactsKeeper(Locks(), Disks(), Reader(tasks), tasks)
            with anyio.fail_after(10), pytest.raises(CorruptState, match=r"facts\.jsonl"):
                await keeper.caught_up(experiment, 60)
            tasks.cancel_scope.cancel()

    for thing in NOT_PLAIN:
        put(experiment.facts, thing)
        anyio.run(ask)
