"""on_event: a person's command gets each event that is worth notice, and holds up nobody."""

import json
import time
from pathlib import Path
from typing import Any

import anyio

from ardaemon.core.config import Config
from ardaemon.core.live_config import LiveConfig
from ardaemon.gpus.book import GpuBook
from ardaemon.machine import on_event
from ardaemon.machine.notices import Notice
from ardaemon.machine.on_event import FEEDBACK_S
from ardaemon.queue.board import Board
from ardaemon.queue.gate import Gate
from ardaemon.queue.placement import Placement
from tests.support.lab import Lab, wait_until
from tests.support.machine import config_of, configured, with_gpus
from tests.support.shell import Shell

WRITES = "#!/bin/sh\npwd > {where}\nenv > {env}\ncat >> {told}\n"


def noting(lab: Lab, script: str = WRITES, **settings: str) -> Path:
    """A command that writes down what it gets, in a config.toml of a daemon that is not there yet."""
    told, program = lab.root / "told", lab.root / "notify me"
    program.write_text(script.format(told=told, where=lab.root / "where", env=lab.root / "env"))
    program.chmod(0o755)
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    configured(lab, f"on_event = \"'{program}'\"\n" + "".join(lines))
    return told


def told(path: Path, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: path.exists() and path.read_text().count("\n") >= count, f"{count} notices")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_worth_notice_comes_as_json_in_its_order(lab: Lab) -> None:
    path = noting(lab)
    lab.environment["SECRET_OF_THE_PROJECT"] = "1"
    lab.ready(max_runs=3)
    lab.tried(0.5)
    lab.tried(0.9)  # a revert is not
    lab.write("raise SystemExit(3)\n")
    lab.run()
    first, crash, over = told(path, 3)
    assert first.keys() == {"at", "host", "event", "text", "project", "expr", "run_id", "value"}
    assert (first["event"], first["run_id"], first["value"]) == ("advance", "r0001", 0.5)
    assert first["project"] == str(lab.project)
    assert first["at"] <= crash["at"] <= over["at"]
    assert (crash["event"], crash["run_id"]) == ("crash", "r0003")
    assert (over["event"], over["terminated_by"]) == ("terminated", "max_runs")
    assert (lab.root / "where").read_text().strip() == str(lab.root / "h")
    assert "SECRET_OF_THE_PROJECT" not in (lab.root / "env").read_text()


def test_the_end_of_a_session_is_told_once_though_a_run_was_at_work(lab: Lab) -> None:
    """By `session stop`, which interrupts that run; an agent waits no longer for its feedback."""
    path = noting(lab, "#!/bin/sh\ncat >> {told}\necho noted\n", feedback="true")
    lab.ready()
    shell = Shell(lab)
    for count in (1, 2):
        shell.hold(0.5)
        process = shell.waiting("run", "--wait", "--again")
        lab.call("session.stop", project=str(lab.project))
        wait_until((lab.folder / f"runs/r000{count}/result.json").exists, "the verdict")
        begun = time.monotonic()
        assert "stop: manual" in shell.end(process)[1]
        assert time.monotonic() - begun < FEEDBACK_S
        assert [notice["event"] for notice in told(path, count)] == ["terminated"] * count
        lab.session()
    lab.tried(0.4)  # a notice that had come late would stand before its
    assert [notice["event"] for notice in told(path, 3)] == ["terminated", "terminated", "advance"]


def test_only_the_named_events_are_told(lab: Lab) -> None:
    path = noting(lab, events='["terminated"]')
    lab.ready(max_runs=1)
    lab.tried(0.5)
    assert [notice["event"] for notice in told(path, 1)] == ["terminated"]


