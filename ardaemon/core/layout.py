"""Paths on disk, each named once. The few that the client needs at its start are in core/places.py.

This module imports the standard library alone.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ardaemon.core import places, project
from ardaemon.core.errors import UsageError

FOLDER = places.FOLDER
SOCKET_PATH_MAX = places.SOCKET_PATH_MAX
SLUG = re.compile(r"[0-9]{6}-[a-z0-9]+(-[a-z0-9]+)*")
SLUG_MAX = 64
RUN_ID = re.compile(r"r([0-9]{4,9})")
# One more launch of a version: of which run, with which seed, and for the how many-th time with that.
MEASURE_ID = re.compile(r"(r[0-9]{4,9})m([0-9]{1,3})(?:x([0-9]{1,3}))?")
PATH_MAX = 4096  # a longer path is opened by no system call (path_resolution(7))
ORIGINAL = "r0000"
EXPERIMENTS_KEPT = 64  # whose paths are remembered
RUNS_KEPT = 256  # whose paths are remembered, as those of each experiment's best
JOB = "job"  # the folder of a run that is the job's own: the daemon believes nothing that lies there
# In the environment of each command that the daemon runs on an attempt that is over, and of no job.
COMMAND_MARK = "AR_LOG"
AUDITS_WAITING = "audits-waiting"  # beside active/, in the daemon's state folder
RECORD, RESULT = "run.json", "result.json"  # of a run: its record, and what it was judged to be
CHECKPOINT_META = "meta.json"  # in each folder of .ckpt/: what was promoted there


def run_name(number: int) -> str:
    """Return the run id of a number: 12 -> r0012. Ids sort as numbers, so r10000 follows r9999."""
    return f"r{number:04d}"


def run_number(run_id: str) -> int:
    """Return the number of a run id: r0012 -> 12. Raises UsageError for anything else."""
    match = RUN_ID.fullmatch(run_id)
    if match is None:
        raise UsageError(f"{run_id[:40]!r} is not a run id", "run ids look like r0012")
    return int(match[1])


def measure_name(run_id: str, seed: int, time: int = 1) -> str:
    """Return the id of one more launch of that run's version: r0012 and seed 3 -> r0012m3.

    So a seed is never launched twice for one version, whatever was forgotten meanwhile; but where somebody
    wants it for the second `time`, or the first launch gave way to a run: r0012m3x2.
    """
    return f"{run_id}m{seed}" + (f"x{time}" if time > 1 else "")


def measured_by(run_id: str) -> str | None:
    """Return the run whose version r0012m3 launches again: r0012; None for a run that is a candidate."""
    match = MEASURE_ID.fullmatch(run_id)
    return match[1] if match is not None else None


def candidate_of(run_id: str) -> str:
    """Return the run that tried the version which a run launches: of r0012m3 and of r0012 it is r0012."""
    return measured_by(run_id) or run_id


def candidate_number(run_id: str) -> int:
    """Return the number of a run id, and 0 for a measurement: these use no number up."""
    return 0 if measured_by(run_id) is not None else run_number(run_id)


def find_project(start: Path) -> Path:
    """Return the project of the folder `start`, as project.find_project does."""
    return Path(project.find_project(str(start)))


@dataclass(frozen=True)
class Attempt:
    """Files of one launch of a run, in `runs/r0001/a1/`."""

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

    @property
    def check_log(self) -> Path:
        return self.folder / "check.log"

    def bookmark(self, backend: str) -> Path:
        """Return the file with how far that metric backend has read (metrics/bookmark.py)."""
        return self.folder / f"reading-{backend}.jsonl"


@dataclass(frozen=True)
class Run:
    """Files of one run, in `runs/r0001/`; each path is made once, as those of an experiment are."""

    folder: Path
    job_name: str = JOB  # "": an earlier version launched it, whose jobs had the run's folder itself

    @cached_property
    def run_id(self) -> str:
        return self.folder.name

    @cached_property
    def train(self) -> Path:
        """Return where the snapshot is kept; never executed."""
        return self.folder / "train.py"

    @cached_property
    def job(self) -> Path:
        """Return AR_RUN_DIR, the folder where the job writes what it likes."""
        return self.folder / self.job_name

    @cached_property
    def script(self) -> Path:
        """Return the copy of the snapshot that is executed."""
        return self.job / "train.py"

    @cached_property
    def record(self) -> Path:
        return self.folder / RECORD

    @cached_property
    def result(self) -> Path:
        return self.folder / RESULT

    @cached_property
    def log(self) -> Path:
        return self.folder / "run.log"

    def attempt(self, number: int) -> Attempt:
        return Attempt(self.folder / f"a{number}")

    def bookmarks(self) -> list[Path]:
        """Return the bookmarks of all attempts, and what a killed daemon has left of one."""
        return sorted(self.folder.glob("a[0-9]*/*reading-*.jsonl*"))


@dataclass(frozen=True)
class Experiment:
    """Files of one experiment, in `.autoresearch/{slug}/`.

    Each path is made once: making the fifteen that a request needs costs as much as reading the files.
    """

    folder: Path

    @cached_property
    def slug(self) -> str:
        return self.folder.name

    @cached_property
    def project(self) -> Path:
        return self.folder.parent.parent

    @cached_property
    def train(self) -> Path:
        return self.folder / "train.py"

    @cached_property
    def prepare(self) -> Path:
        return self.folder / "prepare.py"

    @cached_property
    def program(self) -> Path:
        return self.folder / "program.md"

    @cached_property
    def contract(self) -> Path:
        return self.folder / "batch_contract.json"

    @cached_property
    def session(self) -> Path:
        return self.folder / ".ar-session.json"

    @cached_property
    def best(self) -> Path:
        return self.folder / "best.json"

    @cached_property
    def best_checkpoint(self) -> Path:
        return self.folder / "best_ckpt"

    @cached_property
    def parent_checkpoint(self) -> Path:
        """Return the folder with the experiment's own copy of its parent's checkpoint, in a chain."""
        return self.folder / "parent_ckpt"

    @cached_property
    def decision(self) -> Path:
        return self.folder / "chain_decision.json"

    @cached_property
    def checkpoints(self) -> Path:
        return self.folder / ".ckpt"

    @cached_property
    def leftovers(self) -> Path:
        return self.checkpoints / "left.json"

    @cached_property
    def results(self) -> Path:
        return self.folder / "results.tsv"

    @cached_property
    def facts(self) -> Path:
        return self.folder / "facts.jsonl"

    @cached_property
    def same(self) -> Path:
        """The index of versions: links that name the run which has tried each (experiment/same.py)."""
        return self.folder / ".same"

    @cached_property
    def versions(self) -> Path:
        """The second copies of all versions (experiment/versions.py)."""
        return self.folder / ".versions"

    def version(self, run_id: str) -> Path:
        return self.versions / f"{run_id}.gz"

    @cached_property
    def unclean(self) -> Path:
        return self.folder / "UNCLEAN.json"

    @cached_property
    def archive(self) -> Path:
        return self.folder / "archive"

    @cached_property
    def runs(self) -> Path:
        return self.folder / "runs"

    def run(self, run_id: str) -> Run:
        return _run(self.runs, run_id)


@lru_cache(RUNS_KEPT)
def _run(runs: Path, run_id: str) -> Run:
    candidate_number(run_id)
    return Run(runs / run_id)


# Names that the daemon itself keeps in an experiment's folder. Everything else there is the project's and is
# linked into each job's folder.
DAEMON_FILES = frozenset(
    "batch_contract.json .ar-session.json best.json best_ckpt parent_ckpt .ckpt .same .versions results.tsv"
    " facts.jsonl UNCLEAN.json chain_decision.json archive runs train.py".split()
)


@dataclass(frozen=True)
class Project:
    """Files of one project, the host repository."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / FOLDER

    @property
    def chain(self) -> Path:
        return self.home / ".chain-session.json"

    @property
    def ignore(self) -> Path:
        """The file by which git ignores the experiments, and itself."""
        return self.home / ".gitignore"

    @property
    def owner(self) -> Path:
        """Which daemon may change the project: a kernel lock, and a record of who holds it."""
        return self.home / ".owner"

    @property
    def owner_wanted(self) -> Path:
        """An empty file by which another daemon asks the owner to let go as soon as it has no run."""
        return self.home / ".owner-wanted"

    @property
    def archive(self) -> Path:
        """Experiments that were put aside."""
        return self.home / "archive"

    def archived(self, slug: str) -> Experiment:
        """Return the experiment of that name as it lies in the archive."""
        return Experiment(self.archive / check_slug(slug))

    def all_archived(self) -> list[Experiment]:
        """Return the experiments in the archive, sorted by name."""
        return _in(self.archive)

    def experiment(self, slug: str) -> Experiment:
        return _experiment(self.folder, slug)

    def experiments(self) -> list[Experiment]:
        """Return the experiments of the project, sorted by name."""
        return _in(self.home)


