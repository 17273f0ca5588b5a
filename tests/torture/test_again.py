"""SIGKILL of the daemon before every operation of a run that is made again: one verdict, no attempt twice."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from tests.support.lab import Lab
from tests.support.machine import with_gpus
from tests.support.promises import FULL, some
from tests.torture.points import Point, Record, none_wrong, points, recorded, world
from tests.torture.story import Candidate, Story

QUICK = 6
# Each launch leaves a mark; the first one runs out of memory on the GPU that it has to share.
OOM = """import os
with open(os.environ["AR_EXPR_DIR"] + "/../../marks", "a") as file:
    file.write(os.environ["AR_RUN_ID"] + " a" + os.environ["AR_ATTEMPT"] + "\\n")
open(os.environ["AR_RUN_DIR"] + "/state.pt", "w").write("state of a" + os.environ["AR_ATTEMPT"])
if os.environ["AR_ATTEMPT"] == "1":
    raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
print("val/loss: 0.5")
"""


class Again(Candidate):
    """Its script is its body."""

    @property
    def text(self) -> str:
        return self.body


class AgainStory(Story):
    """One run on a GPU of the stand-in's, which others might share."""

    candidates = (Again("oom", OOM, "advance"),)
    settings: ClassVar[Mapping[str, Any]] = {**Story.settings, "share": True, "vram": 1000.0}

    def __init__(self, lab: Lab, mend: Callable[[], None] = lambda: None) -> None:
        super().__init__(lab, mend)
        with_gpus(lab, 1)


def judged_once_after_two_attempts(lab: Lab, story: Story, _point: Point) -> None:
    """Two launches, one verdict, and the second one's checkpoint."""
    run_id = story.runs["oom"]
    result = lab.read(f"runs/{run_id}/result.json")
    assert (result["verdict"], result["attempts"], result["primary"]["value"]) == ("advance", 2, 0.5), result
    assert (lab.project / "marks").read_text().splitlines() == [f"{run_id} a1", f"{run_id} a2"]
    assert (lab.folder / "results.tsv").read_text().count(run_id) == 1
    assert (lab.folder / "best_ckpt/state.pt").read_text() == "state of a2"
    assert (lab.folder / f"runs/{run_id}/a1/job/state.pt").read_text() == "state of a1"


def _comes_again(point: Point) -> bool:
    """How many cgroups and samples there are is a matter of timing."""
    return point.name != "cgroup" and "samples.jsonl" not in point.subject


def handed_over(found: list[Point]) -> list[Point]:
    """Right before a shim gets its attempt, and right after: what is on the disk then says which it is."""
    return [point for at in range(len(found)) if found[at].name == "give" for point in found[at : at + 2]]


@pytest.mark.timeout(900 if FULL else 600)
@pytest.mark.promise("made-again")
def test_a_run_that_is_made_again_has_one_verdict_whenever_the_daemon_is_killed(
    record_property: Record,
) -> None:
    with world() as lab:
        operations, _ = recorded(lab, AgainStory)
    found = [point for point in points(operations) if point.who == "daemon" and _comes_again(point)]
    assert len(found) > 60, "the story has become too short to prove anything"
    mine = list(dict.fromkeys([*some(found, QUICK), *handed_over(found)]))
    none_wrong(mine, "kill", judged_once_after_two_attempts, record_property, AgainStory)
