"""Whose note and diff the page has: the advances first, then the newest, as far as there is room."""

from collections.abc import Container

from ardaemon.core.facts import DIFF_MAX as FACTS_DIFF_MAX
from ardaemon.core.facts import RunFacts
from ardaemon.report.page.pieces import finished
from ardaemon.report.page.records import (
    DIFF_MAX,
    RECORDS_BYTES,
    Note,
    Record,
    Records,
    encoded,
    record_of,
)
from tests.support.histories import run

EVERY = range(100_000)
ROOM = 10**6
LONG = "+" + "x" * 99 + "\n"


def records(runs: list[RunFacts]) -> Records:
    collected = Records()
    for each in runs:
        collected.add(each)
    return collected


def chosen_of(
    runs: list[RunFacts], room: int, drawn: Container[int]
) -> tuple[tuple[Record, ...], tuple[Note, ...]]:
    return finished(records(runs).chosen(room, drawn))


def runs(count: int, diff: str, advances_every: int = 100) -> list[RunFacts]:
    return [
        run(n, diff=diff, note=f"try {n}", verdict="revert" if n % advances_every else "advance")
        for n in range(1, count + 1)
    ]


def test_of_a_few_runs_each_has_a_record() -> None:
    chosen, notes = chosen_of(runs(20, LONG), ROOM, EVERY)
    assert sorted(record.number for record in chosen) == [*range(1, 21)]
    assert notes == ()


def test_the_advances_come_first_and_then_the_newest_runs() -> None:
    chosen, _ = chosen_of(runs(3_000, LONG * 6), ROOM, EVERY)
    numbers = [record.number for record in chosen]
    advances, others = numbers[:30], numbers[30:]
    assert advances == [*range(3_000, 0, -100)]
    newest = [n for n in range(3_000, 0, -1) if n % 100]
    assert others == newest[: len(others)]


def test_the_diffs_take_four_hundred_kilobytes_and_no_more() -> None:
    chosen, _ = chosen_of(runs(3_000, LONG * 6), ROOM, EVERY)
    size = sum(len(encoded(record)) + 1 for record in chosen)
    assert RECORDS_BYTES - 1_000 < size <= RECORDS_BYTES


def test_what_is_left_of_the_room_is_for_notes() -> None:
    chosen, notes = chosen_of(runs(3_000, LONG * 6), ROOM, EVERY)
    told = {record.number for record in chosen}
    assert notes
    assert not told & {note.number for note in notes}
    assert notes[0].note == f"try {notes[0].number}"


def test_no_more_bytes_are_used_than_there_is_room() -> None:
    for room in (0, 10, 5_000, 50_000):
        chosen, notes = chosen_of(runs(500, LONG), room, EVERY)
        assert sum(len(encoded(one)) + 1 for one in (*chosen, *notes)) <= room


def test_a_run_that_is_not_drawn_has_no_record() -> None:
    chosen, notes = chosen_of(runs(50, LONG), ROOM, {7, 9})
    assert {record.number for record in chosen} == {7, 9}
    assert notes == ()


def test_a_diff_is_cut_to_six_hundred_bytes_and_says_so() -> None:
    whole = record_of(run(1, diff="+é\n" * 100))
    cut = record_of(run(1, diff="+é\n" * 200))
    short = record_of(run(1, diff="+x\n", diff_cut=True))
    assert (len((whole.diff or "").encode()), whole.cut) == (400, False)
    assert (len((cut.diff or "").encode()) <= DIFF_MAX, cut.cut) == (True, True)
    assert short.cut


def test_text_from_runs_is_cleaned() -> None:
    record = record_of(
        run(1, note="\x1b[31mred\u202e\nsecond", diff="+\u2066x\x07", reason="oom\x00 \u200bGPU")
    )
    assert (record.note, record.diff, record.reason) == ("red second", "+x", "oom GPU")


def test_a_moment_that_is_none_is_left_out() -> None:
    assert [record_of(run(1, ended_at=at)).ended for at in ("soon", "0001-01-01", "")] == [None] * 3
    assert record_of(run(1, ended_at="2026-11-22T10:00:00Z")).ended == 1795341600


def test_memory_is_bounded_by_what_the_page_can_hold() -> None:
    collected = records([run(n, diff="+" + "y" * (FACTS_DIFF_MAX - 1)) for n in range(1, 4_000)])
    assert len([*collected._newest]) < 1_000
