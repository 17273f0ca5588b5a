"""`arctl daemon install` and `uninstall`, and a start through the user's systemd with nothing installed."""

import os
import resource
import signal
import stat
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

from arctl.service import lingering, manager, shell, units
from tests.support.imports import ROOT
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.service import SOCKET, UNIT, Service, services
from tests.support.shell import Shell, read_until
from tests.support.user_systemd import PROGRAM

SYSTEMD = 252  # without what newer versions know
PROPERTIES = (
    "Type NotifyAccess KillMode Delegate DelegateControllers Restart RestartUSec RestartPreventExitStatus"
    " WatchdogUSec TimeoutStartUSec TimeoutStopUSec OOMPolicy TasksMax StartLimitIntervalUSec"
).split()


@pytest.fixture
def service(lab: Lab) -> Iterator[Service]:
    """A person's systemd, with nothing installed."""
    with services(lab) as made:
        yield made


def error_of(shell: Shell, *arguments: str) -> tuple[int, str]:
    """A command that fails: its exit code, and what it says."""
    code, out, err = shell.end(shell.start(*arguments))
    assert out == ""
    return code, err


# --- the files ---


def verified(*files: Path, runtime: Path) -> str:
    """What systemd-analyze says of unit files."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *map(str, files)],
        env={"PATH": os.environ["PATH"], "HOME": str(runtime), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    return f"{done.stdout}{done.stderr}{done.returncode}"


@pytest.mark.skipif(not Path(PROGRAM).exists(), reason="needs systemd")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """Neither in those of the repository nor in those that are installed."""
    assert verified(*(ROOT / "systemd" / name for name in (UNIT, SOCKET)), runtime=tmp_path) == "0"
    for name in (UNIT, SOCKET):
        given = {"XDG_STATE_HOME": '/a b/100%/"c"$\nd'}
        (tmp_path / name).write_text(units.rendered(name, SYSTEMD, given, shell.settings()))
    assert verified(tmp_path / UNIT, tmp_path / SOCKET, runtime=tmp_path) == "0"


ODD = "v $x %n é\"q;\\'\t"


def test_systemd_starts_the_program_whatever_its_folder_is_called(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable is expanded in the first word of a command line, and no quote is allowed in it."""
    for number, name in enumerate(["plain", "a b$c%né;", ODD, "\udcff", f"{ODD}\n\udcff"]):
        program = service.lab.root / name / "ardaemon"
        program.parent.mkdir()
        program.write_text('#!/bin/sh\necho "$*" > "${0%/*}/said"\n')
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program.with_name("python")))
        text = units.rendered(UNIT, SYSTEMD, {}, []).replace("Type=notify", "Type=oneshot")
        service.systemd.put(f"odd{number}.service", text)
        service.systemd.ctl("start", f"odd{number}.service")
        assert (program.parent / "said").read_text() == "serve\n"


def test_a_variable_that_is_no_text_is_refused_before_anything_is_written(service: Service) -> None:
    """systemd would leave the line out. `arctl` starts a daemon with it all the same."""
    folder, before = service.lab.root / "h", dict(service.lab.environment)
    for name in ("XDG_CONFIG_HOME", "LD_LIBRARY_PATH"):
        service.lab.environment = {**before, name: str(folder / "\udcff")}
        code, err = error_of(service, "daemon", "install")
        assert code == 65
        assert err.startswith(f"Error: {name} is not UTF-8 text")
        assert f"{folder}/\\xff\n" in err
        assert not service.systemd.units.exists()
        answer = service.json("daemon", "start")
        assert answer["unit"] == ""
        service("daemon", "stop")


def test_each_setting_of_a_unit_has_its_reason() -> None:
    """A comment stands above it, or above those that it stands with; what a unit must say needs none."""
    plain: tuple[str, ...] = (
        "Description",
        "Documentation",
        "ExecStart",
        "LogRateLimitBurst",
    )
    plain += ("DirectoryMode", "TriggerLimitBurst", "WantedBy=sockets")
    for name in (UNIT, SOCKET):
        lines = (ROOT / "systemd" / name).read_text().splitlines()
        for before, line in pairwise(lines):
            if "=" in line and not line.startswith(("#", *plain)):
                assert before.startswith("# "), f"{name}: {line}"


def test_a_line_for_a_newer_systemd_is_written_for_that_one_alone() -> None:
    assert "\nDelegateSubgroup=daemon\n" in units.rendered(UNIT, 254, {}, [])
    assert "\nDelegateSubgroup=" not in units.rendered(UNIT, 253, {}, [])
    assert "DelegateSubgroup=daemon" in units.properties(254)
    assert not [line for line in units.properties(252) if line.startswith(("DelegateSub", "RestartSt"))]


