"""The settings of a session are the next one's, and `session set` changes those of a live one."""

import re
import shlex
from typing import Any

import pytest

from ardaemon.core.errors import Refused, SecondsNeeded, SessionNotLive, UsageError
from tests.integration.test_started_elsewhere import as_another_user, change
from tests.support.jobs import launched
from tests.support.lab import LIMIT_S, SLUG, Lab
from tests.support.shell import UNTIL_TOLD, Shell

GIVEN = {
    "seconds": 20.0,
    "settle": 1.0,
    "max_runs": 1,
    "metric_regex": r"val/loss: (\S+)",
    "constraints": ["peak_rss_mb<=90000", "steps >= 1"],
    "threshold": -9.5,
    "checkpoint_glob": "{run_dir}/ck-*",
    "stall": 15.0,
    "share": True,
    "vram": 6144.0,
    "max_rss": 90000.0,
}


def start(lab: Lab, **params: Any) -> dict[str, Any]:
    """`arctl session start`, as this version's client asks for it."""
    answer: dict[str, Any] = lab.get("session.start", environment=lab.environment, **params)
    return answer


def next_of(lab: Lab, **params: Any) -> dict[str, Any]:
    """Stop the session and start the next: its settings."""
    lab.get("session.stop")
    settings: dict[str, Any] = start(lab, **params)["session"]["settings"]
    return settings


def test_the_advised_command_works_as_printed_and_loses_nothing(lab: Lab) -> None:
    lab.ready(**(GIVEN | {"seconds": 19}))
    shell = Shell(lab)
    lab.tried(1.0)
    start(lab, given=GIVEN, ack_baseline=True)  # the limit is another now
    lab.tried(2.0)
    code, _, error = shell.end(shell.start("run"))
    assert code == 65
    command = re.search(r"go on with: (arctl .*)", error)
    assert command is not None
    assert command[1] == f"arctl session start --resume continue --expr {SLUG}"
    shown = shell(*shlex.split(command[1])[1:])
    session = lab.get("session.get")["session"]
    assert session["settings"] == GIVEN
    assert (session["live"], session["resume_mode"], session["baseline_acknowledged"]) == (
        True,
        "continue",
        True,
    )
    (line,) = (line for line in shown.splitlines() if line.startswith("inherited: "))
    others = {"runner", "max_log", "baseline_acknowledged"}  # as an earlier version, it had no limit on logs
    assert set(line.removeprefix("inherited: ").split(", ")) == {*GIVEN, *others}
    assert lab.tried(0.5)["verdict"] == "revert", "a constraint that is kept is not met"


def test_what_is_given_replaces_and_none_clears(lab: Lab) -> None:
    lab.ready(**(GIVEN | {"plateau": 3}))
    shell = Shell(lab)
    lab.get("session.stop")
    words = "--max-runs 9 --threshold none --constraint a<=1 --no-share --vram none --plateau inherit"
    view = shell.json("session", "start", *words.split())
    assert view["session"]["settings"] == {
        **{name: value for name, value in GIVEN.items() if name not in ("threshold", "share", "vram")},
        "max_runs": 9,
        "constraints": ["a<=1"],
        "plateau": 3,
    }
    assert "max_runs" not in view["inherited"]
    assert {"plateau", "stall"} <= set(view["inherited"])
    assert "constraints" not in next_of(lab, given={"constraints": None})
    lab.get("session.stop")
    view = shell.json("session", "start", "--defaults", "--seconds", "7", "--runner", "none")
    assert view["session"]["settings"].keys() == {"seconds", "runner", "max_log"}
    assert view["inherited"] == []


def test_a_client_of_an_earlier_version_sends_all_settings_and_inherits_none(lab: Lab) -> None:
    lab.ready(plateau=3)
    lab.get("session.stop")
    assert lab.session()["session"]["settings"] == {"seconds": LIMIT_S, "settle": 1.0}


def test_without_anything_to_inherit_the_limit_is_asked_for(lab: Lab) -> None:
    lab.start()
    lab.init()
    before = (lab.folder / ".ar-session.json").read_bytes()
    code, _, error = Shell(lab).end(Shell(lab).start("session", "start", "--plateau", "3"))
    assert (code, error.splitlines()[0]) == (64, "Error: missing: --seconds")
    with pytest.raises(UsageError, match="--seconds cannot be cleared"):
        start(lab, given={"seconds": None})
    assert (lab.folder / ".ar-session.json").read_bytes() == before


