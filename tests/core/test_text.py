"""Cleaning of text that others wrote."""

import json
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.text import clean, cut_bytes, escaped, one_line
from tests.support.every import every

# Text rich in what escape sequences are made of.
HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "\x1b\x9b\x9d\x90\x9c\x07[]()0123456789;:?mKHh\\ \t\r\n\x00\x08\x7f\x85\u2028\u202e\u200b"
        ),
        st.characters(),
        st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"]),
    ),
    max_size=80,
)


@every(
    "raw, seen",
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[38:2:255:0:0mred\x1b[m", "red"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://a.b/\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP+q544e\x1b\\text", "text"),
        ("\x1b(Btext\x1bM", "text"),
        ("a\tb\r\nc\rd", "a b\nc\nd"),
        ("a\x00b\x08c\x7fd\x85e", "abcd\ne"),
        ("pay \u202eesrever\u202c now", "pay esrever now"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("hi\U000e0068\U000e0069", "hi"),
        ("naïve ≤ 日本 👩\u200d🔬", "naïve ≤ 日本 👩\u200d🔬"),
        ("broken \udc80", "broken \ufffd"),
    ],
)
def test_clean_leaves_what_a_reader_would_see(raw: str, seen: str) -> None:
    assert clean(raw) == seen


def test_an_unterminated_sequence_hides_nothing() -> None:
    """A stray OSC introducer must not swallow the log that follows it."""
    assert clean("\x1b]0;title and the whole log\nmore") == "0;title and the whole log\nmore"


@given(HOSTILE)
def test_cleaned_text_holds_no_control_character_and_stays_clean(raw: str) -> None:
    """Controls, bidi and other format marks are gone; cleaning again changes nothing."""
    text = clean(raw)
    odd = [c for c in text if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} and c != "\n"]
    assert odd == []
    assert not set(text) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u200b\ufeff"
    )
    assert clean(text) == text
    text.encode()


@given(HOSTILE)
def test_every_reader_sees_the_same_lines_in_cleaned_text(raw: str) -> None:
    text = clean(raw)
    assert text.splitlines() == text.removesuffix("\n").split("\n") or text in {"", "\n"}


def test_every_invisible_format_character_but_the_joiners_is_removed() -> None:
    """Arabic and similar number signs, which are visible though of category Cf, stay too."""
    visible = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    visible |= set(range(0x13430, 0x13440))  # Egyptian hieroglyph joiners
    left = {
        c
        for c in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(c) == "Cf" and clean(c) and ord(c) not in visible
    }
    assert left == {"\u200c", "\u200d"}


@pytest.mark.parametrize(
    "piece", ["\x1b", "\x1b[", "\x1b]", "\x1b]a", "\x1b[0;", "\x9d", "\x1bP0", "\r", "\x1b ", "\x9b ;"]
)
def test_cleaning_hostile_text_takes_linear_time(piece: str) -> None:
    """A quadratic pattern would take minutes for half a million repeats."""
    begin = time.process_time()
    clean(piece * 500_000)
    clean(piece + "0 ;" * 500_000)
    assert time.process_time() - begin < 10


def test_one_line_joins_lines_and_cuts_to_the_given_length() -> None:
    assert one_line(" a\tb\r\n\r\nc  ", 20) == "a b c"
    assert one_line("abcdefgh", 8) == "abcdefgh"
    assert one_line("abcdefghi", 8) == "abcdefg…"
    assert one_line("abc", 1) == "…"
    assert one_line("abc", 0) == ""


@given(HOSTILE, st.integers(0, 40))
def test_one_line_is_one_line_of_at_most_the_given_length(raw: str, most: int) -> None:
    line = one_line(raw, most)
    assert len(line) <= most
    assert len(line.splitlines()) <= 1


@given(st.text(max_size=40), st.integers(0, 60))
def test_cut_bytes_keeps_whole_characters(text: str, most: int) -> None:
    """What is cut is the longest beginning that fits."""
    cut = cut_bytes(text, most)
    assert text.startswith(cut)
    assert len(cut.encode()) <= most
    assert cut == text or len(text[: len(cut) + 1].encode()) > most


@pytest.mark.promise("clean-text")
@given(
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)
def test_escaped_json_acts_on_nothing_and_decodes_to_the_same(value: object) -> None:
    text = escaped(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert clean(text) == text, "nothing that cleaning would remove"


def test_escaped_json_keeps_what_people_read() -> None:
    r"""An emoji's joiner too; lone surrogates come as \u escapes."""
    assert escaped(json.dumps("lr 3e-4 → 2e-4 é 漢 👩‍🔬", ensure_ascii=False)) == '"lr 3e-4 → 2e-4 é 漢 👩‍🔬"'
    assert escaped('"\x7f \x9b \u202e \U000e0041 \ud800"') == r'"\u007f \u009b \u202e \udb40\udc41 \ud800"'
