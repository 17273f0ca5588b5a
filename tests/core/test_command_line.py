"""A command is read as a shell reads the same line: the shell itself is asked."""

import random
import subprocess
from pathlib import Path

import pytest

from ardaemon.core.command_line import read

PIECES = (
    *(
        "a",
        "b c",
        " ",
        "\t",
        "'",
        '"',
        "\\",
        "\\\n",
        "$",
        "#",
        "=",
        "x=",
        "~",
        "~/",
        "-",
        "{",
        "}",
        ",",
        "\n",
    ),
    *(".", "*", "[", "]", "|", ">", "\u00e9", "\u00a0", "\u2003"),
)
LINES = 1500


def lines() -> list[str]:
    """Lines of pieces that mean something to a shell, the same ones in each run."""
    chosen = random.Random(15)
    return [
        "prog " + "".join(chosen.choice(PIECES) for _ in range(chosen.randint(1, 9))) for _ in range(LINES)
    ]


def taken() -> dict[str, list[str]]:
    """Those of the lines in which nothing needs a shell, each with its words."""
    found = {}
    for line in lines():
        try:
            command = read(line, "/h")
        except ValueError:
            continue
        if command.needs_shell is None and command.words[:1] == ["prog"]:
            found[line] = command.words[1:]
    return found


def test_words_are_those_that_a_shell_hands_on(tmp_path: Path) -> None:
    every = taken()
    assert len(every) > LINES / 5
    script = ["prog() { for word; do printf '%s\\0' \"$word\"; done; printf '\\1\\0'; }", *every]
    (tmp_path / "script").write_text("\n".join(script) + "\n")
    done = subprocess.run(["sh", tmp_path / "script"], env={"HOME": "/h"}, cwd=tmp_path, capture_output=True)
    assert done.stderr == b""
    handed = [part.split("\0")[:-1] for part in done.stdout.decode().split("\1\0")[:-1]]
    for line, words in zip(every, handed, strict=True):
        assert every[line] == words, line


@pytest.mark.parametrize("line", ["a 'b", 'a "b', "a b\\", "a \"'\" '"])
def test_a_line_without_its_end_is_no_command(line: str) -> None:
    with pytest.raises(ValueError, match=r"quote does not end|ends in a backslash"):
        read(line)


def test_variables_come_before_the_program_alone() -> None:
    command = read("A=1 B='x y' C= prog D=2 'E'=3")
    assert command.variables == {"A": "1", "B": "x y", "C": ""}
    assert command.words == ["prog", "D=2", "E=3"]
    assert read("'A=1' prog").words == ["A=1", "prog"]
