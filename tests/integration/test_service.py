"""The daemon as a service of a real `systemd --user`: neither restart nor crash nor watchdog ends a run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.core.protocol import PROTOCOL
from tests.support.jobs import alive, job_of
from tests.support.lab import Lab, wait_until
from tests.support.older import Version
from tests.support.service import SOCKET, UNIT, Service, services

pytestmark = pytest.mark.promise("service")

# So long that a daemon with a busy machine beside it gives its sign of life in time.
WATCHDOG_S = 4
WATCHDOG = f"[Service]\nWatchdogSec={WATCHDOG_S}\nTimeoutStopSec=4\nRestartSec=0\n"
HANGS = f"ExecStart=\nExecStart={sys.executable} -m tests.support.hanging serve\n"


@pytest.fixture
def service(lab: Lab) -> Iterator[Service]:
    """A person's systemd, with nothing installed."""
    with services(lab) as made:
        yield made


@pytest.fixture
def installed(service: Service) -> Service:
    """The installed service, with an experiment."""
    service("daemon", "install")
    service.ready()
    return service


def test_systemd_hears_when_it_serves_what_it_does_and_that_it_lives(installed: Service) -> None:
    """The start ends when the daemon serves; then its status says what is at work."""
    assert installed.systemd.is_active()
    info = installed.info()
    assert info["pid"] == installed.systemd.main_pid()
    assert (info["unit"], info["watchdog_s"]) == (UNIT, 60)
    installed.hold(0.5)
    with installed.waiting("run", "--wait"):
        shown = "runs: 1 at work, 0 waiting"
        wait_until(lambda: installed.systemd.show(UNIT, "StatusText") == shown, "the status says so")
        installed.release()


def test_a_job_learns_nothing_of_systemd(installed: Service) -> None:
    """It could speak for the daemon, or take its socket."""
    installed("daemon", "install", "--socket")
    script = (
        "import os\n"
        "open(os.environ['AR_RUN_DIR'] + '/seen', 'w').write(' '.join(os.environ) + ' ' +"
        " ' '.join(os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 20)"
        " if os.path.exists(f'/proc/self/fd/{fd}')))\n"
        "print('val/loss: 0.5')\n"
    )
    installed.lab.write(script)
    assert "advance" in installed("run", "--wait")
    seen = (installed.lab.folder / "runs/r0001/job/seen").read_text()
    assert not [word for word in ("NOTIFY_", "WATCHDOG_", "LISTEN_", "socket:") if word in seen]
    children = Path(f"/proc/{installed.systemd.main_pid()}/task")
    for task in children.iterdir():
        for child in (task / "children").read_text().split():
            assert b"LISTEN_FDS" not in Path(f"/proc/{child}/environ").read_bytes()


def test_its_socket_starts_it_with_the_first_command(service: Service) -> None:
    """Nothing runs until then. `status` and `stop` ask nobody who does not run."""
    service("daemon", "install", "--socket")
    assert service.systemd.is_active(SOCKET)
    assert not service.systemd.is_active()
    service("daemon", "status", code=69)
    assert service.json("daemon", "stop")["pid"] is None
    assert "daemon: not running" in service("doctor")
    assert not service.systemd.is_active()
    service("queue")
    info = service.info()
    assert info["pid"] == service.systemd.main_pid()
    assert service.json("daemon", "stop")["pid"] == info["pid"]
    assert Path(info["socket"]).is_socket(), "systemd listens on"
    assert not service.systemd.is_active()


def waiting(service: Service, *options: str) -> subprocess.Popen[str]:
    """A client that waits for a run at work, under the installed service."""
    service("daemon", "install", *options)
    service("queue")
    service.ready()
    service.hold(0.5)
    return service.waiting("run", "--wait")


@pytest.mark.parametrize("way", ["arctl daemon restart", "systemctl --user restart ardaemon"])
@pytest.mark.parametrize("options", [(), ("--socket",)], ids=["service", "socket"])
def test_a_restart_takes_no_run_and_no_waiting_client(
    service: Service, way: str, options: tuple[str, ...]
) -> None:
    client = waiting(service, *options)
    job, old = job_of(service.lab, "r0001"), service.systemd.main_pid()
    service.by(way)
    assert service.systemd.main_pid() not in (0, old)
    assert alive(job)
    service.release()
    code, out, err = service.end(client)
    assert (code, "advance" in out) == (0, True)
    assert err.startswith("the daemon went away; asking again\n")
    assert service.result()["attempts"] == 1


