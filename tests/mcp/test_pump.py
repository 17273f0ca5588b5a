"""Lines of a client as the SDK can read them."""

import json

import pytest

from arctl.mcp.pump import mended


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"a": "half \ud83d"}', "half ?"),
        (r'{"a": "\uDE00 half"}', "? half"),
        (r'{"a": "whole \ud83d\ude00"}', "whole 😀"),
        (r'{"a": "written out: \\ud83d"}', r"written out: \ud83d"),
    ],
)
def test_half_a_character_becomes_a_question_mark(text: str, expected: str) -> None:
    line = mended(text.encode() + b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line.decode("utf-8")) == {"a": expected}


@pytest.mark.parametrize(
    "line", [b"", b"\n", b'{"a": "b"}\n', b"\\ud83d\n", b'["\\ud83d"\n', b"\\ud" + b"[" * 100_000]
)
def test_all_else_stays_as_it_is(line: bytes) -> None:
    assert mended(line) == line