def test_a_changed_file_is_told_from_an_untouched_one_of_any_version() -> None:
    text = units.rendered(UNIT, SYSTEMD, {}, [])
    assert not units.is_changed(text)
    assert not units.is_changed(units.marked("[Service]\nof another version\n"))
    assert units.is_changed(text + "Nice=5\n")
    assert units.is_changed("[Service]\nExecStart=/bin/true\n")


# --- install, uninstall ---


def test_an_installed_service_serves_and_starts_at_log_in(service: Service) -> None:
    """It is started by what an upgrade replaces in its place, with folder and slots of this shell."""
    service.lab.environment["AR_CPU_SLOTS"] = "3"
    out = service("daemon", "install")
    assert service.json("queue")["slots"] == 3
    assert "lingering is off" in out
    path = service.systemd.units / UNIT
    assert f"ExecStart={Path(units.command()[0])}" in path.read_text()
    assert service.systemd.ctl("is-enabled", UNIT) == "enabled\n"
    info = service.info()
    assert (info["pid"], info["unit"]) == (service.systemd.main_pid(), UNIT)
    assert {"pid", "version", "socket", "uptime_s", "active", "lingering"} <= info.keys()
    assert Path(info["log"]).is_relative_to(service.lab.state_home)


def test_the_daemon_that_runs_gives_way_to_the_service_and_no_run_is_lost(service: Service) -> None:
    """First a unit without a file, then the service, then its socket, then the service again."""
    service("daemon", "start")
    assert service.info()["unit"] != UNIT
    service.ready()
    service.hold(0.5)
    client = service.waiting("run", "--wait")
    for options in ((), ("--socket",), ()):
        service("daemon", "install", *options)
        assert service.info()["unit"] == UNIT
        assert (service.systemd.units / SOCKET).exists() == bool(options)
        assert service.systemd.is_active(SOCKET) == bool(options)
        # It answers at once, and takes its runs up meanwhile.
        wait_until(lambda: service.info()["active"] == 1, "the run is taken up")
    service.release()
    code, out, _ = service.end(client)
    assert (code, "advance" in out) == (0, True)


def test_a_dry_run_shows_files_and_commands_and_does_nothing(service: Service) -> None:
    shown = service("daemon", "install", "--socket", "--linger", "--dry-run")
    for words in ("KillMode=process", "ListenStream=", "daemon-reload", "enable ardaemon.socket"):
        assert words in shown
    assert "loginctl enable-linger" in shown
    assert not service.systemd.units.exists()
    service("daemon", "install")
    shown = service("daemon", "uninstall", "--dry-run")
    assert "systemctl --user disable ardaemon.service\nsystemctl --user stop ardaemon.service\n" in shown
    assert service.systemd.is_active()


@pytest.mark.parametrize("place", ["systemd", f"systemd/user/{SOCKET}/x"], ids=["folder", "second file"])
def test_an_installation_that_cannot_be_written_changes_nothing(service: Service, place: str) -> None:
    """The daemon that runs goes on, and no unit is left."""
    pid = service.json("daemon", "start")["pid"]
    way = Path(service.lab.environment["HOME"], ".config", place)
    way.parent.mkdir(parents=True)
    way.touch()
    code, err = error_of(service, "daemon", "install", "--socket", "--force")
    assert code == 74
    assert err.endswith("→ mend that; then: arctl daemon install\n")
    assert service.info()["pid"] == pid
    assert not (service.systemd.units / UNIT).exists()


def test_what_a_person_has_changed_is_kept_unless_force_is_given(service: Service) -> None:
    service("daemon", "install")
    path = service.systemd.units / UNIT
    changed = path.read_text().replace("RestartSec=1", "RestartSec=7")
    path.write_text(changed)
    for command in ("install", "uninstall"):
        code, err = error_of(service, "daemon", command)
        assert code == 65
        assert f"{path} is not as arctl has written it" in err
        assert f"arctl daemon {command} --force" in err
        assert path.read_text() == changed
    service("daemon", "install", "--force")
    assert "RestartSec=1\n" in path.read_text()


def test_what_is_uninstalled_leaves_nothing_and_its_run_goes_on(service: Service) -> None:
    service("daemon", "install", "--socket")
    service("queue")
    service.ready()
    service.hold(0.5)
    service("run")
    service.lab.wait("r0001", until="launched")
    out = service("daemon", "uninstall")
    assert "running jobs go on" in out
    assert [path for path in service.systemd.units.rglob("*") if path.is_file() or path.is_symlink()] == []
    service.release()
    assert "advance" in service("wait", "r0001")

    def loaded() -> str:
        return service.systemd.ctl("list-units", "--all", "--no-legend", UNIT, SOCKET)

    wait_until(lambda: loaded() == "", "systemd has forgotten the units, once no job is in their cgroup")
    assert service("daemon", "uninstall") == "nothing is installed\n"


