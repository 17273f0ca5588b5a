"""Every path on disk, named once (standard library alone); what the client needs at start is in places."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ardaemon.core import places
from ardaemon.core.errors import StorageError, UsageError

FOLDER = places.FOLDER
SOCKET_PATH_MAX = places.SOCKET_PATH_MAX
SLUG = re.compile(r"[0-9]{6}-[a-z0-9]+(-[a-z0-9]+)*")
SLUG_MAX = 64
ORIGINAL = "r0000"
CHECKPOINT_META = "meta.json"  # in each folder of .ckpt/: what was promoted there
LINKS_MAX = 40  # symlinks on the way to one file, as the kernel has it


def run_name(number: int) -> str:
    """12 -> r0012; ids sort as numbers, so five digits follow r9999."""
    return f"r{number:04d}"


def run_number(run_id: str) -> int:
    """r0012 -> 12. Raises UsageError for anything else."""
    match = re.fullmatch(r"r([0-9]{4,9})", run_id)
    if match is None:
        raise UsageError(f"{run_id[:40]!r} is not a run id", "run ids look like r0012")
    return int(match[1])


def find_project(start: Path) -> Path:
    """The nearest parent that holds .autoresearch/, else the git root, else `start` itself."""
    return Path(places.find_project(str(start)))


@dataclass(frozen=True)
class Attempt:
    """One launch of a run: `runs/r0001/a1/`."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    @property
    def start(self) -> Path:
        return self.folder / "start.json"

    @property
    def exit(self) -> Path:
        return self.folder / "exit.json"

    @property
    def before(self) -> Path:
        return self.folder / "before.json"

    @property
    def samples(self) -> Path:
        return self.folder / "samples.jsonl"

    @property
    def measured(self) -> Path:
        return self.folder / "measured.json"

    @property
    def curve(self) -> Path:
        return self.folder / "curve.jsonl"


@dataclass(frozen=True)
class Run:
    """One candidate: `runs/r0001/`."""

    folder: Path

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def train(self) -> Path:
        return self.folder / "train.py"

    @property
    def record(self) -> Path:
        return self.folder / "run.json"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    @property
    def ready(self) -> Path:
        return self.folder / "ready"

    def attempt(self, number: int) -> Attempt:
        return Attempt(self.folder / f"a{number}")


@dataclass(frozen=True)
class Experiment:
    """One experiment: `.autoresearch/{slug}/`."""

    folder: Path

    @property
    def slug(self) -> str:
        return self.folder.name

    @property
    def project(self) -> Path:
        return self.folder.parent.parent

    @property
    def train(self) -> Path:
        return self.folder / "train.py"

    @property
    def prepare(self) -> Path:
        return self.folder / "prepare.py"

    @property
    def program(self) -> Path:
        return self.folder / "program.md"

    @property
    def contract(self) -> Path:
        return self.folder / "batch_contract.json"

    @property
    def session(self) -> Path:
        return self.folder / ".ar-session.json"

    @property
    def best(self) -> Path:
        return self.folder / "best.json"

    @property
    def best_checkpoint(self) -> Path:
        return self.folder / "best_ckpt"

    @property
    def checkpoints(self) -> Path:
        return self.folder / ".ckpt"

    @property
    def leftovers(self) -> Path:
        return self.checkpoints / "left.json"

    @property
    def results(self) -> Path:
        return self.folder / "results.tsv"

    @property
    def unclean(self) -> Path:
        return self.folder / "UNCLEAN.json"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def run(self, run_id: str) -> Run:
        run_number(run_id)
        return Run(self.runs / run_id)


# What the daemon itself keeps in an experiment's folder; everything else there is the project's
# and is linked into each run's folder.
DAEMON_FILES = frozenset(
    "batch_contract.json .ar-session.json best.json best_ckpt .ckpt results.tsv UNCLEAN.json"
    " chain_decision.json archive runs train.py".split()
)


@dataclass(frozen=True)
class Project:
    """The host repository."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / FOLDER

    @property
    def chain(self) -> Path:
        return self.home / ".chain-session.json"

    def experiment(self, slug: str) -> Experiment:
        return Experiment(self.home / check_slug(slug))

    def experiments(self) -> list[Experiment]:
        """Every experiment of the project, by name."""
        if not self.home.is_dir():
            return []
        folders = sorted(p for p in self.home.iterdir() if SLUG.fullmatch(p.name) and p.is_dir())
        return [Experiment(p) for p in folders]


def check_slug(slug: str) -> str:
    """Return `slug`, or raise UsageError: it becomes a folder's name, so nothing else may pass."""
    if SLUG.fullmatch(slug) and len(slug) <= SLUG_MAX:
        return slug
    raise UsageError(
        f"{slug[:80]!r} is not an experiment's name",
        f"use yymmdd-kebab-topic, as 261122-lr-warmup (at most {SLUG_MAX} characters)",
    )


