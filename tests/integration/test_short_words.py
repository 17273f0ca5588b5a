"""What people type for short: a run's number, a time with its unit, an experiment's name without its date."""

import pytest

from tests.support.lab import SLUG, Lab
from tests.support.shell import Shell, shells


@pytest.fixture
def shell(lab: Lab) -> Shell:
    with shells(lab) as made:
        return made


def test_a_run_by_its_number_and_an_experiment_by_its_name(shell: Shell) -> None:
    shell("run", "--wait", "--timeout", "1m")
    whole = shell("result", "r0001", "--expr", SLUG)
    assert "r0001" in whole
    name = SLUG.partition("-")[2]
    for run in ("1", "r1", "r0001"):
        assert shell("result", run, "--expr", name) == whole
    code, _, err = shell.end(shell.start("status", "--expr", "no-such-name"))
    assert code == 64
    assert f"no experiment 'no-such-name' in {shell.lab.project}\n→ known here: {SLUG}" in err


def test_of_two_experiments_of_one_name_none_is_chosen(shell: Shell) -> None:
    train = shell.lab.folder / "train.py"
    name = SLUG.partition("-")[2]
    shell(
        "init",
        f"251231-{name}",
        "--train",
        str(train),
        *"--primary-metric x --primary-direction min --goal g".split(),
    )
    code, _, err = shell.end(shell.start("status", "--expr", name))
    assert code == 64
    assert SLUG in err
    assert f"251231-{name}" in err


def test_a_time_has_its_unit(shell: Shell) -> None:
    shell("session", "set", "--stall", "2m", "--check-seconds", "1h")
    settings = shell.lab.get("session.get")["session"]["settings"]
    assert (settings["stall"], settings["check_seconds"]) == (120.0, 3600.0)
    shell("session", "set", "--stall", "none", "--settle", "0")
    settings = shell.lab.get("session.get")["session"]["settings"]
    assert (settings.get("stall"), settings["settle"]) == (None, 0.0)
    code, _, err = shell.end(shell.start("session", "set", "--stall", "soon"))
    assert code == 64
    assert "--stall 'soon': it is not a length of time" in err
