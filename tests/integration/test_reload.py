"""config.toml is taken up when it is saved, without a restart; a broken one changes nothing."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.machine import config_of, configured, with_gpus
from tests.support.shell import Shell, shells


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    with shells(lab) as made:
        yield made


def taken_up(lab: Lab, text: str) -> list[Any]:
    """Save the file, and wait until the daemon has it; the settings that changed."""
    before = len(lab.events("config"))
    configured(lab, text)
    wait_until(lambda: len(lab.events("config")) > before, "the file is taken up")
    return list(lab.events("config")[-1]["changed"])


def hours_that_are_over() -> str:
    now = time.localtime().tm_hour
    return f"{(now + 2) % 24}-{(now + 3) % 24 or 24}"


def test_hours_hold_from_now_on_and_end_with_the_file(shell: Shell) -> None:
    """The folder is not there when the daemon starts."""
    pid = shell.json("daemon", "status")["pid"]
    assert taken_up(shell.lab, f'hours = "{hours_that_are_over()}"\n') == ["hours"]
    shell.lab.edit(0.5)
    assert "outside of the hours in config.toml" in shell("run")
    config_of(shell.lab).unlink()
    assert "[r0001] advance" in shell("wait", "r0001")
    assert shell.json("daemon", "status")["pid"] == pid


def test_more_slots_let_a_waiting_run_start_and_fewer_end_none(shell: Shell) -> None:
    shell.hold(0.9)
    shell("run")
    wait_until(lambda: shell.states() == ["running"], "the first runs")
    shell.hold(0.8)
    shell("run")
    assert shell.states() == ["running", "queued"]
    assert taken_up(shell.lab, "cpu_slots = 2\n") == ["cpu_slots"]
    wait_until(lambda: shell.states() == ["running", "running"], "the second starts")
    assert taken_up(shell.lab, "cpu_slots = 1\n") == ["cpu_slots"]
    assert shell.states() == ["running", "running"]
    shell.hold(0.7)
    shell("run")
    assert shell.states() == ["running", "running", "queued"]
    shell.release()
    shell("wait", "r0003")


def test_a_denied_variable_is_kept_from_the_next_run(lab: Lab) -> None:
    lab.environment["MY_WORD"] = "1"
    lab.ready(gpus=0)
    script = 'import os\nprint("val/loss:", 0.5 if "MY_WORD" in os.environ else 0.25)\n'
    lab.write(script)
    assert lab.run()["primary"]["value"] == 0.5
    assert taken_up(lab, 'deny_environment = ["MY_*"]\n') == ["deny_environment"]
    lab.write(f"{script}# again\n")
    assert lab.run()["primary"]["value"] == 0.25


def test_gpus_are_left_to_others_from_now_on(lab: Lab) -> None:
    with_gpus(lab, 2)
    lease = config_of(lab).read_text()
    lab.ready()
    assert taken_up(lab, lease + 'gpus = ["1"]\n') == ["gpus"]
    states = {gpu["index"]: gpu["why"] for gpu in lab.call("gpu.list")["gpus"]}
    assert "config.toml leaves it to others" in str(states[0])


def test_a_broken_file_keeps_the_settings_and_is_told_once(shell: Shell) -> None:
    lab, pid = shell.lab, shell.json("daemon", "status")["pid"]
    taken_up(lab, "cpu_slots = 2\n")
    configured(lab, "cpu_slots = 2\ngrase = 3\n")
    wait_until(lambda: lab.events("config refused"), "the fault is told")
    config_of(lab).touch()  # the same fault again
    configured(lab, "cpu_slots = 'x'\n")
    wait_until(lambda: len(lab.events("config refused")) > 1, "the other fault is told")
    told = [event["why"] for event in lab.events("config refused")]
    assert [why.partition(": line ")[2][:1] for why in told] == ["2", "1"]
    assert lab.call("queue.list")["slots"] == 2
    checks = [check for check in shell.json("doctor")["checks"] if check["name"] == "config.toml"]
    assert [(check["level"], check["mend"]) for check in checks] == [("warn", "arctl config check")]
    process = shell.start("config", "show")
    code, out, err = shell.end(process)
    assert (code, out) == (64, "")
    assert "the daemon goes on with the settings of before the fault" in err
    code, out, err = shell.end(shell.start("daemon", "restart"))
    assert (code, out) == (64, ""), "it would be stopped, and none could start"
    assert err.endswith("arctl config check\n")
    assert shell.json("daemon", "status")["pid"] == pid
    taken_up(lab, "cpu_slots = 3\n")
    assert lab.call("queue.list")["slots"] == 3
    assert not [check for check in shell.json("doctor")["checks"] if check["name"] == "config.toml"]


def test_what_runs_were_started_with_waits_for_a_restart_and_says_so(shell: Shell) -> None:
    lab = shell.lab
    configured(lab, "pids_max = 100\n")
    wait_until(lambda: lab.events("config waits"), "it is told")
    assert lab.events("config waits")[-1]["mend"] == "arctl daemon restart"
    line = next(line for line in shell("config", "show").splitlines() if line.startswith("pids_max"))
    assert line.endswith(f"{config_of(lab)}:1; runs keep 32768 until: arctl daemon restart")
    checks = [check for check in shell.json("doctor")["checks"] if check["name"] == "config.toml"]
    assert [check["mend"] for check in checks] == ["arctl daemon restart"]
    shell("daemon", "restart")
    assert "restart" not in shell("config", "show")


def test_the_file_behind_a_link_is_watched_too(lab: Lab) -> None:
    real = lab.root / "dotfiles" / "ardaemon.toml"
    real.parent.mkdir()
    real.write_text("cpu_slots = 2\n")
    config_of(lab).parent.mkdir(parents=True)
    config_of(lab).symlink_to(real)
    lab.start()
    new = Path(f"{real}.new")
    new.write_text("cpu_slots = 3\n")
    new.rename(real)
    wait_until(lambda: lab.call("queue.list")["slots"] == 3, "the file is taken up")


def test_a_link_on_the_way_to_the_file_may_be_led_elsewhere(lab: Lab) -> None:
    """As dotfiles are switched: each link may lead to another one."""
    above, links = config_of(lab).parents[1], [lab.root / name for name in ("one", "two")]
    for slots, link in enumerate(links, 2):
        folder = lab.root / f"dotfiles{slots}/ardaemon"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(f"cpu_slots = {slots}\n")
        link.symlink_to(folder.parent.name)
    above.parent.mkdir(exist_ok=True)
    above.symlink_to(links[0])
    lab.start()
    _lead(above, links[1])
    wait_until(lambda: lab.call("queue.list")["slots"] == 3, "the first link is followed")
    _lead(links[1], lab.root / "dotfiles2")
    wait_until(lambda: lab.call("queue.list")["slots"] == 2, "the second link is followed")


def _lead(link: Path, target: Path) -> None:
    new = Path(f"{link}.new")
    new.symlink_to(target)
    new.rename(link)


def test_the_variables_of_the_daemon_are_shown_and_hold_after_a_change(shell: Shell) -> None:
    """A shell of now may have others."""
    lab = shell.lab
    shell("daemon", "stop")
    lab.environment["AR_CPU_SLOTS"] = "4"
    shell("daemon", "start")
    del lab.environment["AR_CPU_SLOTS"]
    assert "environment variable AR_CPU_SLOTS" in shell("config", "show")
    taken_up(lab, "grace = 1\n")
    assert lab.call("queue.list")["slots"] == 4


def test_an_idle_daemon_does_nothing_for_the_file(lab: Lab) -> None:
    """The kernel tells: the daemon has one descriptor for it, and no thread that looks."""
    lab.start()
    wait_until(lambda: "anon_inode:inotify" in _open_in(lab.pid), "a watch")
    assert not [name for name in _threads_of(lab.pid) if "notify" in name]


def _threads_of(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(task.joinpath("comm").read_text())
    return found


def _open_in(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(entry))
    return found