@dataclass(frozen=True)
class Host:
    """This user's folders on this machine."""

    state: Path
    runtime: Path

    @classmethod
    def of_environment(cls) -> "Host":
        return cls(Path(places.state_folder()), Path(places.runtime_folder()))

    @property
    def lock(self) -> Path:
        return self.state / "daemon.lock"

    @property
    def start_lock(self) -> Path:
        return self.state / "start.lock"

    @property
    def info(self) -> Path:
        return Path(places.info_of(str(self.state)))

    @property
    def log(self) -> Path:
        return self.state / "daemon.log"

    @property
    def stderr(self) -> Path:
        """What a daemon says before its log is open, or as it falls."""
        return self.state / "daemon.stderr"

    @property
    def active(self) -> Path:
        return self.state / "active"

    @property
    def quarantine(self) -> Path:
        """One file per slot on which something lives that could not be killed."""
        return self.state / "quarantine"

    @property
    def sick(self) -> Path:
        """GPUs that take no run until a person has looked at them."""
        return self.state / "sick.json"

    @cached_property
    def socket(self) -> Path:
        return Path(places.socket_of(str(self.runtime)))

    @property
    def locks(self) -> Path:
        return self.runtime / "locks"


def config_file() -> Path:
    """The user's settings of the daemon, if there are any."""
    try:
        base = places.named("XDG_CONFIG_HOME") or os.path.join(places.home(), ".config")
    except UsageError:
        return Path(os.devnull)  # no home folder: the defaults
    return Path(base, "ardaemon", "config.toml")


def boot_id() -> str:
    """The kernel's id of this boot (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700, or check that it is ours alone; never follow a symlink in its place.

    Nobody else may be able to put another folder in its place either: whoever could would choose what is
    run (active/) and who answers (the socket). Raises StorageError.
    """
    try:
        _make(folder)
        found = folder.lstat()
        fault = _fault(folder, found) or first_weak(folder.parent)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made or looked at: {error.strerror} ({error.filename})",
            "mend that, or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to another folder of yours",
        ) from error
    if fault is not None:
        raise fault
    return folder


def _make(folder: Path) -> None:
    """As the XDG base directories want it: what is missing is made with mode 0700, whatever the umask."""
    if not folder.parent.exists():
        _make(folder.parent)
    try:
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    except FileExistsError:
        pass


def _fault(folder: Path, found: os.stat_result) -> StorageError | None:
    """What is wrong with the private folder itself."""
    if not stat.S_ISDIR(found.st_mode):
        return StorageError(f"{folder} is not a directory (and no symlink is followed there)", "remove it")
    if found.st_uid != os.getuid():
        return StorageError(
            f"{folder} belongs to another user (uid {found.st_uid})",
            "have it removed, or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to a folder of yours",
        )
    if found.st_mode & 0o077:
        return StorageError(f"{folder} is open to other users", f"run: chmod 700 {folder}")
    return None


def _way(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each folder and each symlink on the way to `path`, from the root on (path_resolution(7))."""
    at, todo, links = "/", [*reversed(path.absolute().parts[1:])], 0
    yield at, os.lstat(at)
    while todo:
        name = todo.pop()
        there = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        found = os.lstat(there)
        yield there, found
        if not stat.S_ISLNK(found.st_mode):
            at = there
            continue
        links += 1
        if links > LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), there)
        target = Path(os.readlink(there))
        at = "/" if target.is_absolute() else at
        todo += reversed(target.parts[target.is_absolute() :])


def first_weak(path: Path) -> StorageError | None:
    """The first folder or symlink on the way to `path`, itself included, that another user could replace."""
    return next(filter(None, (_weak(there, found) for there, found in _way(path))), None)


def _weak(path: str, found: os.stat_result) -> StorageError | None:
    """Could another user than root put something else in the place of what lies below?

    Members of one's own group may write to a folder that one opened to them: with a group per user (the
    default of most systems, with umask 002) that is nobody.
    """
    if not _trusted(found.st_uid):
        return StorageError(
            f"{path} belongs to another user (uid {found.st_uid}), who could replace what is below it",
            "set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to a folder of yours",
        )
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None
    open_to_group = found.st_mode & 0o020 and found.st_gid not in (0, os.getgid())
    if open_to_group or found.st_mode & 0o002:
        return StorageError(
            f"{path} can be written by other users, who could replace what is below it",
            f"run: chmod go-w {path} (or +t); or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket)",
        )
    return None


def _trusted(uid: int) -> bool:
    """Ours or root's. In a sandbox's user namespace root may show as nobody (user_namespaces(7))."""
    if uid in (0, os.getuid()):
        return True
    everyone = Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", "4294967295"]
    return not everyone and uid == int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
