"""While a call waits, the client hears how its run goes."""

import threading
from typing import Any

import anyio
import pytest
from mcp import Client

from arctl.mcp import progress, server
from arctl.mcp.progress import Progress
from tests.support.lab import Lab
from tests.support.shell import Shell

OFTEN_S = 0.05
HEARD = 20


def test_a_notification_goes_out_at_least_every_30_s() -> None:
    assert progress.PROGRESS_S < 30


def test_progress_rises_and_tells_of_the_launch_and_of_the_newest_value(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, for a test that would else wait for 15 s."""
    lab.ready()
    shell = Shell(lab)
    shell.hold(1.0)
    lab.write('print("val/loss: 2", flush=True)\n' + (lab.folder / "train.py").read_text())
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(progress, "PROGRESS_S", OFTEN_S)
    heard: list[tuple[float, str]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message or ""))
        if len(heard) >= HEARD and "newest value" in (message or ""):  # else it ends before it was told
            shell.release()

    async def work() -> Any:
        async with Client(server.build(50)) as client:
            arguments = {"project": str(lab.project)}
            return await client.call_tool("run", arguments, progress_callback=hear)

    answer = anyio.run(work)
    assert answer.structured_content["verdict"] == "advance"
    assert len(heard) >= HEARD
    assert {message.split()[0] for _, message in heard} <= {"submitting", "r0001"}
    assert any("running, " in message and "newest value 2" in message for _, message in heard)
    numbers = [number for number, _ in heard]
    assert numbers == sorted(set(numbers))


def test_a_submit_that_takes_long_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_S", OFTEN_S)
    heard = threading.Event()

    class Deaf:
        async def report_progress(self, number: float, total: float | None, message: str | None) -> None:
            assert message == "submitting"
            heard.set()

    async def work() -> int:
        return await anyio.to_thread.run_sync(lambda: heard.wait(10) and 7)

    async def both() -> int:
        return await Progress(Deaf()).beside(work(), "submitting")  # type: ignore[arg-type]

    assert anyio.run(both) == 7
