"""A command beside which arctl is measured counts only if it ran the script."""

import shutil
from collections.abc import Iterator

import pytest

from tests.bench.measure import GitLoop, Peer, interleave
from tests.bench.world import NO_OP, World


@pytest.fixture
def world() -> Iterator[World]:
    """A world without a daemon: nothing here asks for one."""
    made = World()
    made.project("one").mkdir()
    (made.project("one") / "train.py").write_text(NO_OP)
    yield made
    shutil.rmtree(made.folder)


@pytest.mark.parametrize(
    ("command", "note"),
    [
        (["sh", "-c", "python train.py"], ""),
        (["sh", "-c", "true"], "did not run the script (exit code 0)"),
        (
            ["sh", "-c", "echo 'srun: error: no controller'; exit 1"],
            "did not run the script (exit code 1): srun: error: no controller",
        ),
        (["sh", "-c", "python train.py; exit 3"], "did not run the script (exit code 3): val/loss: 0.5"),
        (["no-such-scheduler", "python", "train.py"], "not installed"),
    ],
)
def test_a_peer_that_did_not_run_the_script_is_no_measurement(
    world: World, command: list[str], note: str
) -> None:
    peer = Peer(world, world.project("one"), *command)
    medians = interleave(1, {"peer": peer, "other": lambda _: 1.0})
    assert peer.note == note
    assert ("peer" in medians, medians["other"]) == (not note, 1.0)


def test_a_peer_that_fails_in_the_middle_is_none_either(world: World) -> None:
    once = "test -e again && exit 1; touch again; python train.py"
    assert interleave(2, {"peer": Peer(world, world.project("one"), "sh", "-c", once)}) == {}


def test_the_loop_of_commits_runs_the_script(world: World) -> None:
    loop = GitLoop(world, world.project("git"))
    assert interleave(1, {"git": loop})["git"] > 0, loop.note