def _in(folder: Path) -> list[Experiment]:
    if not folder.is_dir():
        return []
    return [Experiment(p) for p in sorted(folder.iterdir()) if SLUG.fullmatch(p.name) and p.is_dir()]


@lru_cache(EXPERIMENTS_KEPT)
def project_folder(project: str) -> Path:
    """Return the folder of the project that a request names. Raises UsageError if it cannot be one."""
    if project.startswith("/") and len(project) <= PATH_MAX:
        return Path(project)
    raise UsageError(f"project {project[:80]!r} is not an absolute path of at most {PATH_MAX} characters", "")


@lru_cache(EXPERIMENTS_KEPT)
def _experiment(project: Path, slug: str) -> Experiment:
    return Experiment(Project(project).home / check_slug(slug))


def is_slug(name: str) -> bool:
    """Tell whether a folder of an experiment may have this name."""
    return SLUG.fullmatch(name) is not None and len(name) <= SLUG_MAX


def check_slug(slug: str) -> str:
    """Return `slug` if it is an experiment's name, else raise UsageError: a folder is named by it."""
    if is_slug(slug):
        return slug
    raise UsageError(
        f"{slug[:80]!r} is not an experiment's name: {_slug_fault(slug)}",
        f"use yymmdd-kebab-topic, as 261122-lr-warmup (at most {SLUG_MAX} characters)",
    )


