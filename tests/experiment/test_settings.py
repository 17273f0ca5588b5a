"""Settings as they are given: what a shell leaves as it is."""

from typing import Any

import msgspec
import pytest

from arctl.commands.init import init
from arctl.commands.session import start
from arctl.session_options import take_settings
from ardaemon.core.errors import UsageError
from ardaemon.core.model import Settings
from ardaemon.core.protocol import DURATIONS, HOURS, SomeSettings
from ardaemon.core.size import SIZES
from ardaemon.core.words import option
from ardaemon.experiment.runner import require_no_shell
from ardaemon.experiment.settings import check, given_values, inherit
from tests.support.every import every


@pytest.mark.parametrize("name", ["metric_path", "checkpoint_glob"])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("~/logs/*.csv", "/home/me/logs/*.csv"),
        ("{run_dir}/~/x", "{run_dir}/~/x"),
        ("a~b", "a~b"),
        (None, None),
    ],
)
def test_the_home_folder_may_be_written_as_a_tilde(
    monkeypatch: pytest.MonkeyPatch, name: str, given: Any, wanted: Any
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    settings, _ = inherit(None, SomeSettings(seconds=60, **{name: given}), lambda: "python3 train.py")
    assert getattr(settings, name) == wanted


def test_so_it_may_in_the_options_of_init(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "train.py").write_text("pass\n")
    options = ["x", "--train=~/train.py", "--from=~", "--seal=~/data"]
    with init.make_context("init", options) as context:
        given = context.params
    home = str(tmp_path)
    assert (given["train"], given["source"], given["seal"]) == (f"{home}/train.py", home, (f"{home}/data",))


@every(
    "name, written, number",
    [
        ("seconds", "10m", 600.0),
        ("startup", " 90 s", 90.0),
        ("stall", "0.5h", 1800.0),
        ("settle", "0s", 0.0),
        ("check_seconds", "1d", 86400.0),
        ("max_hours", "8", 8.0),
        ("max_hours", "90m", 1.5),
        ("max_gpu_hours", "2d", 48.0),
        ("vram", "6GiB", 6144.0),
        ("max_vram", "1.5g", 1536.0),
        ("max_rss", "512MiB", 512.0),
        ("max_log", "1TiB", 1048576.0),
    ],
)
def test_a_time_and_a_size_may_be_text_with_a_unit_in_json_as_they_are_on_the_command_line(
    name: str, written: str, number: float
) -> None:
    given = msgspec.json.decode(msgspec.json.encode({name: written}), type=SomeSettings)
    assert given_values(given)[name] == number
    with start.make_context("start", [option(name), written]) as context:
        assert take_settings(dict(context.params))[name] == number


def test_a_new_session_has_a_limit_on_its_logs_and_one_of_an_earlier_version_keeps_what_it_had() -> None:
    def new(last: Settings | None, **given: Any) -> tuple[float | None, bool]:
        settings, kept = inherit(last, SomeSettings(seconds=60, **given), lambda: "python3 train.py")
        return settings.max_log, "max_log" in kept

    assert new(None) == (1024.0, False)
    assert new(None, max_log=None) == (None, False)  # --max-log none
    assert new(Settings(seconds=60)) == (None, True)  # as every session was before there was a default
    assert new(Settings(seconds=60, max_log=1024.0)) == (1024.0, False)
    assert new(Settings(seconds=60, max_log=8.0)) == (8.0, True)
    assert new(Settings(seconds=60, max_log=8.0), max_log=None) == (None, False)


@every("name", [*DURATIONS, *HOURS, *SIZES])
def test_what_is_no_amount_is_an_error_that_names_the_option(name: str) -> None:
    for written in ("", "soon", "-1", "5 parsecs", "6" * 40 + "GiBs", "nan"):
        with pytest.raises(UsageError, match=option(name)):
            given_values(SomeSettings(**{name: written}))


def test_every_option_of_a_time_or_a_size_is_known_as_one() -> None:
    """By its metavar: a new one is found here."""
    amounts = {param.name for param in start.params if getattr(param, "metavar", None) in ("TIME", "SIZE")}
    assert amounts == {*DURATIONS, *HOURS, *SIZES}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"audit": "python 'x"}, "--audit .* cannot be split"),
        ({"audit": ""}, "--audit is empty"),
        ({"audit": "python x | tee y"}, "--audit .* without a shell"),
        ({"audit": "true", "audit_seconds": 0.0}, "--audit-seconds 0"),
    ],
)
def test_an_audit_that_could_never_run_is_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        check(Settings(seconds=60, **given))


@pytest.mark.parametrize("option", ["--audit", "--check", "--metric-command", "--runner"])
@pytest.mark.parametrize("line", ["a | b", "a > b", "a && b", "(a)", "a; b"])
def test_what_a_shell_alone_can_do_is_for_a_script_and_only_a_run_has_a_log(option: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_no_shell(option, line)
    is_script = caught.value.mend == f'put the line into a script, and give that: {option} "sh SCRIPT"'
    assert is_script == (option != "--runner"), caught.value.mend
    with pytest.raises(UsageError, match=r"'\$X' is a variable") as caught:
        require_no_shell(option, "a $X")
    assert "write its value" in caught.value.mend
