"""Where nobody can be asked: an agent learns it from `arctl`, and the word is nowhere on disk."""

from collections.abc import Iterator

import pytest

from tests.support.lab import Lab
from tests.support.open_shell import OpenShell
from tests.support.skill_world import World

FLAG = "AR_NONINTERACTIVE"
LINE = f"questions: none ({FLAG} is set)\n"


@pytest.fixture
def world(lab: Lab) -> World:
    """The toy project, with a daemon."""
    lab.start()
    return World(lab)


@pytest.fixture
def shell(world: World) -> Iterator[OpenShell]:
    """An agent's shell in it."""
    opened = OpenShell(world.lab.environment, world.lab.project)
    yield opened
    opened.close()


@pytest.mark.parametrize(("value", "alone"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_session_show_says_whether_anybody_can_be_asked(shell: OpenShell, value: str, alone: bool) -> None:
    """As all commands take the variable."""
    code, out = shell(f"{FLAG}={value} arctl session show")
    assert (code, out.endswith(LINE)) == (0, alone)
    assert LINE not in shell("arctl session show")[1]
    assert FLAG not in shell(f"{FLAG}={value} arctl session show --json")[1]


def test_the_variable_is_never_stored(world: World, shell: OpenShell) -> None:
    """A session that begins without questions may be asked about later, by a person."""
    shell(f"export {FLAG}=1")
    for command in ("session start --seconds 60 --chain 1 --max-runs 1", "session show", "run --wait"):
        assert shell(f"arctl {command}")[0] == 0
    assert shell("arctl chain-init --new-slug 261123-next --goal less --rationale because")[0] == 0
    home = world.folder.parent
    assert [path for path in home.rglob("*") if path.is_file() and FLAG.encode() in path.read_bytes()] == []
