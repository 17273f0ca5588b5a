"""The part of program.md that names arctl: an agent that does what it says gets through an experiment."""

import re

from tests.support.lab import SLUG, Lab
from tests.support.shell import GOAL, Shell

COMMAND = re.compile(r"`arctl ([^`]+)`")


def test_each_command_that_the_part_names_works_as_it_stands(lab: Lab) -> None:
    lab.ready(max_runs=3)
    shell = Shell(lab)
    commands = COMMAND.findall((lab.folder / "program.md").read_text())
    assert commands[:2] == ["run --wait --exit-zero --timeout 540", "wait --exit-zero --timeout 540"]
    for command in dict.fromkeys(commands):
        if command == "run --wait":
            lab.edit(0.5)
        assert shell(*command.split())
    assert shell("status", "--last", "10").count("advance") == 2


def test_init_says_that_the_part_is_there(lab: Lab) -> None:
    lab.start()
    (lab.project / "t.py").write_text('print("val/loss: 1.0")\n')
    words = ("--train", "t.py", *GOAL)
    assert "  program.md written, with a part that says how arctl runs it" in Shell(lab)("init", SLUG, *words)