def test_an_agent_that_submits_nothing_is_told_once(lab: Lab) -> None:
    """It holds for the session that was live before the setting was made, and beside a launch of the best."""
    path = noting(lab)
    text = config_of(lab).read_text()
    lab.ready()
    lab.tried(0.5)
    told(path, 1)
    lab.call("queue.pause")
    (launch,) = lab.get("run.rerun", run_id="r0001", environment=lab.environment)["runs"]
    configured(lab, f"{text}idle_minutes = 0.01\n")
    assert [notice["event"] for notice in told(path, 2)] == ["advance", "idle"]
    lab.call("queue.resume")
    lab.wait(launch)
    lab.tried(0.4)
    assert [notice["event"] for notice in told(path, 4)] == ["advance", "idle", "advance", "idle"]


def test_a_sick_gpu_is_told_with_what_to_do(lab: Lab) -> None:
    fake = with_gpus(lab, 1)
    leases = config_of(lab).read_text()
    path = noting(lab)
    configured(lab, config_of(lab).read_text() + leases)
    lab.start()
    lab.call("gpu.list")  # an Xid is told to whoever listens by then
    fake.xid(0, 79)
    fake.write()
    wait_until(lambda: lab.call("gpu.list")["gpus"][0]["state"] == "quarantined", "the Xid to be noticed")
    (notice,) = told(path, 1)
    assert (notice["event"], notice["gpu"][:4]) == ("gpu_quarantined", "GPU-")
    assert "arctl gpus --clear 0" in notice["text"]
    assert "project" not in notice


def test_what_it_prints_is_given_to_the_agent_that_waits_before_the_last_line(lab: Lab) -> None:
    noting(lab, "#!/bin/sh\nread event\nprintf 'try \\033[31mwarmup\\nnext %0400d' 0\n", feedback="true")
    lab.ready()
    shell = Shell(lab)
    lab.edit(0.5)
    lines = shell("run", "--wait").splitlines()
    assert lines[-2].startswith("[r0001] feedback: try warmup next 000")
    assert lines[-1].startswith("[r0001] continue")
    assert len(lines[-2].removeprefix("[r0001] feedback: ").encode()) <= 300
    assert "[r0001] feedback: try warmup" in shell("wait", "r0001")  # also for who comes later
    assert shell.json("wait", "r0001")["feedback"].startswith("try warmup next 000")
    lab.edit(0.4)
    shell("run")
    assert shell.json("wait", "--any")["feedback"].startswith("try warmup")
    shell.hold(0.9)  # a revert is not told: there is nothing to wait for
    process = shell.waiting("run", "--wait")
    shell.release()
    wait_until((lab.folder / "runs/r0003/result.json").exists, "the verdict")
    begun = time.monotonic()
    code, out, _ = shell.end(process)
    assert (code, "feedback" in out) == (0, False)
    assert time.monotonic() - begun < FEEDBACK_S


def test_an_agent_does_not_wait_for_a_command_that_takes_long_or_fails(lab: Lab) -> None:
    noting(lab, "#!/bin/sh\nsleep 600\n", feedback="true", on_event_seconds="600.0")
    lab.ready()
    lab.edit(0.5)
    view = lab.wait(lab.submit()["run_id"])  # for a minute at most
    assert (view["result"]["verdict"], view["feedback"]) == ("advance", "")
    lab.stop()
    noting(lab, "#!/bin/sh\necho no\nexit 1\n", feedback="true")
    lab.start()
    lab.edit(0.4)
    assert lab.wait(lab.submit()["run_id"])["feedback"] == ""


def test_without_feedback_an_agent_hears_nothing(lab: Lab) -> None:
    path = noting(lab, "#!/bin/sh\ncat >> {told}\necho to the person\n")
    lab.ready()
    lab.edit(0.5)
    assert lab.wait(lab.submit()["run_id"])["feedback"] == ""
    told(path, 1)


