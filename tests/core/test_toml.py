"""TOML that somebody else wrote: whatever it holds, it is parsed or refused at once."""

import time

import pytest

from ardaemon.core import toml


def test_a_text_is_parsed() -> None:
    assert toml.parse('goal = "lower. it."\r\n[primary]\nmetric = "loss"\n') == {
        "goal": "lower. it.",
        "primary": {"metric": "loss"},
    }


@pytest.mark.parametrize("text", ['"', "\\", "\n\t\x00\x1b\x7f", "é…\U0001f600", "/a folder/with # signs"])
def test_a_string_is_parsed_as_it_was(text: str) -> None:
    assert toml.parse(f"a = {toml.string(text)}") == {"a": text}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = ", "Invalid value"),
        ("\na" + ".a" * 30_000 + " = 1", "line 2 has more than 256 dots"),
        ('"".' * 20_000 + "a = 1", "line 1 has more than 256 dots"),
        ("a = " + "[" * 60_000, "nested too deeply"),
        ("a = " + "{a=" * 20_000, "nested too deeply"),
        ("a = " + "9" * 60_000, "digits"),
        ("# prose\n" * 10_000, "larger than 64 KiB"),
        (("a" + ".a" * 256 + "." + "b" * 250 + " = 1\n") * 80, "more than 256 dots"),
        (("a" + ".a" * 255 + " = 1\n") * 120, "Cannot overwrite"),
    ],
    ids=["torn", "dots", "quoted", "lists", "tables", "digits", "large", "many", "most"],
)
def test_what_is_slow_large_or_no_toml_is_refused_at_once(text: str, fault: str) -> None:
    """The parser itself takes 18 s and 4 GB for the second one."""
    began = time.thread_time()
    with pytest.raises(ValueError, match=fault):
        toml.parse(text)
    assert time.thread_time() - began < 1


def test_the_slowest_text_within_the_limits_takes_no_long_parsing() -> None:
    text = "".join(f"k{number}{'.a' * 255} = 1\n" for number in range(125))
    began = time.thread_time()
    assert len(toml.parse(text)) == 125
    assert time.thread_time() - began < 1  # 0.1 s
