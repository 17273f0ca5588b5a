"""A command that an error names is one that arctl takes, and means what the error is about."""

import shlex
from typing import Any

import pytest

from arctl.commands.session import SETTINGS, start
from ardaemon.core.mends import session_again
from ardaemon.core.model import Settings

GIVEN: dict[str, Any] = {
    "seconds": 1234567.5,
    "runner": "uv run 'my train.py' train.py",
    "exec": "live",
    "max_runs": 3,
    "plateau": 4,
    "threshold": -0.125,
    "constraints": ("a<=1", "b >= 2"),
    "metrics": "log",
    "metric_regex": r"(\d+) $x",
    "metric_command": 'python "read it.py"',
    "metric_path": "out/*.csv",
    "value": 1000,
    "checkpoint_glob": "{run_dir}/ck-*",
    "capture": "auto",
    "keep_checkpoints": 2,
    "startup": 5.0,
    "ready_regex": "^ready",
    "stall": 60.0,
    "settle": 0.0,
    "gpus": 0,
    "share": True,
    "vram": 6144.0,
    "max_vram": 10000000.0,
    "max_rss": 0.5,
    "on_tainted": "accept",
}


def taken(command: str) -> dict[str, Any]:
    """The settings that `arctl session start` makes of the command."""
    with start.make_context("start", shlex.split(command)[3:]) as context:
        named = {name: context.params[name] for name in SETTINGS if context.params[name] is not None}
        return {**named, "constraints": context.params["constraints"]}


def test_every_setting_comes_back() -> None:
    assert set(GIVEN) == set(Settings.__struct_fields__)
    assert taken(session_again(Settings(**GIVEN))) == GIVEN


def test_what_is_as_by_default_is_left_out() -> None:
    assert session_again(Settings(seconds=60)) == "arctl session start --resume continue --seconds 60"


@pytest.mark.parametrize("runner", ["a\nb train.py", "\x1b[2J train.py", "a" * 5000])
def test_what_cannot_be_copied_from_a_terminal_is_left_to_the_reader(runner: str) -> None:
    command = session_again(Settings(seconds=60, runner=runner))
    assert command.isprintable()
    assert len(command) < 200
