"""config.toml: what is read, where each value comes from, and what is said of each fault."""

import os
import time
from pathlib import Path
from typing import get_type_hints

import pytest

from ardaemon.core import files, isolated, trust
from ardaemon.core.config import Config
from ardaemon.core.config_faults import Faults, line_of
from ardaemon.core.config_file import TIMES, VARIABLES, load, parse
from ardaemon.core.errors import UsageError
from tests.support.every import every

STRANGER = 61002  # a uid that no password file knows
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")
BOTH = {"AR_GPUS": "0, GPU-5a", "AR_CPU_SLOTS": "3"}


def test_each_setting_says_where_its_value_comes_from() -> None:
    loaded = parse("# mine\n\ngrace = 3\ncpu_slots = 2\n", BOTH)
    found = {s.name: (s.value, s.where, s.line, s.variable) for s in loaded.settings}
    assert found["grace"] == (3.0, "file", 3, None)
    assert found["cpu_slots"] == (2, "file", 4, None)  # a person's word comes before a variable
    assert found["gpus"] == (("0", "GPU-5a"), "environment", None, "AR_GPUS")
    assert found["verify"] == (Config().verify, "default", None, None)
    assert found.keys() == set(Config.__struct_fields__)
    assert loaded.config == Config(grace=3.0, cpu_slots=2, gpus=("0", "GPU-5a"))


@every(
    "text, said",
    [
        ("\ngrace = 'long'", "line 2: grace: expected a number, got text"),
        ("grace = nan", "line 1: grace: expected a number of at least 0"),
        ("grace = inf", "line 1: grace: expected a number of at most 86400"),
        ("send_timeout = 0", "line 1: send_timeout: expected a number above 0"),
        ("cpu_slots = true", "line 1: cpu_slots: expected a whole number, got true or false"),
        ("gpus = [\n  '1', 0,\n]", "line 1: gpus: item 2 of the list: expected text, got a whole number"),
        ("hours = 20:00:00", "line 1: hours: expected text, got a time"),
        ("grace = 2026-11-27", "line 1: grace: expected a number, got a date"),
        ("grace = 2026-11-27T20:00:00", "line 1: grace: expected a number, got a date and time"),
        ("lease_folder = 3", "line 1: lease_folder: expected text, got a whole number"),
        ("trusted = ['team']", "line 1: trusted: item 1 of the list: expected an absolute path"),
        ("cgroup = 'on'", "line 1: cgroup: there is no such choice: 'on'; choose from: auto, off"),
        (
            "events = ['idle', 'all']",
            "line 1: events: item 2 of the list: there is no such choice: 'all'; choose from: advance, crash,"
            " unclean, terminated, gpu_quarantined, idle",
        ),
        ("on_event = 'a \"'", "line 1: on_event = 'a \"' is no command: No closing quotation"),
        ("on_event = ' '", "line 1: on_event = ' ' is no command: it is empty"),
        ('on_event = "a\\u0000"', "line 1: on_event = 'a\\x00' is no command: it has a NUL character"),
        ('hours = "8"', 'line 1: hours = "8": write them as "20-08" or "19:30-07:00"'),
        ("grase = 3", "line 1: there is no setting 'grase'; did you mean grace?"),
        ("GRACE = 3", "line 1: there is no setting 'GRACE'; did you mean grace?"),
        ('"\\u202egrace" = 3', "line 1: there is no setting '\\u202egrace'; did you mean grace?"),
        ("[train]\nlr = 1", "line 1: there is no setting 'train'; docs/configuration.md has them all"),
        ("grace = 1\nverify = [", "line 2: it is no TOML: Invalid value"),
        ("grace = 1\ngrace = 2", "line 2: it is no TOML: the setting stands there twice"),
        ("grace = 1\nverify = 08", "line 2: it is no TOML: Expected newline or end of document"),
        ("a = {\n", "line 1: it is no TOML"),
        ("a = " + "[" * 9000, "its brackets are nested too deeply"),
        ('x = """\ngrace = 3\n"""\ngrace = true', "line 4: grace: expected a number"),
        ('"gr\\u0061ce" = "x"', "line 1: grace: expected a number, got text"),
        ('"a\\u001b[31m\\n" = 1', r"line 1: there is no setting 'a\x1b[31m\n'"),
    ],
)
def test_a_fault_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Faults) as error:
        parse(text, {})
    assert said in str(error.value)
    assert "`" not in str(error.value)
    assert "\n" not in str(error.value)


