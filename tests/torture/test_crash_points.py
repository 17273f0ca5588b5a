"""SIGKILL before every operation, and in the middle of every write: nothing is lost, nothing done twice."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faulty import TAKES_SPACE
from tests.support.jobs import alive
from tests.support.lab import Lab
from tests.support.promises import FULL, some
from tests.torture.points import CHUNKS, WARNED_OF, Point, cut, points, recorded, undisturbed, world
from tests.torture.story import CANDIDATES, Story

Record = Callable[[str, object], None]
QUICK = 3  # points of each chunk in `make test`
CHUNK = pytest.mark.parametrize("chunk", range(CHUNKS))
TIMEOUT = pytest.mark.timeout(900 if FULL else 120)


@pytest.fixture(scope="module")
def story() -> tuple[list[Point], dict[str, Any]]:
    """The undisturbed story's points and picture, once for each worker."""
    with world() as lab:
        operations, picture = recorded(lab)
    return points(operations), picture


Told = tuple[list[Point], dict[str, Any]]


def chosen(found: list[Point], chunk: int, record: Record) -> list[Point]:
    """This chunk's share: all of it at full size."""
    mine = some(found[chunk::CHUNKS], QUICK)
    record("cases", len(mine))
    return mine


def all_cut(mine: list[Point], do: str | int, check: Callable[[Lab, Story], None]) -> None:
    """Cut the story at each of these points; all that went wrong, at once."""
    wrong = [said for point in mine if (said := cut(point, do, check)) is not None]
    assert not wrong, f"{len(wrong)} of {len(mine)}:\n" + "\n".join(wrong)


@CHUNK
@TIMEOUT
@pytest.mark.promise("crash-points")
def test_a_daemon_killed_before_any_operation_leaves_what_an_undisturbed_one_leaves(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.who == "daemon"]
    assert len(found) > 300, "the story has become too short to prove anything"
    all_cut(chosen(found, chunk, record_property), "kill", undisturbed(story[1]))


@CHUNK
@TIMEOUT
@pytest.mark.promise("torn-writes")
def test_a_daemon_killed_in_the_middle_of_any_write_does_so_as_well(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.who == "daemon" and point.name in ("write", "copy")]
    assert len(found) > 50
    all_cut(chosen(found, chunk, record_property), "tear", undisturbed(story[1]))


@CHUNK
@TIMEOUT
@pytest.mark.promise("shim-crash")
def test_a_shim_killed_before_any_operation_leaves_one_verdict_and_no_process(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.who == "shim"]
    assert len(found) > 60
    all_cut(chosen(found, chunk, record_property), "kill", once_and_alone)


def once_and_alone(lab: Lab, story: Story) -> None:
    """Each candidate has one run, one row and one launch at most, and nothing of it lives."""
    rows = [line.split("\t")[0] for line in (lab.folder / "results.tsv").read_text().splitlines()[1:]]
    assert sorted(rows) == sorted(story.runs.values())
    marks = (lab.project / "marks").read_text().splitlines()
    assert len(set(marks)) == len(marks), f"launched twice: {marks}"
    for candidate in CANDIDATES:
        result = lab.read(f"runs/{story.runs[candidate.name]}/result.json")
        lost = (result["verdict"], result["reason"]) == ("crash", "supervisor_lost")
        assert lost or result["attempts"] == 1, result
    assert [pid for pid in lab.processes() if pid != lab.pid and alive(pid)] == []


@CHUNK
@TIMEOUT
@pytest.mark.promise("disk-full")
def test_a_disk_that_is_full_from_any_operation_on_costs_nothing_once_there_is_space(
    story: Told, chunk: int, record_property: Record
) -> None:
    found = [point for point in story[0] if point.name in TAKES_SPACE]
    check = undisturbed(story[1], WARNED_OF)
    all_cut(chosen(found, chunk, record_property), errno.ENOSPC, check)


@CHUNK
@TIMEOUT
@pytest.mark.promise("disk-error")
def test_an_error_of_the_disk_at_any_operation_costs_nothing_once_it_is_over(
    story: Told, chunk: int, record_property: Record
) -> None:
    files = (*TAKES_SPACE, "unlink", "truncate", "chmod", "rmdir")
    mine = chosen([point for point in story[0] if point.name in files], chunk, record_property)
    copies = [point for point in mine if "/.ckpt/" in point.subject]
    all_cut([point for point in mine if point not in copies], errno.EIO, undisturbed(story[1], WARNED_OF))
    all_cut(copies, errno.EIO, lambda lab, story_: promoted_or_said(lab, story_, story[1]))


def promoted_or_said(lab: Lab, story: Story, picture: dict[str, Any]) -> None:
    """A checkpoint that cannot be copied is no reason to wait for ever: the result says so, and has none."""
    results = [lab.read(f"runs/{run_id}/result.json") for run_id in story.runs.values()]
    without = [result for result in results if "checkpoint not promoted" in (result["reason"] or "")]
    if not without:
        return undisturbed(picture, WARNED_OF)(lab, story)
    assert [(result["verdict"], result["checkpoint"]) for result in without] == [("advance", None)]
    assert [result["verdict"] for result in results] == [candidate.verdict for candidate in CANDIDATES]
    return once_and_alone(lab, story)