def _slug_fault(slug: str) -> str:
    """Say why no experiment can have this name."""
    if len(slug) > SLUG_MAX:
        return f"it has {len(slug)} characters, and {SLUG_MAX} are the most"
    if SLUG.fullmatch(f"000000-{slug}"):
        return "it does not begin with a date, as 261122-"
    return "it may have a-z, 0-9 and single hyphens between them, and nothing else"


@dataclass(frozen=True)
class AuditFiles:
    """Files of one experiment's hidden audit, in the daemon's state folder; nobody else may read them."""

    folder: Path

    @property
    def values(self) -> Path:
        return self.folder / "values.json"

    def log(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.log"


def audit_entry(active: Path) -> Path:
    """Return where an active entry goes when its run is committed and is to be audited."""
    return active.parent.with_name(AUDITS_WAITING) / active.name


@dataclass(frozen=True)
class Host:
    """Folders and files of this user's daemon on this machine."""

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
        """The daemon's standard error: what it prints before its log is open, and as it crashes."""
        return self.state / "daemon.stderr"

    @property
    def active(self) -> Path:
        return self.state / "active"

    @property
    def audits(self) -> Path:
        """What the hidden audits have shown: a folder for each experiment."""
        return self.state / "audits"

    @property
    def audits_waiting(self) -> Path:
        """The entries of advances whose audit is not recorded: from active/, when the run is committed."""
        return self.state / AUDITS_WAITING

    @property
    def left_as(self) -> Path:
        """Notes on how this daemon has left each experiment (experiment/left_as.py)."""
        return self.state / "left-as"

    @property
    def session_key(self) -> Path:
        """The secret with which sessions are signed; one for all machines that share the home folder."""
        return self.state.parent / "session.key"

    @property
    def fingerprint_key(self) -> Path:
        """The secret with which environments are hashed."""
        return self.state / "fingerprint.key"

    @property
    def quarantine(self) -> Path:
        """The folder with one file per slot on which a process survived its kill."""
        return self.state / "quarantine"

    @property
    def sick(self) -> Path:
        """The list of GPUs that get no run until a person has looked at them."""
        return self.state / "sick.json"

    @property
    def gate(self) -> Path:
        """What a person has ordered for the whole queue: paused, drained or open."""
        return self.state / "queue.json"

    @cached_property
    def socket(self) -> Path:
        return Path(places.socket_of(str(self.runtime)))

    @property
    def locks(self) -> Path:
        return self.runtime / "locks"


def boot_id() -> str:
    """Return the kernel's id of this boot (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
