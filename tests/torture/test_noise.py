"""SIGKILL of the daemon before every operation of a noise verdict: each seed is launched once."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from tests.support.lab import Lab
from tests.support.promises import FULL, some
from tests.torture.points import Point, Record, none_wrong, points, recorded, world
from tests.torture.story import Candidate, Story

QUICK = 6
ENTRIES = 5  # that are written in any case: of two candidates, and of three launches of the best
# Each launch leaves a mark; the luck is the seed's, and an edit keeps it.
SCRIPT = """import os
LUCK = [0.0021, -0.0034, 0.0012, 0.0007]
with open(os.environ["AR_EXPR_DIR"] + "/../../marks", "a") as file:
    file.write(os.environ["AR_RUN_ID"] + " with " + os.environ["AR_SEED"] + "\\n")
print("val/loss:", round({value} + LUCK[int(os.environ["AR_SEED"])], 6))
"""
MARKS = ["r0001 with 0", "r0001m1 with 1", "r0001m2 with 2", "r0001m3 with 3", "r0002 with 0", "r0002 with 1"]


class Noisy(Candidate):
    """Its script is its body."""

    @property
    def text(self) -> str:
        return self.body


class NoiseStory(Story):
    """A baseline, whose noise is measured, and an edit that is confirmed with a second seed."""

    candidates = (
        Noisy("baseline", SCRIPT.format(value=1.0), "advance"),
        Noisy("better", SCRIPT.format(value=0.985), "advance"),
    )
    settings: ClassVar[Mapping[str, Any]] = {**Story.settings, "verdict": "noise"}


def each_seed_once(lab: Lab, _story: Story, _point: Point) -> None:
    """Six launches, two verdicts, and the best with the values of its launches."""
    assert sorted((lab.project / "marks").read_text().splitlines()) == MARKS
    result, best = lab.read("runs/r0002/result.json"), lab.read("best.json")
    values = [{"seed": 0, "value": 0.9871}, {"seed": 1, "value": 0.9816}]
    assert (result["verdict"], result["values"]) == ("advance", values), result["said"]
    assert (best["run_id"], best["values"]) == ("r0002", [0.9871, 0.9816])
    assert best["earlier"] == [{"run_id": "r0001", "values": [1.0021, 0.9966, 1.0012, 1.0007]}]
    rows = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["r0001", "r0002"]
    counters = lab.get("session.get")["session"]["counters"]
    assert (counters["launches"], counters["confirmations"]) == (6, 4)


def _comes_again(point: Point) -> bool:
    """How many cgroups and samples there are is a matter of timing.

    So it is which launches of the best have not ended when the verdict needs them: their entries are written
    once more, to bring them forward.
    """
    if point.name == "cgroup" or "samples.jsonl" in point.subject:
        return False
    forward = "/active/.HASH-r0001m" in point.subject and point.nth > 1
    return not forward and not (point.subject.endswith("/active") and point.nth > ENTRIES)


@pytest.mark.timeout(900 if FULL else 120)
@pytest.mark.promise("noise")
def test_a_noise_verdict_is_the_same_whenever_the_daemon_is_killed(record_property: Record) -> None:
    with world() as lab:
        operations, _ = recorded(lab, NoiseStory)
    found = [point for point in points(operations) if point.who == "daemon" and _comes_again(point)]
    assert len(found) > 150, "the story has become too short to prove anything"
    # What is written of a rerun of the best is what no other story has.
    of_best = [point for point in found if "m1" in point.subject or "best.json" in point.subject]
    ends = [point for point in found if "m1/result.json" in point.subject]
    mine = list(dict.fromkeys([*some(found, QUICK), *some(of_best, QUICK), *some(ends, QUICK)]))
    none_wrong(mine, "kill", each_seed_once, record_property, NoiseStory)
