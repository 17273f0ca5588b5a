"""The mechanism that runs the skill's commands: it finds them, and it notices a lie."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import manual, spelled
from tests.support.every import every
from tests.support.manual import Command, Edit, Place
from tests.support.open_shell import OpenShell, play
from tests.support.shown import same

PAGE = """# Title
Text with `arctl run --wait`.
## First
```console
$ greeting=hello
$ echo $greeting \\
    world
hello world
$ (exit 3)
(exit code 3)
```
```python
print("$ not run")
```
## Second
```diff
 a = 1
-b = 2
+b = 3
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A file with commands of each kind."""
    path = tmp_path / "PAGE.md"
    path.write_text(PAGE)
    return path


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[OpenShell]:
    """A shell in a folder of its own."""
    opened = OpenShell({"PATH": "/usr/bin:/bin"}, tmp_path)
    yield opened
    opened.close()


def test_the_commands_of_a_page_are_found_with_their_outputs_and_codes(page: Path) -> None:
    """Behind each `$`, over continued lines; other blocks hold none."""
    first = Place("PAGE.md", 4, "First")
    assert manual.steps(page) == [
        Command(first, "greeting=hello", "", 0),
        Command(first, "echo $greeting \\\n    world", "hello world", 0),
        Command(first, "(exit 3)", "", 3),
        Edit(Place("PAGE.md", 16, "Second"), "a = 1\nb = 2\n", "a = 1\nb = 3\n"),
    ]
    assert manual.inline(page) == [(2, "arctl run --wait")]


def test_a_page_is_run_from_top_to_bottom_in_one_shell(page: Path, shell: OpenShell, tmp_path: Path) -> None:
    """What a command exports the next one has; an edit changes train.py."""
    train = tmp_path / "train.py"
    assert play(page, shell, lambda: train, {"Second": lambda: train.write_text("a = 1\nb = 2\n")}) == 4
    assert train.read_text() == "a = 1\nb = 3\n"


@pytest.mark.parametrize(
    ("right", "wrong"), [("hello world", "hello you"), ("(exit code 3)", ""), ("-b = 2", "-b = 4")]
)
def test_a_page_that_lies_is_noticed(
    page: Path, shell: OpenShell, tmp_path: Path, right: str, wrong: str
) -> None:
    """An output, an exit code, or the text that an edit is to find."""
    page.write_text(PAGE.replace(right, wrong))
    (tmp_path / "train.py").write_text("a = 1\nb = 2\n")
    with pytest.raises(AssertionError, match=r"PAGE\.md:"):
        play(page, shell, lambda: tmp_path / "train.py")


def test_a_heading_that_a_page_does_not_have_is_noticed(page: Path, shell: OpenShell) -> None:
    """Or what is to be done before its steps would never be done."""
    with pytest.raises(AssertionError, match="no heading"):
        play(page, shell, lambda: page, {"Third": lambda: None})


@every(
    "shown, printed, measured, equal",
    [
        ("a\nb", "a  \nb\n", False, True),
        ("a\nb", "a\nb\nc", False, False),
        ("a\n…\nc", "a\nb\nb\nc", False, True),
        ("a\n…\nc", "a\nc", False, True),
        ("a\n…\nc", "a\nb", False, False),
        ("sha … ok", "sha 1234 ok", False, True),
        ("1 s of 60 s, 3/60 s", "12.5 s of 61 s, 40/60 s", False, True),
        ("at 2026-11-22T10:05:00Z", "at 2026-11-27T07:53:11.5Z", False, True),
        ("loss=0.5", "loss=0.6", False, False),
        ("loss=0.5 … 1.5", "loss=0.6 x 1.5", True, True),
        ("loss=0.5", "loss=0.7", True, False),
        ("loss=-2.5e-4", "loss=-2.6e-4", True, True),
        ("best 0.5 @ r0002", "best 0.5 @ r0003", True, False),
    ],
)
def test_an_output_is_compared_by_its_rules(shown: str, printed: str, measured: bool, equal: bool) -> None:
    """All but what the rules name has to be the same."""
    assert same(shown, printed, measured) is equal


@pytest.mark.parametrize(
    "line",
    [
        "arctl run --wait --timeout 540",
        "arctl session start --seconds N --resume continue|revert|fresh",
        "arctl session set --plateau none",
        "arctl tail --run r0043 -n 80",
        "arctl chain-init --new-slug SLUG --rationale - …",
        "arctl chain stop",
        "arctl wait [RUN] [--any]",
    ],
)
def test_a_command_line_that_is_spelled_right_has_no_fault(line: str) -> None:
    """Placeholders stand for any value."""
    assert spelled.faults(line) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("arctl go", "no command 'go'"),
        ("arctl session begin", "no command 'begin'"),
        ("arctl run --sleep", "run has no option --sleep"),
        ("arctl session start --resume again", "--resume again: "),
        ("arctl session start --seconds soon", "--seconds soon: "),
    ],
)
def test_a_command_line_that_is_spelled_wrong_is_noticed(line: str, fault: str) -> None:
    """A command, an option or a value that arctl does not know."""
    assert [one[: len(fault)] for one in spelled.faults(line)] == [fault]
