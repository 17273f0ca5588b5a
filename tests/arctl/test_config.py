"""`arctl config show | check`: the file itself, without a daemon."""

import json
import subprocess
import sys

import pytest

from tests.support.lab import Lab
from tests.support.machine import config_of, configured


def config(lab: Lab, *words: str, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "arctl", "config", *words],
        env={**lab.environment, **variables},
        cwd=lab.project,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def daemon_was_started(lab: Lab) -> bool:
    return bool(list(lab.state_home.rglob("daemon.log")))


def test_show_names_value_and_source_and_starts_no_daemon(lab: Lab) -> None:
    configured(lab, 'grace = 3\n\nhours = "20-08"\n')
    code, out, err = config(lab, "show", AR_CPU_SLOTS="2")
    assert (code, err) == (0, "")
    lines = {line.split("#")[0].strip(): line.rpartition("# ")[2] for line in out.splitlines()}
    assert lines["grace = 3.0"] == f"{config_of(lab)}:1"
    assert lines['hours = "20-08"'] == f"{config_of(lab)}:3"
    assert lines["cpu_slots = 2"] == "environment variable AR_CPU_SLOTS"
    assert lines["verify = 10.0"] == "default"
    assert "# gpus is not set" in out
    assert not daemon_was_started(lab)


def test_show_as_json_has_the_same(lab: Lab) -> None:
    configured(lab, "grace = 3\n")
    answer = json.loads(config(lab, "show", "--json")[1])
    assert answer["file"] == str(config_of(lab))
    grace = {
        "name": "grace",
        "value": 3.0,
        "from": "file",
        "line": 1,
        "variable": None,
        "until_restart": None,
    }
    assert grace in answer["settings"]


def test_check_is_content_with_a_right_file_and_with_none(lab: Lab) -> None:
    assert config(lab, "check") == (0, f"there is no file {config_of(lab)}: the defaults hold\n", "")
    config_of(lab).parent.mkdir(parents=True)
    config_of(lab).symlink_to("gone.toml")
    assert config(lab, "check") == (0, f"{config_of(lab)} leads to no file: the defaults hold\n", "")
    config_of(lab).unlink()
    configured(lab, "grace = 3\ncpu_slots = 2\n")
    assert config(lab, "check") == (0, f"{config_of(lab)} is right: grace, cpu_slots\n", "")


def test_a_command_that_is_not_there_is_a_warning(lab: Lab) -> None:
    """It is no fault: the daemon may have another PATH, and the file may be for several machines."""
    for command, said in (
        ("~/bin/notify -a", f"{lab.root}/h/bin/notify"),
        ("no-such-command", "no-such-command"),
    ):
        configured(lab, f'on_event = "{command}"\n')
        code, out, err = config(lab, "check")
        assert (code, out) == (0, f"{config_of(lab)} is right: on_event\n")
        assert err == f"warning: on_event: '{said}' is no program that this shell finds\n"
    configured(lab, 'on_event = "cat"\n')
    assert config(lab, "check")[2] == ""


def test_who_cannot_start_the_daemon_for_a_fault_is_told_how_to_see_them_all(lab: Lab) -> None:
    configured(lab, "grase = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "arctl", "daemon", "start"],
        env=lab.environment,
        cwd=lab.project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 69
    assert done.stderr.endswith("arctl config check\n")


@pytest.mark.parametrize("word", ["check", "show"])
def test_a_fault_is_named_with_file_and_line_on_stderr(lab: Lab, word: str) -> None:
    configured(lab, "verify = 3\ngrase = 3\ncpu_slots = 0\n")
    code, out, err = config(lab, word)
    assert (code, out) == (64, "")
    assert (
        f"Error: {config_of(lab)}: line 2: there is no setting 'grase'; did you mean grace?; line 3: " in err
    )
    assert err.endswith("arctl config check\n")
    faults = json.loads(config(lab, word, "--json")[2])["error"]["data"]["faults"]
    assert [fault["line"] for fault in faults] == [2, 3]
    assert not daemon_was_started(lab)