def test_all_faults_are_found_in_the_order_of_the_file_and_few_are_named() -> None:
    with pytest.raises(Faults) as error:
        parse("\n".join(f"x{number} = 1" for number in range(9)) + "\ngrace = 'a'", {})
    assert [fault.line for fault in error.value.faults] == list(range(1, 11))
    assert str(error.value).endswith("; and 5 more")


def test_a_file_that_is_quite_another_one_is_soon_refused() -> None:
    """Each fault costs a look for its line; all of them took minutes."""
    begun = time.process_time()
    with pytest.raises(Faults, match="and at least 27 more"):
        parse("\n".join(f"x{number} = 1" for number in range(6000)), {})
    assert time.process_time() - begun < 20


def test_the_mark_that_some_editors_put_before_the_text_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbfgrace = 3\r\nverify = 4\r\n")
    assert load(str(path), {}).config == Config(grace=3.0, verify=4.0)


@needs_root
def test_another_users_file_is_refused_though_it_trusts_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "ardaemon/config.toml"
    path.parent.mkdir()
    path.write_text('trusted = ["/"]\n')
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(
        UsageError, match=rf"{path} cannot be read: it belongs to another user \(uid {STRANGER}\)\Z"
    ):
        load(str(path), {})
    assert trust.folders(str(path), files.config_text) == []


def test_a_fault_elsewhere_leaves_those_trusted_who_are(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('trusted = ["/srv/team"]\ngrase = 3\n')
    assert trust.folders(str(path), files.config_text) == ["/srv/team"]


@pytest.mark.parametrize("value", ["x", "0", "2.5", "-1"])
def test_a_variable_with_a_fault_is_named(value: str) -> None:
    with pytest.raises(UsageError, match=f"AR_CPU_SLOTS is '{value}': expected a whole number") as error:
        parse("", {"AR_CPU_SLOTS": value})
    assert error.value.mend.endswith("unset AR_CPU_SLOTS")


def test_an_empty_variable_gives_nothing() -> None:
    assert parse("", {"AR_CPU_SLOTS": " ", "AR_GPUS": ""}).config == Config()


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(str(tmp_path / "none/config.toml"), {}).config == Config()
    assert load(os.devnull, {}).config == Config()


def test_the_line_of_a_key_is_not_found_inside_a_text() -> None:
    assert line_of("a = '''\nb = 1\n'''\n b=2", "b") == 4


@pytest.mark.parametrize("kind", ["folder", "fifo", "bytes", "large"])
def test_what_is_no_text_is_refused_with_its_path(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.toml"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "bytes":
            path.write_bytes(b"grace = 1\n# \xff\n")
        case "large":
            path.write_text("#" * (1 << 20))
    with pytest.raises(UsageError, match=str(path)) as error:
        load(str(path), {})
    assert kind != "bytes" or "line 2: it is no text in UTF-8" in error.value.message
    assert error.value.exit_code == 64


def test_a_file_under_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("grace = 4\n")
    (tmp_path / "config.toml").symlink_to("real.toml")
    assert load(str(tmp_path / "config.toml"), {}).config.grace == 4


def test_a_daemon_that_a_client_starts_keeps_the_variables() -> None:
    assert set(VARIABLES.values()) <= isolated.KEPT


@pytest.mark.parametrize(
    "text", ["on_event = ''", "on_event = 'say \"hi'", "events = ['all']", "idle_minutes = 0"]
)
def test_settings_of_notices_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Faults, match=r"^line 1: "):
        parse(text, {})


def test_a_time_may_be_written_with_its_unit() -> None:
    text = 'grace = "90s"\nverify = "0s"\nrequest_timeout = "0.5m"\nidle_minutes = "2h"\nsend_timeout = 7\n'
    config = parse(text, {}).config
    times = [config.grace, config.verify, config.request_timeout, config.idle_minutes, config.send_timeout]
    assert times == [90.0, 0.0, 30.0, 120.0, 7]
    for wrong in ('grace = "soon"', 'idle_minutes = "0"', 'on_event_seconds = "2d"', 'cpu_slots = "2m"'):
        with pytest.raises(Faults, match=f"line 1: {wrong.split()[0]}"):
            parse(wrong, {})
    with pytest.raises(Faults, match='or a time as "90s" or "10m"'):
        parse('grace = "soon"', {})


def test_every_setting_that_is_a_time_is_known_as_one() -> None:
    hints = get_type_hints(Config)
    assert {name for name in hints if hints[name] in (float, float | None)} == set(TIMES)
