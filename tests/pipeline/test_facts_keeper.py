"""The loop that keeps facts.jsonl goes on whatever happens to it."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from ardaemon.experiment import facts
from ardaemon.experiment.locks import Locks
from ardaemon.host.disk import Disks
from ardaemon.pipeline import facts_keeper
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.source.reader import Reader
from tests.experiment.test_facts import table


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