def test_the_acknowledged_baseline_needs_no_second_word_until_the_conditions_change(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    assert next_of(lab, given={"seconds": 5}, ack_baseline=True)["seconds"] == 5
    next_of(lab)
    next_of(lab, given={"plateau": 7})  # nothing of the conditions
    lab.get("session.stop")
    for changed in ({"given": {"seconds": 6}}, {"given": {"seconds": 5}, "defaults": True}):
        with pytest.raises(Refused, match="other settings"):
            start(lab, **changed)
    assert start(lab)["inherited"][-1] == "baseline_acknowledged"
    assert next_of(lab, resume="fresh")["seconds"] == 5
    assert not lab.get("session.get")["session"]["baseline_acknowledged"], "there is none"


@pytest.mark.promise("trust")
@pytest.mark.parametrize("live", [True, False])
def test_nothing_is_inherited_from_the_session_of_a_clone(lab: Lab, live: bool) -> None:
    ran = lab.root / "ran"
    lab.ready(runner=f"/usr/bin/touch {ran} train.py", plateau=7)
    if not live:
        lab.get("session.stop")
    change(lab, lambda facts: facts.update(baseline_acknowledged=True))
    as_another_user(lab)
    with pytest.raises(SecondsNeeded, match=r"started elsewhere.*would run: runner '/usr/bin/touch") as asked:
        start(lab)
    view = start(lab, given={"seconds": 20})
    assert view["session"]["settings"].keys() == {"seconds", "runner", "max_log"}
    assert "touch" not in view["session"]["settings"]["runner"]
    assert (view["inherited"], view["session"]["baseline_acknowledged"]) == ([], False)
    assert any("nothing is inherited" in line for line in view["warnings"])
    assert lab.tried(1.0)["status"] == "ok"
    assert not ran.exists()
    lab.get("session.stop")
    Shell(lab)(*shlex.split(asked.value.mend.rpartition(": ")[2])[1:], "--ack-baseline")  # as printed
    assert lab.get("session.get")["session"]["settings"]["plateau"] == 7


# --- session set ---


def test_a_live_session_takes_other_limits_at_once(lab: Lab) -> None:
    lab.ready(plateau=9)
    for value in (1.0, 2.0, 2.0):
        lab.tried(value)
    shown = Shell(lab)("session", "set", "--plateau", "2", "--max-runs", "50")
    assert "plateau 2/2, max_runs 3/50" in shown
    assert "--max-runs, --plateau: from the next verdict or rerun on; values stay comparable" in shown
    assert "--plateau 2 is reached already (2): the next verdict or rerun ends the session" in shown
    assert lab.tried(3.0)["terminated_by"] == "plateau"
    with pytest.raises(SessionNotLive, match=r"is over \(plateau\)"):
        lab.get("session.set", given={"plateau": 5})


def test_a_rerun_ends_a_session_whose_limit_is_reached_as_it_was_said(lab: Lab) -> None:
    lab.ready()
    for value in (1.0, 2.0):
        lab.tried(value)
    said = lab.get("session.set", given={"max_launches": 1})["said"]
    assert "--max-launches 1 is reached already (2): the next verdict or rerun ends the session" in said
    (again,) = lab.get("run.rerun", run_id="r0002", environment=lab.environment)["runs"]
    assert lab.wait(again)["result"]["terminated_by"] == "max_launches"


@pytest.mark.parametrize("killed", [False, True], ids=["the same daemon", "another daemon"])
def test_a_run_that_waits_is_launched_with_the_changed_settings(lab: Lab, killed: bool) -> None:
    lab.ready(stall=90)  # the first one is silent until it is told
    first = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    second = lab.submit()["run_id"]
    said = lab.get("session.set", given={"stall": 170, "constraints": ["steps>=1"]})["said"]
    assert [line.partition(": for runs that start from now on; ")[::2] for line in said] == [
        ("--constraint", "the best stays the one to beat, and is not judged again"),
        ("--stall", "values stay comparable"),
    ]
    if killed:
        lab.kill()
        lab.start()
    (lab.root / "go").touch()
    assert lab.wait(first)["result"]["valid"]
    result = lab.wait(second)["result"]
    assert (result["status"], result["valid"]) == ("ok", False)
    assert lab.read(f"runs/{second}/run.json")["settings"]["stall"] == 170
    assert lab.read(f"runs/{first}/run.json")["settings"]["stall"] == 90


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"runner": "python -O train.py"}, "--runner"),
        ({"seconds": 5, "plateau": 3}, "--seconds"),
        ({"value": "best"}, "--value"),
        ({"metric_regex": r"(\d+)", "gpus": 0}, "--metric-regex, --gpus"),
    ],
)
def test_a_change_by_which_values_could_not_be_compared_is_refused(
    lab: Lab, given: dict[str, Any], named: str
) -> None:
    lab.ready()
    before = (lab.folder / ".ar-session.json").read_bytes()
    with pytest.raises(Refused) as refused:
        lab.get("session.set", given=given)
    assert set(refused.value.message.partition(": ")[0].split(", ")) == set(named.split(", "))
    assert "could not be compared" in refused.value.message
    for wrong in ({}, {"plateau": 0}):
        with pytest.raises(UsageError):
            lab.get("session.set", given=wrong)
    assert (lab.folder / ".ar-session.json").read_bytes() == before


@pytest.mark.promise("trust")
def test_a_session_that_somebody_else_started_is_not_changed(lab: Lab) -> None:
    lab.ready(runner="/bin/sh train.py", max_hours=1e-9)
    as_another_user(lab)
    before = (lab.folder / ".ar-session.json").read_bytes()
    with pytest.raises(SessionNotLive, match="was started elsewhere"):
        lab.get("session.set", given={"plateau": 3})
    with pytest.raises(SessionNotLive, match="was started elsewhere"):
        lab.submit()
    assert (lab.folder / ".ar-session.json").read_bytes() == before, "its hours are nobody's business here"
