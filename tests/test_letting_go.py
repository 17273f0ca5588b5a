"""Giving projects back when the daemon ends, with real files, locks and threads."""

import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest

from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Project
from ardaemon.experiment.ownership import Ownership, describe
from ardaemon.handlers.context import Context
from ardaemon.host.disk import Disks
from ardaemon.letting_go import LettingGo
from tests.support.lab import DEADLINE_S

pytestmark = pytest.mark.promise("one-owner")


class World:
    """Projects that a daemon owns."""

    def __init__(self, root: Path) -> None:
        self.runs: set[Path] = set()
        self.refused: set[Path] = set()
        self.dead: set[Path] = set()  # on disks that never answer
        self.ownership = Ownership(describe(root / "s", b"s"), self.runs.__contains__)
        self.disks = Disks(self.ownership.changing, self.ownership.wake)
        context = cast(Context, SimpleNamespace(let_go=self.let_go))
        self.letting_go = LettingGo(self.ownership, self.disks, context, anyio.lowlevel.checkpoint)
        self.projects = [root / name for name in ("a", "b")]
        for project in self.projects:
            Project(project).home.mkdir(parents=True)

    async def let_go(self, project: Path) -> None:
        """What the handlers' context does."""
        if project in self.refused:
            raise StorageError("the disk is read-only")
        if project in self.dead:
            await anyio.sleep_forever()
        await self.disks.ask(project, partial(self.ownership.let_go, project))

    async def change(self, project: Path, until: threading.Event | None = None) -> None:
        """Write something, until then."""
        await self.disks.do(project, partial(until.wait, DEADLINE_S) if until else lambda: None)

    def given_back(self) -> list[bool]:
        """Of each project, whether nobody has it by its record."""
        return [not Project(project).owner.exists() for project in self.projects]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two projects."""
    return World(tmp_path)


def test_a_project_in_which_something_is_written_still_is_given_back_once_its_thread_has_ended(
    world: World,
) -> None:
    async def story() -> Any:
        written = threading.Event()
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                await world.change(world.projects[0])
                tasks.start_soon(world.change, world.projects[1], written)
                while len(world.ownership.owned()) < 2:
                    await anyio.lowlevel.checkpoint()
                await world.letting_go.now()
                kept = world.given_back()
                await world.change(world.projects[0])  # as the line of a verdict that was told before
                written.set()
            return kept

    assert anyio.run(story) == [True, False]
    assert world.given_back() == [False, False]
    world.letting_go.last()
    assert world.given_back() == [True, True]


def test_a_project_with_a_run_or_on_a_disk_that_refuses_ends_no_stop(world: World) -> None:
    async def story() -> None:
        for project in world.projects:
            await world.change(project)
        world.runs.add(world.projects[0])
        world.refused.add(world.projects[1])
        with anyio.fail_after(DEADLINE_S):
            await world.letting_go.now()

    anyio.run(story)
    assert world.given_back() == [False, False]
    world.letting_go.last()
    assert world.given_back() == [False, True]


def test_a_disk_that_did_not_answer_is_not_asked_once_more_and_holds_up_no_other(world: World) -> None:
    async def story() -> None:
        for project in world.projects:
            await world.change(project)
        world.dead.add(world.projects[0])
        with anyio.move_on_after(DEADLINE_S) as stop:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(world.letting_go.now)
                while not world.given_back()[1]:
                    await anyio.to_thread.run_sync(lambda: None)
                tasks.cancel_scope.cancel()
        assert not stop.cancelled_caught

    anyio.run(story)
    world.letting_go.last()
    assert world.given_back() == [False, True]
