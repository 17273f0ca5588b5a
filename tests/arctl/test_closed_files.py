"""Files and folders that their owner has closed are named with the command that opens them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from arctl.commands import doctor
from arctl.lock_holder import is_locked
from ardaemon.core.locking import STATE
from ardaemon.experiment import train_file
from tests.support.lab import Lab
from tests.support.other_user import as_user
from tests.support.shell import Shell

UID = 61002
root_alone = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of another user's, in which one file is."""
    with tempfile.TemporaryDirectory(prefix="ar-") as name:
        folder = Path(name)
        (folder / "file").write_text("print(1)\n")
        for path in (folder, folder / "file"):
            os.chown(path, UID, UID)
        yield folder


@root_alone
def test_a_train_py_that_is_closed_is_opened_by_the_command_that_is_named(theirs: Path) -> None:
    path = theirs / "file"
    path.chmod(0)
    said = as_user(UID, lambda: train_file.read(path).decode())
    assert f"{path} cannot be read: Permission denied" in said
    assert said.endswith(f"→ chmod u+rw {path}")


@root_alone
def test_a_lock_that_is_closed_is_opened_by_the_command_that_is_named(theirs: Path) -> None:
    path = theirs / "file"
    path.chmod(0)
    said = as_user(UID, lambda: str(is_locked(path)))
    assert said == f"{path} cannot be opened: its rights forbid it → chmod u+rw {path}"


@root_alone
def test_doctor_finds_a_state_folder_in_which_no_daemon_can_write(theirs: Path) -> None:
    def looked() -> str:
        check = doctor._folder("state folder", theirs, STATE)
        return f"{check.level} {check.mend}"

    theirs.chmod(0o700)
    assert as_user(UID, looked) == "ok "
    theirs.chmod(0o500)
    assert as_user(UID, looked) == f"FAIL chmod 700 {theirs}, or check the mount"


def test_what_keeps_a_daemon_from_its_start_is_named_with_the_command_that_mends_it(lab: Lab) -> None:
    lab.start().stop()
    path = lab.home / "daemon.log"
    path.unlink()
    path.mkdir()
    shell = Shell(lab)
    code, _, err = shell.end(shell.start("status"))
    assert code == 69
    assert f"a folder of uid {os.getuid()}" in err
    assert f"(mv {path} {path}.old)" in err
    assert "Errno" not in err


def test_what_stands_in_the_place_of_the_socket_is_named_with_what_to_do(lab: Lab) -> None:
    lab.start().stop()
    (lab.runtime / "ardaemon/control.sock").write_text("")
    shell = Shell(lab)
    code, _, err = shell.end(shell.start("status"))
    assert (code, "is not a socket (look at it, and remove it)" in err) == (69, True), err


def test_doctor_does_not_name_itself_as_the_mend(lab: Lab) -> None:
    lab.start().stop()
    (lab.runtime / "ardaemon").rename(lab.root / "moved")
    (lab.runtime / "ardaemon").write_text("")
    shell = Shell(lab)
    code, out, _ = shell.end(shell.start("doctor"))
    assert code == 65
    assert "FAIL  daemon: no connection" in out
    assert "arctl doctor" not in out