def test_a_command_that_hangs_is_ended_and_holds_up_no_run(lab: Lab) -> None:
    noting(lab, "#!/bin/sh\nsleep 600\n", on_event_seconds="1.5")
    lab.ready()
    lab.tried(0.5)
    lab.tried(0.4)
    wait_until(lambda: lab.events("on_event failed"), "the failure is told")
    assert lab.events("on_event failed")[0]["why"] == "it was ended after 1.5 s"


def test_a_failure_is_told_once_and_what_it_printed_is_clean(lab: Lab) -> None:
    path = noting(lab, "#!/bin/sh\ncat >> {told}\nprintf 'no \\033[31mway' >&2\nexit 3\n")
    lab.ready()
    for value in (0.5, 0.4, 0.3):
        lab.tried(value)
    told(path, 3)
    wait_until(lambda: lab.events("on_event failed"), "the failure is told")
    assert [event["why"] for event in lab.events("on_event failed")] == ["exit code 3: no way"]
    assert lab.call("daemon.info")["config"]["on_event"] == "exit code 3: no way"
    checks = [check for check in Shell(lab).json("doctor")["checks"] if check["name"] == "on_event"]
    assert [check["level"] for check in checks] == ["warn"]
    assert checks[0]["found"].endswith("failed when it last ran: exit code 3: no way")
    configured(lab, 'on_event = "true"\n')
    wait_until(lambda: not lab.call("daemon.info")["config"]["on_event"], "another command has not failed")


def test_a_command_that_is_not_there_is_named(lab: Lab) -> None:
    configured(lab, "on_event = '/no/such/program'\n")
    lab.ready()
    lab.tried(0.5)
    wait_until(lambda: lab.events("on_event failed"), "the failure is told")
    assert lab.events("on_event failed")[0]["why"] == (
        "it cannot be started: /no/such/program: No such file or directory"
        " (name its whole path: the PATH that counts is the daemon's)"
    )


def test_a_command_that_a_signal_has_ended_is_told_by_its_name() -> None:
    failure, printed = on_event.run("sh -c 'echo no; kill -9 $$'", 30.0, Notice(event="crash", text="x"))
    assert (failure, printed) == ("it was ended by SIGKILL: no", "")


def test_only_what_was_printed_of_a_run_is_kept_and_of_few_of_them(tmp_path: Path) -> None:
    async def story() -> on_event.Notifier:
        config = LiveConfig(Config())
        gate = Gate(tmp_path / "queue.json", None)
        notifier = on_event.Notifier(config, Board(config, Placement(config.now, GpuBook()), gate))
        for number in range(on_event.PRINTED_MAX + 9):
            for run_id in (f"r{number}", None):
                notice = Notice(event="terminated", text="over", project="/p", expr="e", run_id=run_id)
                notifier._keep(notice, "noted")
        return notifier

    printed = anyio.run(story).printed
    assert len(printed) == on_event.PRINTED_MAX
    assert all(run_id is not None for _, _, run_id in printed)


def test_a_project_cannot_name_a_command(lab: Lab) -> None:
    """Neither by a config.toml of its own, nor by a program of that name in its folder, nor by a variable."""
    marker = lab.root / "ran"
    script = f"#!/bin/sh\ntouch {marker}\n"
    for folder in (lab.project, lab.project / ".config/ardaemon"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(f'on_event = "touch {marker}"\n')
        (folder / "notify").write_text(script)
        (folder / "notify").chmod(0o755)
    configured(lab, 'on_event = "notify"\n')
    lab.environment["AR_ON_EVENT"] = f"touch {marker}"
    lab.ready()
    lab.tried(0.5)
    wait_until(lambda: lab.events("on_event failed"), "no program of that name is found")
    assert not marker.exists()


def test_a_daemon_that_stops_ends_the_command(lab: Lab) -> None:
    pid_file = lab.root / "pid"
    noting(lab, f"#!/bin/sh\necho $$ > {pid_file}\nsleep 600\n")
    lab.ready()
    lab.tried(0.5)
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the command runs")
    lab.stop()
    pid = int(pid_file.read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the command is gone")
