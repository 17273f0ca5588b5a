"""A command that an error names is one that arctl takes, and means what the error is about."""

import shlex
from typing import Any

import pytest

from arctl.commands.session import start
from arctl.session_options import take_settings
from ardaemon.core.mends import go_on, session_anew
from ardaemon.core.model import OF_A_NEW_SESSION, Settings

GIVEN: dict[str, Any] = {
    "seconds": 1234567.5,
    "runner": "uv run 'my train.py' train.py",
    "exec": "live",
    "max_runs": 3,
    "plateau": 4,
    "threshold": -0.125,
    "max_hours": 7.5,
    "max_gpu_hours": 0.25,
    "max_failures": 6,
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
    "max_log": 256.0,
    "on_tainted": "accept",
    "on_nan": "ignore",
    "checks": ("python check.py {run_dir}", "true"),
    "check_seconds": 60.0,
    "prefer_shorter": True,
    "verdict": "noise",
    "noise_budget": 0.1,
    "max_attempts": 8,
    "min_delta": 0.001,
    "max_launches": 400,
    "measure_noise": True,
    "audit": "python audit.py {run_dir}",
    "audit_seconds": 90.0,
    "audit_direction": "max",
}


def taken(command: str) -> dict[str, Any]:
    """The settings that `arctl session start` makes of the command."""
    with start.make_context("start", shlex.split(command)[3:]) as context:
        return take_settings(dict(context.params))


def test_every_setting_comes_back() -> None:
    assert set(GIVEN) == set(Settings.__struct_fields__)
    command = session_anew(Settings(**GIVEN), "261122-lr")
    assert taken(command) == {name: list(v) if isinstance(v, tuple) else v for name, v in GIVEN.items()}


def test_what_is_as_by_default_is_left_out_but_for_the_runner_which_is_chosen_anew() -> None:
    command = session_anew(Settings(seconds=60, **OF_A_NEW_SESSION), "261122-lr")
    assert command == (
        "arctl session start --resume continue --seconds 60 --runner 'python train.py' --expr 261122-lr"
    )
    assert "--max-log none" in session_anew(Settings(seconds=60), "261122-lr"), "a new one would have a limit"


def test_the_next_session_needs_no_setting_of_the_last_one() -> None:
    assert taken(go_on("261122-lr")) == {}


@pytest.mark.parametrize("runner", ["a\nb train.py", "\x1b[2J train.py", "a" * 5000])
def test_what_cannot_be_copied_from_a_terminal_is_left_to_the_reader(runner: str) -> None:
    command = session_anew(Settings(seconds=60, runner=runner), "261122-lr")
    assert command.isprintable()
    assert len(command) < 200