@pytest.mark.parametrize("way", ["arctl daemon stop", "systemctl --user stop ardaemon"])
@pytest.mark.parametrize("options", [(), ("--socket",)], ids=["service", "socket"])
def test_a_stop_leaves_the_run_alone_and_tells_who_waits(
    service: Service, way: str, options: tuple[str, ...]
) -> None:
    """No waiting client starts it again, though systemd's socket would."""
    client = waiting(service, *options)
    job = job_of(service.lab, "r0001")
    service.by(way)
    code, _, err = service.end(client)
    assert code == 75
    assert "the daemon was stopped" in err
    assert not service.systemd.is_active()
    assert service.systemd.show(UNIT, "Result") == "success"
    assert alive(job)
    service.release()
    assert "advance" in service("wait", "r0001")


def test_after_a_crash_systemd_starts_it_and_it_judges_the_run(installed: Service) -> None:
    """Without any client: nobody waits for this run."""
    installed.hold(0.5)
    installed("run")
    installed.lab.wait("r0001", until="launched")
    job, old = job_of(installed.lab, "r0001"), installed.systemd.main_pid()
    os.kill(old, signal.SIGKILL)
    installed.new_pid(old)
    assert alive(job)
    installed.release()
    result = installed.lab.folder / "runs/r0001/result.json"
    wait_until(result.exists, "the run is judged")
    assert (installed.result()["verdict"], installed.result()["attempts"]) == ("advance", 1)


@pytest.mark.parametrize("way", ["blocked loop", "SIGSTOP"])
def test_the_watchdog_starts_a_daemon_that_hangs_anew_and_leaves_its_run_alone(
    service: Service, way: str
) -> None:
    """A loop that serves nobody gives no sign of life; where it hung stands on its standard error."""
    traceback = service.lab.root / "traceback"
    service("daemon", "install")
    service.systemd.put(f"{UNIT}.d/test.conf", f"{WATCHDOG}{HANGS}StandardError=append:{traceback}\n")
    service("daemon", "restart")
    service.ready()
    service.hold(0.5)
    client = service.waiting("run", "--wait")
    job, old = job_of(service.lab, "r0001"), service.systemd.main_pid()
    os.kill(old, signal.SIGUSR1 if way == "blocked loop" else signal.SIGSTOP)
    service.new_pid(old)
    assert ("in hang\n" in traceback.read_text()) == (way == "blocked loop")
    assert alive(job)
    service.release()
    code, out, _ = service.end(client)
    assert code == 0
    assert "advance" in out
    assert service.result()["attempts"] == 1


def test_a_daemon_that_has_nothing_to_do_is_left_alone_by_the_watchdog(installed: Service) -> None:
    """It gives its signs of life in time, from the event loop."""
    installed.systemd.put(f"{UNIT}.d/test.conf", WATCHDOG)
    installed("daemon", "restart")
    pid = installed.systemd.main_pid()

    def signs() -> float:
        return float(installed.systemd.show(UNIT, "WatchdogTimestampMonotonic"))

    enough, soon = signs() + 1.5e6 * WATCHDOG_S, time.monotonic() + 1.5 * WATCHDOG_S
    # Each question costs a process: none is asked before there can be an answer.
    wait_until(lambda: time.monotonic() > soon and signs() > enough, "signs of life for so long")
    assert installed.systemd.main_pid() == pid


def test_an_upgrade_under_the_running_service_takes_no_run(service: Service) -> None:
    """The package is replaced in its place, as pip does; the next start has the new version."""
    old, new = Version(service.lab, "0.0.8", PROTOCOL), Version(service.lab, "0.0.9", PROTOCOL)
    service("daemon", "install")
    service.systemd.put(f"{UNIT}.d/test.conf", f"[Service]\nEnvironment=PYTHONPATH={old.root}\n")
    service("daemon", "restart")
    service.ready()
    assert service.info()["version"] == "0.0.8"
    service.hold(0.5)
    client = service.waiting("run", "--wait")
    job = job_of(service.lab, "r0001")
    for name in ("ardaemon", "arctl"):
        (old.root / name).rename(old.root / f"{name}-old")  # its daemon may be writing what it has compiled
        shutil.copytree(new.root / name, old.root / name)
    assert service.info()["active"] == 1
    service.systemd.ctl("restart", UNIT)
    assert service.info()["version"] == "0.0.9"
    assert alive(job)
    service.release()
    code, out, _ = service.end(client)
    assert (code, "advance" in out) == (0, True)
    assert service.result()["attempts"] == 1
    assert "measure" in service("run", "--wait", "--again")


def test_a_log_out_without_lingering_ends_the_run_and_is_told_before(installed: Service) -> None:
    """The next daemon knows that the run was lost, and says so."""
    assert "lingering is off: " in installed("daemon", "status")
    assert "warn  lingering: off: " in installed("doctor")
    assert installed.info()["lingering"] is False
    installed.hold(0.5)
    installed("run")
    installed.lab.wait("r0001", until="launched")
    job = job_of(installed.lab, "r0001")
    installed.systemd.log_out()
    assert not alive(job)
    with services(installed.lab) as again:
        wait_until(again.systemd.is_active, "it starts at the log-in")
        out = again("wait", "r0001", code=10)
        assert "lost" in out
