"""What the daemon does beside its runs must not end it."""

import anyio
import pytest

from ardaemon import daemon


def test_a_fault_in_work_at_the_side_is_logged_and_the_work_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daemon, "SIDE_RETRY_S", 0.0)
    tries: list[int] = []

    async def work() -> None:
        tries.append(1)
        if len(tries) < 3:
            async with anyio.create_task_group():
                raise KeyError("a fault of ours")

    anyio.run(daemon.at_the_side, work)
    assert len(tries) == 3
    assert [record.getMessage() for record in caplog.records] == ["a task at the side failed"] * 2
