"""What is said of a run, whatever it is called and whatever it wrote: within 1 KiB, in text and structure."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arctl.mcp import outcomes
from arctl.mcp.answers import TEXT_MAX, WARNING_MAX

TEXTS = st.text(max_size=400) | st.sampled_from(['"' * 400, "\\" * 400, "\x1b[31m" * 80, "💥" * 200])


def view(text: str, state: str = "committed") -> dict[str, Any]:
    """A run, every text of which is `text`."""
    result = {
        "run_id": "r0043",
        "expr": text,
        "status": "ok",
        "verdict": "revert",
        "primary": {"name": text, "value": 1.0, "best_before": 2.0, "best_run_before": text},
        "constraints": [{"expr": text, "value": None, "ok": False}],
        "reason": text,
        "next": text,
        "best": text,
        "best_value": 1.0,
        "tainted": text,
        "should_terminate": True,
        "seconds": 1.23456,
    }
    seen = {"expr": text, "run_id": text, "state": state, "seconds": 600.0, "elapsed": 12.3, "why": text}
    seen["feedback"] = text if state == "committed" else ""
    return {**seen, "result": result} if state == "committed" else seen


@given(TEXTS, st.sampled_from(["committed", "running", "queued"]))
def test_text_and_structure_have_at_most_1_kib_each(text: str, state: str) -> None:
    said = outcomes.outcome(view(text, state), [text, text + "2", text + "3"])
    (part,) = said.content
    assert len(part.text.encode()) <= TEXT_MAX  # type: ignore[union-attr]
    assert len(json.dumps(said.structured_content, ensure_ascii=False).encode()) <= TEXT_MAX
    assert said.structured_content is not None
    assert said.structured_content["state"] == state
    assert "next" in said.structured_content


def test_what_a_persons_command_says_stands_before_the_last_line() -> None:
    said = outcomes.outcome({**view("a"), "feedback": "try warmup"})
    (part,) = said.content
    assert part.text.splitlines()[-2] == "[a] feedback: try warmup"  # type: ignore[union-attr]
    assert said.structured_content is not None
    assert said.structured_content["feedback"] == "try warmup"
    assert "try warmup" not in said.structured_content["text"]
    assert "feedback" not in (outcomes.outcome({**view("a"), "feedback": ""}).structured_content or {})


@given(st.lists(st.from_regex(r"[A-Z_][A-Z0-9_]{0,63}", fullmatch=True), max_size=40))
def test_missing_variables_make_one_line_that_counts_those_it_leaves_out(names: list[str]) -> None:
    lines = outcomes.lacking(names)
    assert len(lines) == bool(names)
    for line in lines:
        assert len(line) < WARNING_MAX
        head = line.partition(": ")[2].partition("; tell")[0]
        shown, _, more = head.partition(" and ")
        assert len(shown.split(", ")) + int(more.split()[0] if more else 0) == len(names)
