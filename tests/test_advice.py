"""What texts advise is what arctl takes: every command line, every option, with nothing missing."""

from collections.abc import Iterator
from functools import cache

import click
import pytest

from arctl.cli import arctl
from tests.support import advice, spelled
from tests.support.every import every

# What stands behind the program's name, or a group's, in a sentence. A new one is a decision: rather than
# adding it here, say it in other words, or correct the command.
PROSE = (
    *(
        "* ",
        "as that user",
        "asks at",
        "beside this Python",
        "cannot reach",
        "command",
        "has been",
        "has written",
    ),
    *("in the command allow-list", "is not on", "is run from", "protocol …", "runs it", "start the daemon"),
    *("starts the daemon", "that was installed", "use Unix sockets"),
    *("chain shows", "queue lists"),
)
RUN = "arctl queue release"  # queue/views.py adds the run
# Options of other programs, and what they belong to.
FOREIGN = {"--target": "findmnt"}


def _is_prose(text: str) -> bool:
    return f"{text.removeprefix('arctl ')} ".startswith(PROSE)


@cache
def _commands() -> list[advice.Text]:
    return [one for one in advice.commands() if not _is_prose(one.text)]


def test_the_walk_sees_the_texts_of_the_whole_program() -> None:
    """Errors of the daemon, checks of doctor, warnings of commands, what a constant holds."""
    seen = {one.place.partition(":")[0] for one in _commands()}
    assert {
        "ardaemon/experiment/ready.py",
        "ardaemon/core/words.py",
        "ardaemon/handlers/lookup.py",
        "arctl/commands/doctor.py",
        "arctl/connection.py",
    } <= seen
    assert len(_commands()) > 120


@every("one", _commands, ids=str)
def test_a_command_that_a_text_names_is_one_that_arctl_takes(one: advice.Text) -> None:
    assert spelled.faults(one.text) == []
    assert one.text == RUN or spelled.missing(one.text) == []


def _every(command: click.Command, context: click.Context) -> Iterator[click.Parameter]:
    yield from command.get_params(context)
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _every(found, click.Context(found, parent=context, info_name=name))


def test_an_option_that_an_error_names_is_one_of_arctl() -> None:
    parameters = _every(arctl, click.Context(arctl, info_name="arctl"))
    known = {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
    assert [str(one) for one in advice.options_in_errors() if one.text not in {*known, *FOREIGN}] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("arctl no-such", "no command 'no-such'"),
        ("arctl session start --second 5", "start has no option --second"),
        ("arctl session start --seconds many", "--seconds many"),
    ],
)
def test_what_arctl_does_not_take_is_noticed(line: str, fault: str) -> None:
    assert fault in spelled.faults(line)[0]


def test_so_is_what_a_command_lacks() -> None:
    assert spelled.missing("arctl init") == ["SLUG"]
    assert spelled.missing("arctl init --help") == []
    assert spelled.missing("arctl session start --resume fresh") == ["--yes"]
    assert spelled.missing("arctl session start --resume fresh --yes") == []
    assert spelled.missing("arctl session start --seconds N") == []
    assert spelled.missing("arctl queue hold --json") == ["RUN"]
