"""A project that belongs to another user is not run: whoever owns it chooses the runner."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import ForeignOwner
from ardaemon.core.methods import METHODS as ALL
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.machine import config_of
from tests.support.shell import Shell

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give folders away")

STRANGER = 61002  # a uid that no password file knows
FOLDERS = ("", ".autoresearch", f".autoresearch/{SLUG}")
METHODS: dict[str, dict[str, Any]] = {
    "run.submit": {"submit_id": "1", "environment": {}},
    "run.wait": {},
    "run.get": {},
    "run.list": {},
    "run.tail": {},
    "run.curve": {},
    "run.rerun": {"environment": {}},
    "run.cancel": {},
    "status.get": {},
    "experiment.seal": {"accept": True},
    "experiment.clean": {},
    "experiment.restore": {},
    "session.start": {"settings": {"seconds": 5}, "environment": {}},
    "session.set": {"given": {"plateau": 3}},
    "session.stop": {},
    "session.get": {},
    "noise.get": {},
    "audit.get": {},
    "run.compare": {"run_id": "r0001", "other": "r0001"},
    "log.prune": {"keep_logs": 1},
    "report.get": {},
    "report.page": {},
    "history.get": {},
    "queue.move": {"run_id": "r0001", "to": "first"},
    "queue.hold": {"run_id": "r0001"},
    "queue.release": {"run_id": "r0001"},
}


def give(folder: Path, uid: int = STRANGER) -> None:
    """Give the folder, and all that is in it, to another user."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def content(folder: Path) -> dict[str, int]:
    """All that is there, by when it was changed.

    But for `.owner`: a second after the last change its owner writes there that no run is left.
    """
    paths = (path for path in (folder, *folder.rglob("*")) if path.name != ".owner")
    return {str(path): path.lstat().st_mtime_ns for path in paths}


def test_a_strangers_project_above_ones_own_repository_is_not_taken(lab: Lab) -> None:
    """As where everybody has a folder of his own in a shared one."""
    evil, ran = lab.root / "evil", lab.root / "ran"
    evil.write_text(f'#!/bin/sh\ntouch {ran}\nexec python "$1"\n')
    evil.chmod(0o755)
    lab.ready(runner=f"{evil} train.py")
    lab.project.chmod(0o1777)
    give(lab.project / ".autoresearch")
    own = lab.beside("p/own")
    (own.project / ".git").mkdir()
    process = Shell(own).start("run", "--wait", "--timeout", "20")
    out, err = process.communicate()
    assert (process.returncode, out) == (64, "")
    assert f"there is no experiment in {own.project}" in err
    assert not ran.exists()
    assert lab.call("queue.list")["runs"] == []


def test_every_method_about_an_experiment_is_tried() -> None:
    about = {name for name, method in ALL.items() if "expr" in method.params.__struct_fields__}
    assert METHODS.keys() == about - {"events.subscribe"}  # its names are compared, and lead nowhere


@pytest.mark.parametrize("expr", [SLUG, None])
@pytest.mark.parametrize("name", FOLDERS)
def test_the_daemon_looks_itself_and_refuses_every_method(lab: Lab, name: str, expr: str | None) -> None:
    """Whatever its client has looked at; nothing is written, and nothing runs."""
    lab.ready()
    os.chown(lab.project / name, STRANGER, STRANGER)
    before = content(lab.project)
    for method, params in METHODS.items():
        with pytest.raises(ForeignOwner) as caught:
            lab.call(method, project=str(lab.project), expr=expr, **params)
        assert caught.value.data == {"path": str(Path(lab.project, name)), "uid": STRANGER}, method
    with pytest.raises(ForeignOwner):
        lab.call("experiment.archive", project=str(lab.project), slug=SLUG)
    assert content(lab.project) == before
    assert lab.call("queue.list")["runs"] == []
    os.chown(lab.project / name, 0, 0)
    assert lab.run()["verdict"] == "advance"


@pytest.mark.parametrize("name", FOLDERS[:2])
def test_no_experiment_is_made_in_a_strangers_folder(lab: Lab, name: str) -> None:
    lab.start()
    (lab.project / name).mkdir(exist_ok=True)
    os.chown(lab.project / name, STRANGER, STRANGER)
    with pytest.raises(ForeignOwner):
        lab.init()
    assert list(lab.project.rglob(f"*{SLUG}*")) == []


def test_arctl_names_owner_and_path_and_starts_no_daemon(lab: Lab) -> None:
    home = lab.project / ".autoresearch"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    shell = Shell(lab)
    for command in (
        ["run", "--wait"],
        ["status"],
        ["session", "stop"],
        ["init", "x", "--from", "."],
    ):
        process = shell.start(*command)
        _, err = process.communicate()
        assert process.returncode == 65, err
        assert err.startswith(f"Error: {home} belongs to another user (uid {STRANGER})")
        assert len(err.splitlines()) == 2
        assert "not as root" in err
    assert list(lab.runtime.iterdir()) == []


def test_a_person_who_trusts_the_owner_says_so_in_config_toml(lab: Lab) -> None:
    """The error says what to write, and where; it works as it is printed."""
    lab.ready()
    give(lab.project)
    shell = Shell(lab)
    _, err = shell.start("run", "--wait").communicate()
    match = re.search(r"puts the line  (.*)  into (.*), then: (.*)\n", err)
    assert match is not None, err
    line, path, command = match.groups()
    assert Path(path) == config_of(lab)
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text(f"{line}\n")
    shell(*command.split()[1:])
    wait_until(lambda: lab.events("config"), "the daemon takes up config.toml")
    assert "advance: baseline" in shell("run", "--wait")
    shell("daemon", "stop")


def test_doctor_names_the_owner_and_goes_on(lab: Lab) -> None:
    lab.ready()
    give(lab.project)
    checks = {check["name"]: check for check in Shell(lab).json("doctor", code=65)["checks"]}
    assert checks["project"]["level"] == "FAIL"
    assert f"(uid {STRANGER})" in checks["project"]["found"]
    assert "config.toml" in checks["project"]["mend"]
    assert checks["daemon"]["level"] == "ok"
