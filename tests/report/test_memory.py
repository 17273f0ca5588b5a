"""What has been tried: each question answered by the runs that matter, within 4 KiB whatever they say."""

import json
import time
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arctl.render import history as history_lines
from ardaemon.core.errors import UsageError
from ardaemon.core.facts import Change, RunFacts
from ardaemon.core.history import GREP_MAX, HistoryLine
from ardaemon.core.protocol import HistoryView
from ardaemon.report.grep import Grep
from ardaemon.report.memory import LINES_MAX, Best, Newest, Question, Tried, fitting
from ardaemon.report.similar import Similar
from tests.report.test_markdown import EVIL, RUNS, TEXTS
from tests.support.every import every
from tests.support.histories import history, run

BYTES_MAX = 4 << 10
LR = "@@ -1 +1 @@\n-lr = 1e-3\n+lr = 3e-4\n"


def ask(question: Question, runs: Iterable[RunFacts]) -> list[HistoryLine]:
    for one in runs:
        question.add(one)
    return list(question.lines())


def ids(lines: Iterable[HistoryLine]) -> list[str]:
    return [line.run_id for line in lines]


def changing(number: int, name: str, before: str, after: str, **facts: object) -> RunFacts:
    diff = f"@@ -1 +1 @@\n-{name} = {before}\n+{name} = {after}\n"
    return run(number, changes=(Change(name, before, after),), diff=diff, **facts)


def test_without_a_question_the_newest_runs_that_say_something_about_their_edit() -> None:
    runs = [
        run(1, value=1.0, note="first"),
        run(2, status="interrupted", verdict="interrupted"),
        run(3, status="crash", verdict="crash", reason="lost"),
        changing(5, "lr", "1", "9", status="crash", verdict="crash", reason="oom no memory"),
        changing(4, "lr", "1", "2", value=0.5, verdict="advance"),
    ]
    question = Newest()
    lines = ask(question, runs)
    assert lines[0] == HistoryLine(run_id="r0004", verdict="advance", value=0.5, why="lr 1 → 2")
    assert lines[1].why == "lr 1 → 9; oom no memory"
    assert (ids(lines), question.found) == (["r0004", "r0005", "r0001"], 3)


def test_a_rerun_of_the_best_is_called_a_measurement_as_in_status() -> None:
    runs = [
        run(1, value=1.0, note="cosine", verdict="revert", measure=True),
        run(2, note="cosine", status="crash", verdict="crash", measure=True),
    ]
    lines = [msgspec.to_builtins(line) for line in ask(Grep("cosine"), runs)]
    view = {"expr": "e", "metric": "m", "direction": "min", "found": 2, "lines": lines}
    assert history_lines.lines(view)[1:] == ['r0002 crash no value "cosine"', 'r0001 measure 1 "cosine"']


def test_the_best_are_those_that_can_be_compared() -> None:
    runs = [
        run(1, value=1.0, conditions="a"),
        run(2, value=0.1, conditions="b"),
        run(3, value=0.2, conditions="a", valid=False),
        run(4, value=0.3, conditions="a", measure=True),
        run(5, value=0.4, conditions="a"),
        run(6, value=2.0, conditions="a"),
    ]
    assert ids(ask(Best(2, "min", "a"), runs)) == ["r0005", "r0001"]
    assert ids(ask(Best(1, "max", "a"), runs)) == ["r0006"]


def test_a_parameter_has_a_line_for_each_value_of_the_run_that_did_best_with_it() -> None:
    runs = [
        changing(1, "lr", "1e-3", "1e-2", status="crash", verdict="crash", reason="nan"),
        changing(2, "lr", "1e-3", "3e-4", value=0.8),
        changing(3, "lr", "1e-3", "3e-4", value=0.7, verdict="advance", note="again"),
        changing(4, "optimizer.lr", "1e-3", "1e-4", value=0.9),
        changing(5, "color", "1", "2", value=0.1),
    ]
    question = Tried("lr", "min", "")
    assert ask(question, runs) == [
        HistoryLine(
            run_id="r0003", verdict="advance", value=0.7, note="again", why="lr 1e-3 → 3e-4 (2 runs)"
        ),
        HistoryLine(run_id="r0004", verdict="revert", value=0.9, why="optimizer.lr 1e-3 → 1e-4"),
        HistoryLine(run_id="r0001", verdict="crash", why="lr 1e-3 → 1e-2; nan"),
    ]
    assert (question.found, question.hint()) == (4, "")


def test_a_parameter_that_nobody_changed_names_those_that_were() -> None:
    question = Tried("learning_rate", "min", "")
    runs = [changing(1, "lr", "1", "2"), changing(2, "lr", "1", "3"), changing(3, "wd", "0", "1")]
    assert ask(question, runs) == []
    assert question.hint() == "these names were changed: lr, wd"


