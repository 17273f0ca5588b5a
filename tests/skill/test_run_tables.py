"""The tables of the skill: they name all that there is, and what they forbid the guards refuse."""

from pathlib import Path
from typing import get_args

import click
import msgspec

from arctl.commands.chain_init import chain_init
from ardaemon.core.model import Result, Verdict
from ardaemon.judging import next_step
from tests.support import guards
from tests.support.every import every
from tests.support.manual import INLINE, table

RUN = Path(__file__).parents[2] / "skill" / "skills" / "run"
MAY_EDIT = "**read, edit**"


def codes(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return INLINE.findall(cell)


def test_each_field_of_a_result_is_explained() -> None:
    """Line by line, as the file has them."""
    explained = [
        code for row in table(RUN / "references" / "loop-protocol.md", "Decide") for code in codes(row[0])
    ]
    assert sorted(explained) == sorted(field.encode_name for field in msgspec.structs.fields(Result))


def test_each_option_of_chain_init_is_explained() -> None:
    """With what holds where it is not given."""
    rows = table(RUN / "references" / "chain-transition.md", "Each option, and what holds without it")
    explained = {code.split()[0] for row in rows for code in codes(row[0])}
    options = {param.opts[0] for param in chain_init.params if isinstance(param, click.Option)}
    assert explained == options


def test_the_loop_knows_each_verdict_and_each_next_step() -> None:
    """No run ends with a word that the skill does not explain."""
    explained = [code for row in table(RUN / "SKILL.md", "Decide") for code in codes(row[0])]
    steps = {"continue", "chain", "stop", next_step.LEAVE.partition(":")[0], "still"}
    assert set(explained) == steps | set(get_args(Verdict)) | {"unclean"}


def file_rows() -> list[tuple[str, bool]]:
    """Each file that write-discipline.md names below .autoresearch/, and whether it may be edited."""
    rows = table(RUN / "references" / "write-discipline.md", "Under `.autoresearch/`")
    return [(code, row[1].startswith(MAY_EDIT)) for row in rows for code in codes(row[0])]


def git_rows() -> list[tuple[str, bool]]:
    """Each git command that write-discipline.md names, and whether it is allowed."""
    rows = table(RUN / "references" / "write-discipline.md", "Git")
    return [(code, row[1].startswith("allowed")) for row in rows for code in codes(row[0])]


@every("name, editable", file_rows())
def test_the_guard_decides_as_the_page_says(tmp_path: Path, name: str, editable: bool) -> None:
    """One file may be edited, the others not."""
    project = guards.project(tmp_path)
    path = project / ".autoresearch" / name.replace("SLUG", guards.SLUG)
    answer = guards.ask("edit", guards.edit("Edit", project, file_path=str(path)))
    assert answer.code == (0 if editable else 2), answer


@every("command, allowed", git_rows())
def test_the_guard_takes_the_git_commands_that_only_read(tmp_path: Path, command: str, allowed: bool) -> None:
    """The page and the guard name the same."""
    event = guards.edit("Bash", guards.project(tmp_path), command=command)
    answer = guards.ask("edit", event)
    assert answer.code == (0 if allowed else 2), answer
