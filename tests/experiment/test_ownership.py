"""A project's lock, with real files: taken by the first change, looked at by each, given back."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.core.errors import OwnedElsewhere, Replaced, StorageError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Session
from ardaemon.core.project_owner import STALE_S, ProjectOwner, Standing
from ardaemon.experiment import generation
from ardaemon.experiment.ownership import Ownership, describe
from ardaemon.host import file_system, owner_file
from tests.support.lab import wait_until

pytestmark = pytest.mark.promise("one-owner")
STRANGER = 61002


class World:
    """A project, and the daemons that want it: one for each state folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.project = root, root / "p"
        (self.project / ".autoresearch").mkdir(parents=True)
        self.runs: set[Path] = set()
        self.measured: set[Path] = set()  # projects whose runs are all launches for idle places
        self.daemons: list[Ownership] = []

    def daemon(self, name: str) -> Ownership:
        """Make one, as that of the state folder of this name."""
        me = describe(self.root / name, name.encode())
        owner = Ownership(me, self.runs.__contains__, only_idle=self.measured.__contains__)
        self.daemons.append(owner)
        return owner

    def change(self, owner: Ownership) -> None:
        """Change something as that daemon."""
        with owner.changing(self.project):
            pass

    def kill(self, owner: Ownership) -> None:
        """Let the kernel take back what it holds, as at its end, and leave the record."""
        for held in owner._held.values():
            held.file.close()
        owner._held.clear()

    @property
    def file(self) -> Path:
        """The lock's file."""
        return Project(self.project).owner


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which no lock is left open."""
    made = World(tmp_path)
    yield made
    for owner in made.daemons:
        made.kill(owner)


@pytest.fixture
def open_world() -> Iterator[World]:
    """A world that other users can look into."""
    with tempfile.TemporaryDirectory(prefix="ar-") as folder:
        Path(folder).chmod(0o755)
        made = World(Path(folder))
        yield made
        for owner in made.daemons:
            made.kill(owner)


def nothing(_: ProjectOwner, __: Standing) -> None:
    """Take nothing over."""


def refused(world: World, owner: Ownership) -> OwnedElsewhere:
    """The error that this daemon gets."""
    with pytest.raises(OwnedElsewhere) as caught:
        world.change(owner)
    assert caught.value.mend
    return caught.value


def test_the_first_change_takes_the_project_and_another_daemon_is_told_whose_it_is(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    assert one.owned() == []
    world.change(one)
    assert one.owned() == [world.project]
    error = refused(world, other)
    assert (error.data["standing"], error.exit_code) == ("busy", 65)
    for told in (f"pid {os.getpid()}", f"state folder {world.root}/one", str(world.project)):
        assert told in error.message
    assert other.owned() == []
    world.change(one)


def test_who_has_no_run_any_more_says_so_and_gives_the_project_back(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    one.rest(world.project)
    assert refused(world, other).data["standing"] == "resting"
    world.change(one)  # it goes on: the record says so before anything is changed
    assert refused(world, other).data["standing"] == "busy"
    assert one.let_go(world.project)
    assert not world.file.exists()
    world.change(other)
    assert refused(world, one).data["standing"] == "busy"


def test_who_rests_is_told_that_another_daemon_asks_for_the_project_and_gives_it_back_with_that_word(
    world: World,
) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    wish = Project(world.project).owner_wanted
    world.change(one)
    assert not one.rest(world.project)
    error = refused(world, other)
    assert re.search(r"within (\d+) s; at once with: ", error.mend)
    assert f"XDG_STATE_HOME={world.root.parent} arctl daemon stop" in error.mend
    other.want(world.project)
    other.want(world.project)  # it asks until it has got it
    assert one.rest(world.project)
    assert one.let_go(world.project)
    assert not wish.exists()
    world.change(other)
    wish.mkdir()  # what is no file asks for nothing, and keeps nobody from letting go
    assert not other.rest(world.project)
    assert other.let_go(world.project)


def test_who_is_refused_for_launches_of_the_best_alone_is_told_so(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    world.runs.add(world.project)
    world.measured.add(world.project)
    one.rest(world.project)
    error = refused(world, other)
    assert error.data["standing"] == "measuring"
    assert "runs only launches of the best that measure noise there (--measure-noise)" in error.message


def test_what_a_daemon_that_waits_no_more_has_asked_for_is_given_to_nobody(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    wish = Project(world.project).owner_wanted
    other.want(world.project)
    world.change(one)
    assert not wish.exists(), "it was for the owner before"
    other.want(world.project)
    os.utime(wish, (0, 0))
    other.want(world.project)
    assert one.rest(world.project), "it asks again: it waits still"
    os.utime(wish, (0, 0))
    assert not one.rest(world.project)
    assert not wish.exists()


def test_nothing_is_given_back_while_a_run_or_a_change_is_under_way(world: World) -> None:
    one = world.daemon("one")
    with one.changing(world.project):
        assert one.idle_s(world.project) == 0
        one.rest(world.project)
        assert not one.let_go(world.project)
    world.runs.add(world.project)
    one.rest(world.project)
    assert not one.let_go(world.project)
    record = owner_file.read(world.file)
    assert record is not None
    assert record.active
    world.runs.clear()
    assert one.let_go(world.project)


def test_the_next_daemon_of_the_same_state_folder_goes_on_and_another_needs_the_word_of_a_person(
    world: World,
) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    world.kill(one)
    error = refused(world, other)
    assert error.data["standing"] == "left"
    assert "arctl adopt" in error.mend
    world.change(world.daemon("one"))
    assert refused(world, other).data["standing"] == "busy"


def test_who_takes_over_is_told_from_whom_and_where_that_fails_the_project_stays_as_it_was(
    world: World,
) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    with pytest.raises(OwnedElsewhere):
        other.adopt(world.project, nothing)
    world.kill(one)
    before: list[ProjectOwner] = []

    def fail(_: ProjectOwner, __: Standing) -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(StorageError):
        other.adopt(world.project, fail)
    assert refused(world, other).data["standing"] == "left"
    other.adopt(world.project, lambda record, _: before.append(record))
    assert [record.state for record in before] == [f"{world.root}/one"]
    assert refused(world, world.daemon("one")).data["standing"] == "busy"


def test_of_who_has_ended_without_a_run_nothing_is_in_the_way(world: World) -> None:
    one = world.daemon("one")
    world.change(one)
    one.rest(world.project)
    world.kill(one)
    world.change(world.daemon("other"))


def test_the_lock_is_the_kernels_and_ends_with_its_process(world: World) -> None:
    code = (
        "import sys; from pathlib import Path; from ardaemon.experiment.ownership import *\n"
        "root = Path(sys.argv[1]); one = Ownership(describe(root / 'one', b'one'))\n"
        "with one.changing(root / 'p'): print('owned', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(world.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"owned\n"
        assert f"pid {holder.pid}" in refused(world, world.daemon("other")).message
        holder.kill()
    world.change(world.daemon("one"))


# A project through another mount: $1 is where it lies, $2 where it is to be seen.
BOUND = 'mkdir -p "$2" && mount --bind "$1" "$2" && exec "$0" -c "$3" "$2"'
OVERLAID = (
    'mkdir -p "$1/../up" "$1/../work" "$2" && mount -t overlay overlay -o'
    ' "lowerdir=$1,upperdir=$1/../up,workdir=$1/../work" "$2" && exec "$0" -c "$3" "$2"'
)
HOLDING = (
    "import sys; from pathlib import Path; from ardaemon.experiment.ownership import *\n"
    "one = Ownership(describe(Path('/s'), b'one'))\n"
    "with one.changing(Path(sys.argv[1])): print('owned', flush=True); sys.stdin.read()\n"
)
TWO_THERE = (
    "import sys; from pathlib import Path; from ardaemon.experiment.ownership import *\n"
    "one, other = (Ownership(describe(Path('/s') / name, name.encode())) for name in ('one', 'other'))\n"
    "with one.changing(Path(sys.argv[1])): pass\n"
    "try:\n"
    "    with other.changing(Path(sys.argv[1])): pass\n"
    "except Exception as error: print(error.data['standing'])\n"
    "one.let_go(Path(sys.argv[1]))\n"
    "with other.changing(Path(sys.argv[1])): print('owned')\n"
)


def contained(world: World, mount: str, code: str) -> list[str]:
    """The command for that code in a PID and mount namespace of its own, as a container is."""
    unshare = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    arguments = [sys.executable, str(world.project), str(world.root / "seen"), code]
    return [*unshare, "sh", "-c", mount, *arguments]


def require(mount: str) -> None:
    """Skip the test where this machine lets nobody make such a mount in a namespace of its own."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root may make namespaces with mounts in them")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(contained(World(Path(folder)), mount, ""), capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no such mount here: {done.stderr.decode()}")


def test_a_daemon_in_a_container_holds_the_project_until_the_container_is_gone(world: World) -> None:
    require(BOUND)
    other = world.daemon("other")
    command = contained(world, BOUND, HOLDING)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"owned\n"
        record = owner_file.read(world.file)
        assert record is not None
        assert record.pid_namespace != other.me.pid_namespace
        assert refused(world, other).data["standing"] == "busy"
        read = other.other(world.project)  # no lock is taken for that
        assert read is not None
        assert (read.data["standing"], "gone: arctl adopt" in read.mend) == ("busy", True)
        holder.kill()
    wait_until(lambda: refused(world, other).data["standing"] == "left", "the container to be gone")
    other.adopt(world.project, nothing)
    assert other.owned() == [world.project]


def test_the_lock_holds_on_overlayfs(world: World) -> None:
    require(OVERLAID)
    command = contained(world, OVERLAID, TWO_THERE)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["busy", "owned"]


def remade(home: Path) -> None:
    """Remove the folder, and make it anew."""
    shutil.rmtree(home)
    home.mkdir()


def put_back(home: Path) -> None:
    """Put a copy in the place of the folder, as a backup is: the record of the lock is in it."""
    shutil.copytree(home, home.with_name("backup"))
    shutil.rmtree(home)
    home.with_name("backup").rename(home)


def checked_out(home: Path) -> None:
    """Write the lock's file anew, as git does with one that somebody has committed."""
    data = (home / ".owner").read_bytes()
    (home / "new").write_bytes(data)
    (home / "new").rename(home / ".owner")


EXCHANGES = pytest.mark.parametrize("exchange", [remade, put_back, checked_out])


@pytest.mark.parametrize("exchange", [remade, put_back])
def test_nothing_is_written_into_another_folder_than_the_one_with_the_runs(
    world: World, exchange: Callable[[Path], None]
) -> None:
    one = world.daemon("one")
    world.change(one)
    world.runs.add(world.project)
    exchange(world.project / ".autoresearch")
    with pytest.raises(Replaced, match="another folder, or a copy") as caught:
        world.change(one)
    assert "arctl daemon restart" in caught.value.mend
    world.kill(one)
    world.change(world.daemon("one"))  # the restarted one reads everything anew


def test_a_copy_of_the_record_alone_holds_up_no_run_and_with_an_older_session_it_does(world: World) -> None:
    """As git has it that tracks the file: a checkout or a stash puts the one of its commit there."""
    one, made = world.daemon("one"), Experiment(world.project / ".autoresearch/261122-lr")
    made.folder.mkdir()
    world.change(one)
    committed = world.file.read_bytes()
    generation.write(made, Session(last_run=0))
    first = made.session.read_bytes()
    generation.write(made, Session(last_run=0, generation=1))
    world.runs.add(world.project)
    for _ in range(2):
        world.file.unlink()
        world.file.write_bytes(committed)
        world.change(one)
        assert refused(world, world.daemon("other")).data["standing"] == "busy"
    made.session.write_bytes(first)
    world.file.unlink()
    world.file.write_bytes(committed)
    with pytest.raises(Replaced):
        world.change(one)


@EXCHANGES
def test_without_a_run_the_new_folder_is_taken(world: World, exchange: Callable[[Path], None]) -> None:
    one = world.daemon("one")
    world.change(one)
    exchange(world.project / ".autoresearch")
    world.change(one)
    assert refused(world, world.daemon("other")).data["standing"] == "busy"


def test_a_lock_that_was_removed_alone_is_taken_again_unless_another_daemon_was_faster(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.runs.add(world.project)
    world.change(one)
    world.file.unlink()
    world.change(one)
    assert refused(world, other).data["standing"] == "busy"
    world.file.unlink()
    world.change(other)
    with pytest.raises(Replaced):
        world.change(one)


def test_a_folder_that_is_away_has_no_owner_and_the_one_that_comes_back_is_taken_again(world: World) -> None:
    one, home = world.daemon("one"), world.project / ".autoresearch"
    world.change(one)
    home.rename(home.with_name("away"))
    world.change(one)
    assert one.owned() == []
    home.with_name("away").rename(home)
    world.change(one)
    assert one.owned() == [world.project]


def test_one_folder_under_two_names_is_one_project(world: World) -> None:
    one, link = world.daemon("one"), world.root / "link"
    link.symlink_to(world.project)
    world.change(one)
    world.project = link
    error = refused(world, one)
    assert f"{link} is the same folder as {link.resolve()}" in error.message


def test_a_project_that_was_moved_is_taken_under_its_new_name(world: World) -> None:
    one, moved = world.daemon("one"), world.root / "moved"
    world.change(one)
    world.project.rename(moved)
    with one.changing(moved):
        assert one.owned() == [moved]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_a_file_system_has_no_locks_the_record_tells(
    world: World, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(_: int, __: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(file_system, "is_local", lambda _: False)
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    assert refused(world, other).data["standing"] == "busy"
    assert not one.has_locks(world.project)
    assert one.let_go(world.project)
    world.change(other)
    far = replace(other.me, host="node2", machine="m2", boot_id="b2", pid_namespace=0)
    assert refused(world, Ownership(far)).data["standing"] == "host"


def far_away(world: World, name: str, *, active: bool = True, twin: bool = False) -> Ownership:
    """A daemon of another machine, whose lock is not seen here; `twin`: one with this one's name and id."""
    owner = world.daemon(name)
    if not twin:
        owner.me = replace(owner.me, host="node2", machine="m2")
    owner.me = replace(owner.me, boot_id="b2")
    world.change(owner)
    if not active:
        owner.rest(world.project)
    fcntl.flock(owner._held[world.project].file.fd, fcntl.LOCK_UN)  # it locks at home alone
    return owner


def silent(world: World, seconds: float) -> None:
    """Let the record be so old: its owner has not renewed it."""
    status = world.file.stat()
    os.utime(world.file, (status.st_atime, status.st_mtime - seconds))


@pytest.fixture
def shared(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project on a file system that other machines may have mounted."""
    monkeypatch.setattr(file_system, "is_local", lambda _: False)
    return world


@pytest.mark.parametrize("twin", [False, True])
def test_another_hosts_project_is_taken_over_once_its_lease_is_over_and_a_person_says_so(
    shared: World, twin: bool
) -> None:
    far, other = far_away(shared, "far", twin=twin), shared.daemon("other")
    assert refused(shared, other).data["standing"] == "host"
    with pytest.raises(OwnedElsewhere):
        other.adopt(shared.project, nothing, stale=True)
    silent(shared, STALE_S)
    error = refused(shared, other)
    assert (error.data["standing"], "arctl adopt --take-over" in error.mend) == ("stale", True)
    with pytest.raises(OwnedElsewhere):
        other.adopt(shared.project, nothing)
    seen: list[Standing] = []
    other.adopt(shared.project, lambda _, why: seen.append(why), stale=True)
    assert seen == ["stale"]
    shared.runs.add(shared.project)
    with pytest.raises(Replaced):  # it was only slow: nothing that it does is written there any more
        shared.change(far)
    assert sorted(path.name for path in shared.file.parent.iterdir()) == [".owner"]


def test_who_renews_its_lease_is_not_taken_over(shared: World) -> None:
    far, other = far_away(shared, "far"), shared.daemon("other")
    silent(shared, STALE_S)
    far.renew(shared.project)
    assert refused(shared, other).data["standing"] == "host"


def test_another_host_without_a_run_is_waited_for_and_its_project_taken_once_its_lease_is_over(
    shared: World,
) -> None:
    far, other = far_away(shared, "far", active=False), shared.daemon("other")
    assert refused(shared, other).data["standing"] == "resting"
    silent(shared, STALE_S)
    shared.change(other)
    with far.changing(shared.root):
        assert refused(shared, far).data["standing"] == "busy"


def test_a_machine_that_was_started_again_has_what_it_left(shared: World) -> None:
    """Its record was not renewed since: no other machine of that name has written it."""
    before = far_away(shared, "one", twin=True)
    silent(shared, time.clock_gettime(time.CLOCK_BOOTTIME) + 1)
    shared.kill(before)
    shared.change(shared.daemon("one"))


def test_on_a_disk_of_this_machine_nobody_elses_daemon_lives(world: World) -> None:
    """The project was copied here, or its disk moved."""
    far_away(world, "far")
    assert refused(world, world.daemon("other")).data["standing"] == "left"


def test_a_daemon_whose_runs_were_taken_over_meanwhile_does_not_go_on_with_them(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    world.runs.add(world.project)
    one.keeps_runs = lambda _: False  # another host has taken them, and has let the project go since
    world.file.unlink()
    with pytest.raises(Replaced, match="another daemon has had it meanwhile"):
        world.change(one)
    world.change(other)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's file")
def test_another_users_project_is_refused_and_the_user_named(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    one.me = replace(one.me, uid=STRANGER)
    world.change(one)
    assert f"uid {STRANGER}" in refused(world, other).message
    world.kill(one)
    assert refused(world, other).data["standing"] == "user"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_lock_that_cannot_be_opened_is_another_users(open_world: World) -> None:
    world = open_world
    world.change(world.daemon("one"))
    code = (
        "import os, sys; from pathlib import Path; from ardaemon.experiment.ownership import *\n"
        "import pwd; one = Ownership(describe(Path('/s'), b''))\n"  # while it may read the code
        f"os.setgid({STRANGER}); os.setuid({STRANGER})\n"
        "try:\n"
        "    with one.changing(Path(sys.argv[1])): pass\n"
        "except Exception as error: print(type(error).__name__, error, error.mend)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(world.project)], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("OwnedElsewhere the daemon of another user (uid 0, root)"), done.stderr
    assert f"rm {world.file}" in done.stdout


def test_a_folder_that_cannot_be_looked_into_is_named(world: World) -> None:
    home = world.project / ".autoresearch"
    home.rmdir()
    home.symlink_to(home.name)  # a circle
    with pytest.raises(StorageError, match=str(home)) as caught:
        world.change(world.daemon("one"))
    assert caught.value.mend


def test_a_record_that_cannot_be_read_keeps_nobody_out_once_its_daemon_has_ended(world: World) -> None:
    one, other = world.daemon("one"), world.daemon("other")
    world.change(one)
    world.file.write_bytes(b"{")
    error = refused(world, other)
    assert str(world.file) in error.message
    world.kill(one)
    world.change(other)


@pytest.mark.parametrize(
    ("put", "what"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "a link"),
        (lambda path: path.symlink_to("nowhere"), "a link"),
        (Path.mkdir, "a folder"),
        (os.mkfifo, "a FIFO"),
    ],
)
def test_what_stands_in_the_place_of_the_lock_is_named_with_the_way_out(
    world: World, put: Callable[[Path], None], what: str
) -> None:
    put(world.file)
    with pytest.raises(StorageError, match=f"it is {what}, not a plain file") as caught:
        world.change(world.daemon("one"))
    assert caught.value.mend == f"move it away: mv {world.file} {world.file}.old"
