"""A power cut at any moment: what was acknowledged is there, and everything goes on."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from ardaemon.core.errors import ArdaemonError
from tests.support.lab import Lab, wait_until
from tests.support.promises import FULL, some
from tests.torture import disk
from tests.torture.points import CHUNKS, PROGRAM, world
from tests.torture.recording import empty_disk, recorded_whole
from tests.torture.story import CANDIDATES, PRINT, SCRIPT, Candidate, Story

# A chunk costs a story and the model of its disks, as much as 40 states cost: `make test` has one.
PARTS = CHUNKS if FULL else 1
QUICK = 40  # states in `make test`
ENOUGH = 2  # failures of a chunk in `make test`: each may take as long as a wait
# The first run that saves something: its end is on the disk, its decision is.
TELLING = re.compile(r"^fsync_folder \S*/runs/r0002(/a1)?$")
AFTER = Candidate("after", PRINT.format(value=0.01), "advance")
SAVED = {c.name: f"state of {c.name}" * 99 for c in CANDIDATES if "state.pt" in c.body}


@dataclass
class Told:
    """What clients had been told when the power went."""

    session: bool = False
    runs: set[str] = field(default_factory=set)
    results: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    launched: set[str] = field(default_factory=set)
    edited: str = ""  # what somebody saved in train.py last

    def hear(self, facts: dict[str, Any]) -> None:
        """One more operation."""
        if facts["name"] == "give":
            self.launched.add(facts["run"])
        if facts["name"] == "edited":
            self.edited = facts["data"]
        if facts["name"] != "acknowledge" or facts["who"] != "daemon" or not facts["data"]:
            return
        answer = json.loads(facts["data"]).get("result") or {}
        self.session |= bool((answer.get("session") or {}).get("live"))
        if "run_id" in answer and "state" in answer:
            self.runs.add(answer["run_id"])
            result = answer.get("result")
            if result is not None:
                self.results[answer["run_id"]] = (result["verdict"], result["primary"]["value"])

    def copy(self) -> "Told":
        """As it is now."""
        return Told(self.session, set(self.runs), dict(self.results), set(self.launched), self.edited)


class State(NamedTuple):
    """A disk that some power cut leaves, what had been told by then, and what had been done last."""

    left: disk.Left
    told: Told
    after: str
    telling: bool  # at some moment it is what much hangs on


def states(lab: Lab, operations: list[dict[str, Any]]) -> list[State]:
    """Every one."""
    model, told = empty_disk(lab), Told()
    found: dict[str, State] = {}
    for facts in operations:
        model.take(facts)
        told.hear(facts)
        for left in model.states():
            key, after = disk.digest(left), f"{facts['name']} {facts.get('subject')}"
            telling = TELLING.search(after) is not None or (key in found and found[key].telling)
            # The same disk later on: more had been told.
            found[key] = State(left, told.copy(), after, telling)
    return list(found.values())


def chosen(found: list[State], chunk: int) -> list[State]:
    """The chunk's at full size; else some, and all in which much hangs on what was synced before."""
    telling = [] if FULL else [state for state in found if state.telling]
    return list({id(state): state for state in (*some(found[chunk::PARTS], QUICK), *telling)}.values())


