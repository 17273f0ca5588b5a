"""A scripted agent by MCP: chained experiments to the end of the budget, and no iteration that costs more."""

from pathlib import Path
from statistics import mean

import pytest

from tests.support.agents import agent
from tests.support.chains import begin, chain
from tests.support.lab import SLUG, Lab
from tests.support.looping import Looping

ITERATIONS = 100  # by hand 1,000: docs/agents.md has the figures
WINDOW = 30
ITERATION_MAX = 1024  # bytes of text and structure together, of a run with short names


def test_an_agent_runs_chained_experiments_to_the_end_of_the_budget(lab: Lab) -> None:
    """It does nothing but what the instructions and `next` say."""
    lab.start()
    lab.init()
    begin(lab, chain=2, settings={"checkpoint_glob": None, "max_runs": 4})
    with agent(lab) as client:
        looping = Looping(client)
        verdicts = [str(outcome["verdict"]) for outcome in looping.iterations()]
        assert len(verdicts) == 3 * 4
        assert verdicts.count("advance") >= 4
        assert looping.ends == [
            "chain: 2 left, max_runs(4)",
            "chain: 1 left, max_runs(4)",
            "stop: max_runs(4), chain_budget used up",
        ]
        refused = client.refused("chain_init", new_slug="261130-more", goal="more", rationale="more")
        assert "→ " in refused
        assert "arctl session start" in client.refused("run")
    assert chain(lab)["chain_trail"] == [SLUG, "261124-next", "261125-next"]


@pytest.mark.timeout(600)  # each iteration is a real run: on a loaded machine a second and more
def test_no_iteration_costs_more_than_the_first_ones(lab: Lab) -> None:
    lab.ready(settle=0, max_runs=ITERATIONS)
    with agent(lab) as client:
        looping = Looping(client)
        costs, read = [], client.read
        for _ in looping.iterations():
            costs.append(client.read - read)
            read = client.read
        assert len(costs) == ITERATIONS
        assert max(costs) <= ITERATION_MAX
        early, late = mean(costs[10 : 10 + WINDOW]), mean(costs[-WINDOW:])
        assert late <= early * 1.05, (early, late)
        assert len(str(client.do("history", param="lr")["lines"]).encode()) <= 4 << 10
        assert len(client.do("report")["text"].encode()) <= 8 << 10


def test_a_child_may_have_other_settings_and_paths_are_the_projects(lab: Lab) -> None:
    lab.start()
    lab.init()
    begin(lab, chain="unlimited", settings={"checkpoint_glob": None})
    (lab.project / "other.py").write_text('print("val/loss: 0.1")\n')
    with agent(lab) as client:
        assert client.do("run")["next"] == "chain: unlimited, max_runs(1)"
        asked = {"new_slug": "261124-b", "goal": "b", "rationale": "because", "parent_ckpt": "none"}
        assert "unknown" in client.refused("chain_init", **asked, settings={"secs": 3})
        made = client.do("chain_init", **asked, expr=SLUG, train="other.py", settings={"plateau": 7})
        assert Path(made["train_py"]).read_text() == 'print("val/loss: 0.1")\n'
        assert "chain_remaining" not in made
        again = client.do("chain_init", **asked, expr=SLUG, train="other.py", settings={"plateau": 7})
        assert again["expr"] == made["expr"]
        assert "plateau 0/7" in client.do("status", expr="261124-b")["text"]
