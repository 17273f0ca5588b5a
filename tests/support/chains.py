"""Experiments that follow each other: a lab with a parent that is over, and the call that goes on."""

import json
from pathlib import Path
from typing import Any

from tests.support.lab import SLUG, Lab

CHILD = "261123-child"
RATIONALE = "The loss still fell at the end:\n\tmore steps, a smaller rate.  \n"
# Saves a checkpoint, and says where it finds the parent's.
TRAIN = """import os
with open(os.environ["AR_RUN_DIR"] + "/ck-1", "w") as file:
    file.write("weights of {value}")
parent = os.environ.get("AR_PARENT_CKPT")
print("parent:", parent and open(parent + "/ck-1").read())
print("val/loss: {value}")
"""
SETTINGS = {"seconds": 20, "settle": 0, "checkpoint_glob": "{run_dir}/ck-*", "max_runs": 1}


def begin(lab: Lab, expr: str = SLUG, **params: Any) -> dict[str, Any]:
    """`arctl session start`."""
    settings = {**SETTINGS, **params.pop("settings", {})}
    answer: dict[str, Any] = lab.call(
        "session.start",
        project=str(lab.project),
        expr=expr,
        settings=settings,
        environment=lab.environment,
        **params,
    )
    return answer


def parent(lab: Lab, chain: int | str | None = 2, value: float = 1.0, **settings: Any) -> Lab:
    """An experiment with a best and a checkpoint, whose session is over."""
    lab.init()
    begin(lab, chain=chain, settings=settings)
    lab.write(TRAIN.format(value=value))
    assert lab.run()["verdict"] == "advance"
    return lab


def go_on(lab: Lab, slug: str = CHILD, **params: Any) -> dict[str, Any]:
    """`chain.init`; the same submit id unless another one is given."""
    given = {"submit_id": f"make {slug}", "goal": "lower it further", "rationale": RATIONALE, **params}
    answer: dict[str, Any] = lab.call(
        "chain.init", project=str(lab.project), slug=slug, environment=lab.environment, **given
    )
    return answer


def folder(lab: Lab, slug: str = CHILD) -> Path:
    """The experiment's."""
    return lab.folder.parent / slug


def chain_file(lab: Lab) -> Path:
    """The chain's."""
    return lab.folder.parent / ".chain-session.json"


def chain(lab: Lab) -> Any:
    """What stands in it."""
    return json.loads(chain_file(lab).read_bytes())


def tried(lab: Lab, value: float, expr: str) -> dict[str, Any]:
    """Edit, submit and wait; the result."""
    where = {"project": str(lab.project), "expr": expr}
    (folder(lab, expr) / "train.py").write_text(TRAIN.format(value=value))
    run = lab.call("run.submit", submit_id=f"{expr} {value}", environment=lab.environment, **where)
    result: dict[str, Any] = lab.call("run.wait", run_id=run["run_id"], **where)["result"]
    return result