@pytest.mark.parametrize("chunk", range(PARTS))
@pytest.mark.timeout(1500)
@pytest.mark.promise("power-cut")
def test_after_a_power_cut_at_any_moment_everything_acknowledged_is_there(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    with world() as lab:
        found = states(lab, recorded_whole(lab, Story(lab), SAVED))
        assert len(found) > 300, "too few states to prove anything"
        mine = chosen(found, chunk)
        record_property("cases", len(mine))
        wrong = []
        for left, told, after, *_ in mine:
            try:
                _goes_on(lab, left, told)
            except (AssertionError, OSError, ValueError, ArdaemonError) as error:
                wrong.append(f"after {after}: {error} (told {told})")
                if len(wrong) == ENOUGH and not FULL:
                    break
        record_property("wrong", len(wrong))
        assert not wrong, f"{len(wrong)} of {len(mine)}:\n" + "\n".join(wrong[:5])


def _goes_on(lab: Lab, left: disk.Left, told: Told) -> None:
    for name, home in (("p", lab.project), ("s", lab.state_home)):
        disk.put(left.get(name, {}), home)
    plan = {"root": str(lab.root), "other_boot": True}
    lab.environment["FAULT_PLAN"] = json.dumps(plan)
    (lab.root / "stderr").write_bytes(b"")
    lab.start(PROGRAM)
    try:
        _check(lab, told)
    finally:
        lab.stop()


def _check(lab: Lab, told: Told) -> None:
    story = Story(lab)
    if not told.session:
        story.begin()
    wait_until(lambda: not any((lab.home / "active").iterdir()), "every run to be committed")
    before = _edit(lab)
    rows = _rows(lab)
    assert told.runs <= set(rows), f"lost: {told.runs - set(rows)}"
    for run_id, (verdict, value) in told.results.items():
        result = lab.read(f"runs/{run_id}/result.json")
        assert (result["verdict"], result["primary"]["value"]) == (verdict, value), result
    for run_id, verdict in rows.items():
        _judged_by_its_evidence(lab, run_id, verdict)
    marks = _marks(lab)
    assert len(set(marks)) == len(marks), f"launched twice: {marks}"
    assert not {mark.split()[0] for mark in marks} & told.launched, f"launched again: {marks}"
    _best_is_whole(lab, rows)
    assert told.edited in ("", before) or told.edited in _snapshots(lab), "an edit is lost"
    story.submit(AFTER)
    assert story.judged(AFTER)["verdict"] == "advance"
    assert story.runs["after"] > max([*rows, *told.runs, "r0000"]), "a run id was used again"
    broken = [str(p) for p in lab.root.rglob("*") if ".broken-" in p.name or _is_left(p.name, lab.pid)]
    assert not broken, broken


def _is_left(name: str, daemon: int) -> bool:
    """Tell whether that is a half-written file which the daemon should have swept.

    Not if its writer's number is another process's by now, as on a machine that does much else: durable.sweep
    cannot tell that from a writer that lives.
    """
    *_, pid, _, end = ["", "", *name.split(".")]
    return end == "tmp" and (pid == str(daemon) or not os.path.exists(f"/proc/{pid}"))


def _judged_by_its_evidence(lab: Lab, run_id: str, verdict: str) -> None:
    """As undisturbed if its end was recorded, else lost to the reboot: never by half of what it wrote."""
    snapshot = (lab.folder / f"runs/{run_id}/train.py").read_text()
    expected = {candidate.text: candidate.verdict for candidate in CANDIDATES}.get(snapshot)
    assert expected is not None, f"{run_id}: its snapshot is torn: {snapshot!r}"
    reason = lab.read(f"runs/{run_id}/result.json")["reason"]
    assert verdict == expected or reason == "host_restart", f"{run_id}: {verdict}, {reason}"


def _edit(lab: Lab) -> str:
    return (lab.folder / "train.py").read_text()


def _rows(lab: Lab) -> dict[str, str]:
    """Run id -> verdict; each run has one row, and each row its result."""
    path = lab.folder / "results.tsv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    cells = [line.split("\t") for line in lines]
    rows = {cell[0]: cell[3] for cell in cells}
    assert len(rows) == len(cells), f"judged twice: {lines}"
    for run_id, verdict in rows.items():
        assert lab.read(f"runs/{run_id}/result.json")["verdict"] == verdict
    return rows


def _marks(lab: Lab) -> list[str]:
    path = lab.project / "marks"
    return path.read_text().splitlines() if path.exists() else []


def _snapshots(lab: Lab) -> list[str]:
    return [path.read_text() for path in (lab.folder / "runs").glob("r*/train.py")]


def _best_is_whole(lab: Lab, rows: dict[str, str]) -> None:
    """best.json is the last run that advanced; its snapshot and its checkpoint are there, whole."""
    advanced = [run_id for run_id, verdict in rows.items() if verdict == "advance"]
    path = lab.folder / "best.json"
    assert path.exists() == bool(advanced)
    if not advanced:
        return
    best = lab.read("best.json")
    assert best["run_id"] == advanced[-1]
    snapshot = (lab.folder / f"runs/{best['run_id']}/train.py").read_text()
    link = lab.folder / "best_ckpt"
    if best["checkpoint"] is None:
        assert not link.is_symlink()
        return
    assert (link / "meta.json").exists()
    expected = [text for name, text in SAVED.items() if SCRIPT.format(name=name, body="") in snapshot]
    assert [(link / "state.pt").read_text()] == expected, "a torn checkpoint was promoted"
