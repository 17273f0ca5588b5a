"""The budget of a chain: who may begin one, which experiment is meant in it, and how it ends."""

import json
from typing import Any

import pytest

from ardaemon.core.errors import AmbiguousExperiment, CorruptState, Refused, SessionNotLive, UsageError
from tests.support.chains import parent
from tests.support.lab import SLUG, Lab
from tests.support.shell import RUNNER, Shell

OTHER = "261123-other"


def begin(lab: Lab, expr: str = SLUG, **params: Any) -> dict[str, Any]:
    """`arctl session start`."""
    answer: dict[str, Any] = lab.call(
        "session.start",
        project=str(lab.project),
        expr=expr,
        settings={"seconds": 20, "settle": 0},
        environment=lab.environment,
        **params,
    )
    return answer


def init(lab: Lab, slug: str) -> None:
    params = {
        "primary_metric": "val/loss",
        "primary_direction": "min",
        "train": str(lab.project / "train.py"),
    }
    lab.call("experiment.init", project=str(lab.project), slug=slug, **params)


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Two experiments without a session."""
    lab.start()
    lab.init()
    init(lab, OTHER)
    return lab


def chain(lab: Lab) -> Any:
    return json.loads((lab.project / ".autoresearch/.chain-session.json").read_bytes())


def test_a_chain_begins_anew_with_the_experiment_that_begins_it(two: Lab) -> None:
    assert begin(two, chain=2)["chain_remaining"] == 2
    begun = chain(two)
    assert (begun.pop("generation"), len(begun.pop("lineage"))) == (1, 16)
    assert begun == {
        "schema": 1,
        "current_slug": SLUG,
        "chain_mode": "max_n",
        "chain_remaining": 2,
        "chain_trail": [SLUG],
        "making": None,
    }
    with pytest.raises(Refused, match=f"the chain of {SLUG} goes on, with 2 left"):
        begin(two, OTHER, chain=1)
    assert chain(two)["current_slug"] == SLUG
    assert not two.call("session.get", project=str(two.project), expr=OTHER)["session"]["live"]
    begin(two, OTHER, chain="unlimited", force=True)
    assert (chain(two)["chain_mode"], chain(two)["chain_trail"]) == ("unlimited", [OTHER])
    assert two.get("session.get")["chain_mode"] is None


def test_a_chain_that_is_used_up_or_stopped_is_in_nobodys_way(two: Lab) -> None:
    begin(two, chain=0)
    begin(two, OTHER, chain=3)
    view = two.call("chain.stop", project=str(two.project))
    assert (view["chain_mode"], view["chain_remaining"], view["expr"]) == ("disabled", 0, OTHER)
    two.get("session.stop")
    begin(two, chain=1)
    assert chain(two)["chain_trail"] == [SLUG]


@pytest.mark.parametrize("budget", [-1, 10**9])
def test_a_budget_that_is_none_changes_nothing(two: Lab, budget: int) -> None:
    with pytest.raises(UsageError, match=f"--chain {budget}: it must be between 0 and 1,000,000"):
        begin(two, chain=budget)
    assert not two.get("session.get")["session"]["live"]


def test_a_budget_that_an_earlier_version_took_holds_up_no_verdict(two: Lab) -> None:
    begin(two)
    facts = {"schema": 1, "current_slug": SLUG, "chain_remaining": 10**9, "chain_trail": [SLUG]}
    (two.project / ".autoresearch/.chain-session.json").write_text(json.dumps(facts))
    assert two.tried(1.0)["chain_remaining"] == 10**9


def test_what_a_loop_has_to_do_next_is_said_in_the_result(two: Lab) -> None:
    begin(two, chain=1)
    first = two.tried(1.0)
    assert (first["next"], first["chain_remaining"], first["chain_over"]) == ("continue", 1, False)
    two.get("session.stop")
    settings = {"seconds": 20, "settle": 0, "max_runs": 1}
    where: dict[str, Any] = {"project": str(two.project), "expr": SLUG, "environment": two.environment}
    two.call("session.start", settings=settings, **where)
    over = two.tried(2.0)
    assert (over["next"], over["terminated_by"]) == ("chain: 1 left, max_runs(1)", "max_runs")
    assert not over["chain_over"]
    two.call("session.start", settings=settings, chain=0, **where)
    over = two.tried(3.0)
    assert (over["next"], over["chain_over"]) == ("stop: max_runs(1), chain_budget used up", True)
    two.call("session.start", settings=settings, chain="unlimited", **where)
    over = two.tried(4.0)
    assert (over["next"], over["chain_remaining"]) == ("chain: unlimited, max_runs(1)", None)
    two.call("chain.stop", project=str(two.project))
    two.call("session.start", settings=settings, **where)
    over = two.tried(5.0)
    assert (over["next"], over["chain_over"], over["chain_remaining"]) == ("stop: max_runs(1)", False, None)


def test_where_nobody_can_be_asked_the_chains_current_experiment_is_meant(two: Lab) -> None:
    begin(two, chain=1)
    begin(two, OTHER)
    where = {"project": str(two.project)}
    with pytest.raises(AmbiguousExperiment):
        two.call("status.get", **where)
    assert two.call("status.get", expr="@chain", **where)["expr"] == SLUG
    two.environment["AR_NONINTERACTIVE"] = "1"
    shell = Shell(two)
    assert shell("status", "--compact").startswith(f"expr: {SLUG}\n")
    assert shell("status", "--compact", "--expr", OTHER).startswith(f"expr: {OTHER}\n")
    two.environment["AR_EXPR"] = OTHER
    assert shell("status", "--compact").startswith(f"expr: {OTHER}\n")
    del two.environment["AR_EXPR"]
    two.get("session.stop")
    assert shell("status", "--compact").startswith(f"expr: {SLUG}\n"), "before the only live one"
    two.call("chain.stop", **where)
    assert shell("status", "--compact").startswith(f"expr: {OTHER}\n"), "the chain is over"


def test_the_chain_is_shown_with_what_is_left_and_each_links_best(two: Lab) -> None:
    shell = Shell(two)
    assert "has no chain" in shell.end(shell.start("chain"))[2]
    assert shell("session", "start", "--expr", SLUG, "--seconds", "20", *RUNNER, "--chain", "2").endswith(
        "chain: 2 left\n"
    )
    two.tried(1.5)
    assert shell("chain") == (
        f"chain: 2 left, current {SLUG}\n  1. {SLUG} — best val/loss=1.5 @ r0001 (live)\n"
    )
    assert "\nchain: 2 left, experiment 1\n" in shell("status", "--compact", "--expr", SLUG)
    assert shell.json("chain")["links"][0]["best"]["value"] == 1.5
    assert shell("chain", "stop") == f"chain: stopped, current {SLUG}\n"
    assert "chain:" not in shell("status", "--compact", "--expr", SLUG)


def test_a_file_of_before_is_read_as_it_was(two: Lab) -> None:
    path = two.project / ".autoresearch/.chain-session.json"
    before = {"schema": 1, "current_slug": SLUG, "chain_remaining": None, "chain_trail": [SLUG]}
    where = {"project": str(two.project)}
    for remaining, mode in ((None, "unlimited"), (2, "max_n")):
        path.write_text(json.dumps(before | {"chain_remaining": remaining}))
        view = two.call("chain.get", **where)
        assert (view["chain_mode"], view["chain_remaining"]) == (mode, remaining)


@pytest.mark.parametrize(
    "fault",
    [
        {"current_slug": "../../etc"},
        {"chain_trail": ["..", SLUG]},
        {"chain_trail": [SLUG] * 5000},
        {"chain_remaining": -1},
        {"chain_mode": "endless"},
    ],
)
def test_a_chain_of_a_clone_that_is_none_is_named_and_the_experiment_is_shown(
    two: Lab, fault: dict[str, Any]
) -> None:
    begin(two, chain=2)
    path = two.project / ".autoresearch/.chain-session.json"
    path.write_text(json.dumps(chain(two) | fault))
    with pytest.raises(CorruptState, match=r"chain-session\.json cannot be read") as error:
        two.call("chain.get", project=str(two.project))
    assert (
        error.value.mend
        == f"put back a copy of it; or, if it is not needed, move it away: mv {path} {path}.old"
    )
    status = two.get("status.get")
    assert status["chain"] is None
    assert "chain-session.json cannot be read" in status["warnings"][0]


@pytest.mark.parametrize(("budget", "left"), [(2, ", 2 left"), ("unlimited", "")])
def test_a_session_that_is_over_says_how_its_chain_goes_on(lab: Lab, budget: Any, left: str) -> None:
    lab.start()
    parent(lab, chain=budget)
    with pytest.raises(SessionNotLive) as refused:
        lab.submit()
    assert f"go on with: arctl chain-init (its chain goes on{left}); or " in refused.value.mend
    lab.call("chain.stop", project=str(lab.project))
    with pytest.raises(SessionNotLive) as refused:
        lab.submit()
    assert "chain-init" not in refused.value.mend
