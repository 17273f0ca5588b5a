"""SIGKILL of the daemon around every operation of launches on an idle place: measuring goes on by itself."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.promises import FULL, some
from tests.torture.points import Point, Record, none_wrong, points, recorded, world
from tests.torture.story import PATIENCE_S, Candidate, Story
from tests.torture.test_noise import SCRIPT, Noisy

QUICK = 3
LAUNCHES = ("r0001m1", "r0001m2", "r0001m3", "r0001m0x2", "r0001m0x3")
MARKS = [
    "r0001 with 0",
    "r0001m0x2 with 0",
    "r0001m0x3 with 0",
    "r0001m1 with 1",
    "r0001m2 with 2",
    "r0001m3 with 3",
    "r0002 with 0",
]


class IdleStory(Story):
    """A baseline that an idle place launches again, with nobody's help; when that is over, an edit."""

    candidates = (
        Noisy("baseline", SCRIPT.format(value=1.0), "advance"),
        Noisy("worse", SCRIPT.format(value=1.1), "revert"),
    )
    settings: ClassVar[Mapping[str, Any]] = {**Story.settings, "measure_noise": True}

    def judged(self, candidate: Candidate) -> dict[str, Any]:
        """Wait for the verdict, then for the launches on idle places."""
        found = super().judged(candidate)
        self.insist(lambda: wait_until(self._measured, "the launches on the idle place", PATIENCE_S))
        return found

    def _measured(self) -> bool:
        return all((self.lab.folder / "runs" / name / "result.json").exists() for name in LAUNCHES)


def each_once(lab: Lab, story: Story, _point: Point) -> None:
    """Each launch was made once, its value is where it belongs, and the verdicts are as undisturbed."""
    assert sorted((lab.project / "marks").read_text().splitlines()) == MARKS
    best = lab.read("best.json")
    assert (best["run_id"], best["values"]) == ("r0001", [1.0021, 0.9966, 1.0012, 1.0007])
    shown = {name: lab.read(f"runs/{name}/result.json")["values"] for name in LAUNCHES}
    assert shown["r0001m0x2"] == shown["r0001m0x3"] == [{"seed": 0, "value": 1.0021}]
    assert shown["r0001m2"] == [{"seed": 2, "value": 1.0012}]
    verdicts = [lab.read(f"runs/{run}/result.json")["verdict"] for run in ("r0001", "r0002")]
    assert verdicts == [candidate.verdict for candidate in story.candidates]
    rows = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["r0001", "r0002"]
    counters = lab.get("session.get")["session"]["counters"]
    assert (counters["launches"], counters["confirmations"]) == (7, 5)


def _comes_again(point: Point) -> bool:
    """How many cgroups and samples there are is a matter of timing."""
    return point.who == "daemon" and point.name != "cgroup" and "samples.jsonl" not in point.subject


def _first(found: list[Point], subject: str) -> int:
    return next(at for at, point in enumerate(found) if subject in point.subject)


@pytest.mark.timeout(1800 if FULL else 300)  # what does not go on is waited for, 30 s each
@pytest.mark.promise("idle-launches")
def test_launches_on_an_idle_place_go_on_whenever_the_daemon_is_killed(record_property: Record) -> None:
    with world() as lab:
        operations, _ = recorded(lab, IdleStory)
    found = [point for point in points(operations) if _comes_again(point)]
    begin, first, second = (_first(found, name) for name in ("r0001/result.json", *LAUNCHES[:2]))
    queued = _first(found, "active/HASH-r0001m2")
    assert begin < first < second < queued
    # From the end of the baseline, over a whole launch, until the one after it is at work.
    whole, laid_out = found[begin : queued + 3], found[second : queued + 1]
    value = [point for point in found[first:second] if "best.json" in point.subject]
    assert len(whole) > 90, "the launches have become too short to prove anything"
    mine = list(dict.fromkeys([*some(whole, QUICK), *some(laid_out, QUICK), *some(value, 1)]))
    none_wrong(mine, "kill", each_once, record_property, IdleStory)