def test_a_unit_that_systemd_cannot_load_is_uninstalled_all_the_same(service: Service) -> None:
    """As after an edit with a fault: systemd refuses to stop what it has not loaded."""
    service("daemon", "install")
    service("daemon", "stop")
    service.systemd.put(f"{UNIT}.d/fault.conf", "[Service]\nExecStart=\n")
    assert service.systemd.show(UNIT, "LoadState") == "bad-setting"
    assert "removed: " in service("daemon", "uninstall")
    assert not (service.systemd.units / UNIT).exists()
    assert service("daemon", "uninstall") == "nothing is installed\n"


def test_without_a_systemd_it_says_so_and_what_to_use(lab: Lab) -> None:
    """As in a container."""
    shell = Shell(lab)
    for command in ("install", "uninstall"):
        code, err = error_of(shell, "daemon", command)
        assert code == 65
        assert "no systemd of this user answers here" in err
        assert "arctl daemon start" in err
    shell("daemon", "start")
    try:
        assert "service: none" in shell("daemon", "status")
        assert "no systemd of yours answers here" in shell("doctor")
    finally:
        shell("daemon", "stop")


# --- lingering ---


def test_lingering_that_is_refused_leaves_nothing_installed(service: Service) -> None:
    """logind is not there."""
    code, err = error_of(service, "daemon", "install", "--linger")
    assert code == 65
    assert "lingering cannot be turned on" in err
    assert "sudo loginctl enable-linger root" in err
    assert not service.systemd.units.exists()


def test_lingering_is_turned_on_where_it_is_asked_for(service: Service) -> None:
    """By loginctl, whose stand-in does what logind does."""
    tool = service.lab.root / "bin/loginctl"
    tool.parent.mkdir()
    folder = lingering.FOLDER
    tool.write_text(f'#!/bin/sh\n[ "$1" = enable-linger ] && mkdir -p {folder} && touch {folder}/root\n')
    tool.chmod(0o755)
    service.lab.environment["PATH"] = f"{tool.parent}:{service.lab.environment['PATH']}"
    assert "lingering is on" in service("daemon", "install", "--linger")
    assert service.info()["lingering"] is True
    assert "ok    lingering: on" in service("doctor")


# --- a start through systemd ---


def test_a_daemon_that_a_command_starts_is_in_no_cgroup_of_its_client(service: Service) -> None:
    """It has the properties of the installed unit."""
    service("queue")
    info = service.info()
    assert info["pid"] == service.systemd.main_pid(info["unit"])
    assert fnmatch(info["unit"], manager.TRANSIENT)
    assert service.systemd.cgroup_of(info["pid"]).startswith(f"/app.slice/{info['unit']}")
    transient = {name: service.systemd.show(info["unit"], name) for name in PROPERTIES}
    service("daemon", "install")
    assert {name: service.systemd.show(UNIT, name) for name in PROPERTIES} == transient
    assert transient["KillMode"] == "process"


@pytest.mark.parametrize("installs", [False, True], ids=["transient", "service"])
def test_a_job_has_the_limits_and_the_daemon_the_umask_of_the_shell(service: Service, installs: bool) -> None:
    """Not those of systemd, which are lower on most machines, and more open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def as_a_person() -> None:
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    _, err = service.start("daemon", "install" if installs else "start", preexec_fn=as_a_person).communicate(
        timeout=DEADLINE_S
    )
    assert err == ""
    service.ready()
    service.lab.write('import resource\nprint("val/loss:", resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n')
    assert service.lab.run()["primary"]["value"] == limits[0]
    assert stat.S_IMODE((service.lab.folder / "runs/r0001/result.json").stat().st_mode) == 0o600


def test_a_unit_without_a_file_ends_while_its_run_goes_on_and_another_takes_it_up(service: Service) -> None:
    """Its name stays taken as long as the job lives: the next one has another."""
    service("daemon", "start")
    service.ready()
    service.hold(0.5)
    client = service.waiting("run", "--wait")
    first = service.info()["unit"]
    service("daemon", "restart")
    assert service.info()["unit"] not in (first, UNIT)
    service.release()
    code, out, _ = service.end(client)
    assert (code, "advance" in out) == (0, True)


def test_a_unit_of_another_state_folder_is_not_started(service: Service) -> None:
    """A client that asks elsewhere gets a daemon of its own, as without systemd."""
    service("daemon", "install")
    service("daemon", "stop")
    environment = {"XDG_STATE_HOME": str(service.lab.root / "h/elsewhere")}
    service.lab.environment |= environment
    answer = service.json("daemon", "start")
    try:
        assert answer["unit"] == ""
        assert answer["log"].startswith(environment["XDG_STATE_HOME"])
        assert not service.systemd.is_active()
    finally:
        service("daemon", "stop")


@pytest.mark.parametrize("options", [None, (), ("--socket",)], ids=["transient", "service", "socket"])
def test_why_the_daemon_cannot_start_is_told(service: Service, options: tuple[str, ...] | None) -> None:
    """A fault in config.toml: systemd keeps the daemon's word for the client."""
    if options is not None:
        service("daemon", "install", *options)
        service("daemon", "stop")
    config = Path(service.lab.environment["HOME"], ".config/ardaemon/config.toml")
    config.parent.mkdir(parents=True)
    config.write_text("grace = 'long'\n")
    code, err = error_of(service, "queue")
    assert code == 69
    assert str(config) in err
    config.unlink()
    service("queue")


