"""SIGKILL before every operation, and in the middle of every write: nothing is lost, nothing done twice."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty import TAKES_SPACE
from tests.support.jobs import alive
from tests.support.lab import DEADLINE_S, Lab
from tests.support.promises import FULL, some
from tests.torture.points import (
    CHUNKS,
    PROGRAM,
    PROMOTED,
    WARNED_OF,
    Check,
    Point,
    Record,
    none_wrong,
    planned,
    points,
    recorded,
    undisturbed,
    world,
)
from tests.torture.story import CANDIDATES, Story

QUICK, OF_A_KIND = 24, 8  # points of each promise in `make test`, and of those that it has besides
# A telling that is cut at several points wants many to choose from.
TESTS = CHUNKS if FULL else 2
CHUNK = pytest.mark.parametrize("chunk", range(TESTS))
TIMEOUT = pytest.mark.timeout(900 if FULL else 600)


@pytest.fixture(scope="module")
def story() -> tuple[list[Point], dict[str, Any]]:
    """The undisturbed story's points and picture, once for each worker."""
    with world() as lab:
        operations, picture = recorded(lab)
    return points(operations), picture


Told = tuple[list[Point], dict[str, Any]]


def chosen(found: list[Point], chunk: int) -> list[Point]:
    """This test's share: all of its chunk at full size; else some, shims' and answers' among them."""
    if FULL:
        return found[chunk::CHUNKS]
    mine = some(found, QUICK)[chunk::TESTS]
    for kind in ("shim", "acknowledge"):
        those = [point for point in found if kind in (point.who, point.name)]
        mine += some(those, OF_A_KIND)[chunk::TESTS]
    return list(dict.fromkeys(mine))


@CHUNK
@TIMEOUT
@pytest.mark.promise("crash-points")
def test_a_daemon_killed_before_any_operation_leaves_what_an_undisturbed_one_leaves(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.who == "daemon"]
    assert len(found) > 300, "the story has become too short to prove anything"
    none_wrong(chosen(found, chunk), "kill", undisturbed(story[1]), record_property)


@CHUNK
@TIMEOUT
@pytest.mark.promise("torn-writes")
def test_a_daemon_killed_in_the_middle_of_any_write_does_so_as_well(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.who == "daemon" and point.name in ("write", "copy")]
    assert len(found) > 50
    none_wrong(chosen(found, chunk), "tear", undisturbed(story[1]), record_property)


@CHUNK
@TIMEOUT
@pytest.mark.promise("shim-crash")
def test_a_shim_killed_before_any_operation_leaves_one_verdict_and_no_process(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.who == "shim"]
    assert len(found) > 60
    none_wrong(chosen(found, chunk), "kill", once_and_alone, record_property)


def once_and_alone(lab: Lab, story: Story, _point: Point) -> None:
    """Each candidate has one run, one row and one launch at most, and nothing of it lives."""
    rows = [line.split("\t")[0] for line in (lab.folder / "results.tsv").read_text().splitlines()[1:]]
    assert sorted(rows) == sorted(story.runs.values())
    marks = (lab.project / "marks").read_text().splitlines()
    assert len(set(marks)) == len(marks), f"launched twice: {marks}"
    for candidate in CANDIDATES:
        result = lab.read(f"runs/{story.runs[candidate.name]}/result.json")
        lost = (result["verdict"], result["reason"]) == ("crash", "supervisor_lost")
        assert lost or result["attempts"] == 1, result
    daemon = command(lab.pid).partition(": ")[2]  # so is a fork of it, until it is what it shall be
    left = [command(pid) for pid in lab.processes() if pid != lab.pid and alive(pid)]
    assert [one for one in left if one.partition(": ")[2] != daemon] == []


def command(pid: int) -> str:
    """Return the command line of a process, to name one that is left."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"{pid}, which has just ended"
    return f"{pid}: {b' '.join(words).decode(errors='replace')}"


@CHUNK
@TIMEOUT
@pytest.mark.promise("disk-full")
def test_a_disk_that_is_full_from_any_operation_on_costs_nothing_once_there_is_space(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.name in TAKES_SPACE]
    check = undisturbed(story[1], WARNED_OF)
    none_wrong(chosen(found, chunk), errno.ENOSPC, check, record_property)


@CHUNK
@TIMEOUT
@pytest.mark.promise("disk-error")
def test_an_error_of_the_disk_at_any_operation_costs_nothing_once_it_is_over(
    story: Told, chunk: int, record_property: Record
) -> None:
    files = (*TAKES_SPACE, "unlink", "truncate", "chmod", "rmdir")
    found = [point for point in story[0] if point.name in files]
    same = undisturbed(story[1], WARNED_OF)

    def check(lab: Lab, story_: Story, point: Point) -> None:
        if PROMOTED in point.subject:
            promoted_or_said(lab, story_, point, same)
        else:
            same(lab, story_, point)

    none_wrong(chosen(found, chunk), errno.EIO, check, record_property)


@pytest.mark.promise("disk-error")
def test_a_daemon_that_cannot_come_up_says_why_in_a_line_and_leaves_with_the_code_of_the_disk(
    story: Told, record_property: Record
) -> None:
    at_start = [point for point in story[0] if point.subject.endswith("/.daemon.json.tmp")]
    assert {point.name for point in at_start} >= {"create", "write"}
    record_property("cases", len(at_start))
    for point in at_start:
        with world() as lab:
            plan = planned(lab, point, errno.EIO)
            with pytest.raises(AssertionError):
                lab.start(PROGRAM, FAULT_PLAN=json.dumps(plan))
            assert lab.process is not None
            assert lab.process.wait(DEADLINE_S) == 74
            said = (lab.root / "stderr").read_text()
            assert said.splitlines() == [
                "Error: Input/output error",
                "→ check the folder's rights and the disk",
            ]


def promoted_or_said(lab: Lab, story: Story, point: Point, same: Check) -> None:
    """A checkpoint that cannot be copied is no reason to wait for ever: the result says so, and has none."""
    results = [lab.read(f"runs/{run_id}/result.json") for run_id in story.runs.values()]
    without = [result for result in results if "checkpoint not promoted" in (result["reason"] or "")]
    if not without:
        return same(lab, story, point)
    assert [(result["verdict"], result["checkpoint"]) for result in without] == [("advance", None)]
    assert [result["verdict"] for result in results] == [candidate.verdict for candidate in CANDIDATES]
    return once_and_alone(lab, story, point)
