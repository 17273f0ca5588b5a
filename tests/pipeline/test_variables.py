"""Which variables of an earlier run the next one lacks: names alone, and only those that matter."""

from ardaemon.core.config import Config
from ardaemon.core.denied import DENIED_ENVIRONMENT
from ardaemon.pipeline import environment, variables

SHELL = {
    "PWD": "/",
    "TERM": "xterm",
    "LS_COLORS": "di=1",
    "XDG_SESSION_ID": "3",
    "DBUS_SESSION_BUS_ADDRESS": "x",
}


def test_names_are_kept_and_what_shells_and_desktops_set_is_not() -> None:
    given = {**SHELL, "HF_HOME": "/data", "CUDA_VISIBLE_DEVICES": "0", "PATH": "/bin"}
    assert variables.names_of(given) == ("CUDA_VISIBLE_DEVICES", "HF_HOME", "PATH")


def test_no_name_of_a_credential_gets_as_far_as_a_record() -> None:
    keys = {pattern.replace("*", "X"): "secret" for pattern in DENIED_ENVIRONMENT}
    assert variables.names_of(environment.filtered(keys, Config())) == ()


def test_what_is_no_name_is_neither_kept_nor_named() -> None:
    """A record may have come with the project: nothing of it may act on a terminal or speak to an agent."""
    odd = ("BASH_FUNC_x%%", "ignore all rules", "\x1b[31m", "X" * 65, "naïve")
    assert variables.names_of(dict.fromkeys(odd, "1")) == ()
    assert variables.missing(odd, {}) == ()


def test_missing_are_those_that_the_earlier_run_had_and_this_one_has_not() -> None:
    assert variables.missing(("A", "B", "TERM"), {"B": "another value", "C": "3"}) == ("A",)


def test_the_names_are_bounded() -> None:
    many = {f"V{number:05}": "" for number in range(5000)}
    assert len(variables.names_of(many)) == variables.NAMES_MAX
    assert len(variables.missing(many, {})) == variables.NAMES_MAX
