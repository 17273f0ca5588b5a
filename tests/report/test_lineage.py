"""The chain that led to an experiment, from what each wrote down when it was begun."""

import json
from pathlib import Path
from typing import Any

from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Primary
from ardaemon.core.summary import Link
from ardaemon.report.lineage import LINKS_MAX, lineage


def begun(project: Path, slug: str, parent: str | None = None, **facts: Any) -> Experiment:
    """An experiment's folder, with what it wrote down where it follows another one."""
    experiment = Project(project).experiment(slug)
    experiment.folder.mkdir(parents=True)
    if parent is not None:
        decision = {
            "schema": 1,
            "parent_expr": parent,
            "parent_primary": reached(1.0, "none"),
            "child_primary": {"name": "val/loss", "direction": "min"},
            "child_goal": "lower it",
            "child_mutation_scope": ["train.py"],
            "rationale": "",
            "parent_report_sha256": "",
            "created_at": "",
            "chain_position": 1,
            "submit_id": "s",
            **facts,
        }
        (experiment.folder / "chain_decision.json").write_text(json.dumps(decision))
    return experiment


def reached(value: float, run_id: str = "r0007") -> dict[str, Any]:
    return {"name": "val/loss", "direction": "min", "best_value": value, "best_run": run_id}


def test_each_link_has_its_rationale_and_what_it_reached(tmp_path: Path) -> None:
    begun(tmp_path, "261120-a")
    begun(tmp_path, "261121-b", "261120-a", parent_primary=reached(1.5), rationale="first\nclean the data")
    last = begun(tmp_path, "261122-c", "261121-b", parent_primary=reached(1.2), rationale="then lr")
    metric = Primary(metric="val/loss")
    assert lineage(last) == (
        Link(expr="261120-a", primary=metric, value=1.5, run_id="r0007"),
        Link(expr="261121-b", rationale="first clean the data", primary=metric, value=1.2, run_id="r0007"),
        Link(expr="261122-c", rationale="then lr"),
    )


def test_an_experiment_that_follows_none_has_no_chain(tmp_path: Path) -> None:
    assert lineage(begun(tmp_path, "261120-a")) == ()


def test_what_a_clone_may_hold_ends_the_chain_and_harms_nothing(tmp_path: Path) -> None:
    """A circle, a way out of the project, broken JSON, another schema, a link, a run id that is none."""
    circle = begun(tmp_path, "261120-a", "261121-b")
    begun(tmp_path, "261121-b", "261120-a", parent_primary=reached(1.0, "`x`\n# y"))
    assert [(link.expr, link.run_id) for link in lineage(circle)] == [("261121-b", None), ("261120-a", None)]
    assert lineage(begun(tmp_path, "261122-c", "../../etc")) == ()
    broken = begun(tmp_path, "261123-d", "261120-a")
    (broken.folder / "chain_decision.json").write_text('{"parent_expr": 7')
    assert lineage(broken) == ()
    (broken.folder / "chain_decision.json").write_text('{"schema": 99, "parent_expr": "261120-a"}')
    assert lineage(broken) == ()
    (broken.folder / "chain_decision.json").unlink()
    (broken.folder / "chain_decision.json").symlink_to(circle.folder / "chain_decision.json")
    assert lineage(broken) == ()


def test_a_long_chain_is_followed_a_few_links_back(tmp_path: Path) -> None:
    last = begun(tmp_path, "261120-e0")
    for number in range(1, 20):
        last = begun(tmp_path, f"261120-e{number}", f"261120-e{number - 1}")
    assert [link.expr for link in lineage(last)] == [f"261120-e{n}" for n in range(20 - LINKS_MAX, 20)]