@every(
    "pattern, found",
    [
        ("COSINE", ["r0003", "r0002"]),
        ("cosine*decay", ["r0003"]),
        ("decay*cosine", []),
        ("scheduler = cosine", ["r0003"]),
        ("lr 1 → 2", ["r0004"]),
        ("context", []),
        ("([", ["r0005"]),
        (".", ["r0005"]),
        ("old line", ["r0002"]),
        ("linear|old*line|", ["r0002", "r0001"]),
        ("warmup|lr 1", ["r0004"]),
    ],
)
def test_text_is_found_in_notes_changes_and_changed_lines(pattern: str, found: list[str]) -> None:
    runs = [
        run(1, note="linear"),
        run(2, note="Cosine", diff="@@ -1,2 +1 @@\n context\n-old line\n"),
        run(3, diff="@@ -1 +1 @@\n+scheduler = cosine(with_decay)\n"),
        changing(4, "lr", "1", "2"),
        run(5, note="a pattern: ([.]*)"),
    ]
    assert ids(ask(Grep(pattern), runs)) == found


def test_the_line_that_was_found_is_shown() -> None:
    (line,) = ask(Grep("cosine"), [run(1, diff="@@ -1 +1 @@\n-linear()\n+cosine()\n", note="schedule")])
    assert (line.note, line.why) == ("schedule", "+cosine()")


@pytest.mark.parametrize("pattern", ["", "*", "**", "|", "*|*", "x" * (GREP_MAX + 1)])
def test_a_pattern_that_says_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        Grep(pattern)


@pytest.mark.parametrize("between", "*|")
def test_no_pattern_takes_long(between: str) -> None:
    """As a regular expression that backtracks would."""
    pattern = between.join("a" * (GREP_MAX // 2))
    runs = [run(n, note="a" * 90, diff="+" + "a" * 90 + "\n" + "+aaaaaaaaab\n" * 300) for n in range(1, 300)]
    begun = time.process_time()
    assert len(ask(Grep(pattern), runs)) == (0 if between == "*" else LINES_MAX)
    assert time.process_time() - begun < 5


def test_similar_edits_are_those_that_share_their_words() -> None:
    runs = [
        changing(1, "wd", "0", "0.1"),
        changing(2, "lr", "1e-3", "3e-4", normal="same", value=0.5),
        run(3, diff="@@ -5 +5 @@\n-lr=1e-3\n+RUN_NOTE = 'step size'\n+lr   =   3e-4  # smaller\n"),
        changing(4, "lr", "1e-3", "1e-4"),
        changing(5, "lr", "3e-4", "1e-3"),
        run(6, diff=""),
    ]
    question = Similar(LR, "same")
    lines = ask(question, runs)
    assert [(line.run_id, line.why.partition(":")[0]) for line in lines] == [
        ("r0002", "the same code"),
        ("r0003", "80% alike"),
        ("r0004", "60% alike"),
        ("r0005", "33% alike"),
    ]
    assert question.found == 4
    nothing = Similar("+unheard_of = 1", "other")
    assert ask(nothing, runs) == []
    assert "no earlier edit" in nothing.hint()


@pytest.mark.parametrize(
    "question",
    [Newest(), Best(1000, "min", ""), Tried("lr", "min", ""), Grep("try"), Similar(LR, "")],
    ids=lambda question: type(question).__name__,
)
def test_the_answer_does_not_grow_with_the_runs(question: Question) -> None:
    lines = ask(question, history(3000))
    assert len(lines) <= LINES_MAX
    assert 1000 < len(shown(question)) <= BYTES_MAX


def shown(question: Question) -> bytes:
    """The answer as JSON, which is longer than its text."""
    view = HistoryView(
        expr="261122-" + "x" * 57,
        metric="é" * 40,
        direction="max",
        found=question.found,
        pending=10**6,
        lines=fitting(question.lines()),
        hint=question.hint(),
    )
    data = msgspec.json.encode(view)
    text = "\n".join(history_lines.lines(json.loads(data)))
    assert len(text.encode()) <= len(data)
    assert text.splitlines() == text.split("\n"), "a line of text for each line of the answer"
    return data


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs=st.lists(RUNS, max_size=12), again=st.integers(1, 20), text=TEXTS)
def test_whatever_the_runs_say_the_answer_has_4_kib(runs: list[RunFacts], again: int, text: str) -> None:
    questions: list[Question] = [
        Newest(),
        Best(50, "max", ""),
        Tried(text, "min", ""),
        Similar(f"+{text}", "a"),
    ]
    questions += [Grep(evil[:9]) for evil in EVIL if evil]
    for question in questions:
        ask(question, runs * again)
        data = shown(question)
        assert len(data) <= BYTES_MAX
        assert not set("\x1b\u202e") & set(data.decode())