def test_a_client_at_the_socket_is_told_at_once_why_the_daemon_cannot_start(service: Service) -> None:
    """What a restart may mend (74): systemd starts the daemon again and again, and nobody waits for that."""
    service("daemon", "install", "--socket")
    service("queue")
    watching = service.start("watch", "--json")
    read_until(watching, "subscribed")
    state, pid = Path(service.info()["log"]).parent, service.systemd.main_pid()
    (state / "daemon.log").rename(state / "daemon.log.old")
    (state / "daemon.log").mkdir()
    os.kill(pid, signal.SIGKILL)
    read_until(watching, "the daemon cannot start: ")
    for _ in range(2):
        code, err = error_of(service, "queue")
        assert code == 69
        assert err.startswith("Error: the daemon cannot start: "), err
        assert "daemon.log" in err
    assert service.systemd.is_active(SOCKET)
    (state / "daemon.log").rmdir()
    read_until(watching, "subscribed")
    watching.send_signal(signal.SIGINT)
    assert service.end(watching)[0] == 0


def test_a_client_without_a_runtime_folder_asks_the_systemd_in_the_usual_place(service: Service) -> None:
    """cron and su set no XDG_RUNTIME_DIR. With a state folder of its own a client is in no need of it."""
    service("daemon", "start")
    service.systemd.run("mkdir", "-p", "/run/user")
    service.systemd.run("ln", "-s", str(service.lab.runtime), f"/run/user/{os.getuid()}")
    del service.lab.environment["XDG_RUNTIME_DIR"]
    service("daemon", "stop")
    assert service.json("daemon", "start")["unit"] == ""
    service("daemon", "stop")
    del service.lab.environment["XDG_STATE_HOME"]
    assert service.json("daemon", "start")["unit"] == "", "its systemd would have it elsewhere"
    service("daemon", "stop")
    state_home = Path(service.lab.environment["HOME"], ".local/state")
    with_its_folder = ("env", f"XDG_RUNTIME_DIR={service.lab.runtime}", "systemctl", "--user")
    service.systemd.run(*with_its_folder, "set-environment", f"XDG_STATE_HOME={state_home}")
    assert fnmatch(service.json("daemon", "start")["unit"], manager.TRANSIENT)


def test_where_systemd_makes_no_such_unit_the_client_starts_the_daemon_itself(service: Service) -> None:
    """An old one knows not every setting; systemd-run may be missing."""
    tool = service.lab.root / "bin/systemd-run"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho Unknown assignment: OOMPolicy=continue >&2\nexit 1\n")
    tool.chmod(0o755)
    service.lab.environment["PATH"] = f"{tool.parent}:{service.lab.environment['PATH']}"
    assert service.json("daemon", "start")["unit"] == ""
    service("daemon", "stop")


def test_an_installation_with_a_daemon_that_cannot_start_says_why(service: Service) -> None:
    config = Path(service.lab.environment["HOME"], ".config/ardaemon/config.toml")
    config.parent.mkdir(parents=True)
    config.write_text("grace = 'long'\n")
    code, err = error_of(service, "daemon", "install")
    assert (code, str(config) in err) == (69, True)


@pytest.mark.parametrize(
    ("shown", "value"),
    [("/a", "/a"), ("$'/a b/\\'c\\''", "/a b/'c'"), ("$'ä\\tb'", "ä\tb"), ("$'", "$'"), ("", "")],
)
def test_a_value_is_read_as_systemd_shows_it(monkeypatch: pytest.MonkeyPatch, shown: str, value: str) -> None:
    monkeypatch.setattr(manager, "ask", lambda *_: f"A=b\nHOME={shown}\n")
    assert manager.environment() == {"A": "b", "HOME": value}


def test_nobody_elses_systemd_is_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.runtime))
    assert manager.folder() is None
    (lab.runtime / "systemd").mkdir()
    (lab.runtime / "systemd/private").write_text("no socket")
    assert manager.folder() is None
