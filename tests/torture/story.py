"""The story that every crash is tried on: a run of each kind, told by a client that never gives up."""

import errno
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ardaemon.core.errors import ArdaemonError
from ardaemon.judging.verdict import DISK_FULL
from tests.support.lab import DEADLINE_S, SLUG, Lab, wait_until

T = TypeVar("T")

PATIENCE_S = 3.0  # then the client looks whether something is to be mended
# A second launch would leave a second mark.
SCRIPT = (
    "import os\n"
    "run, home = os.environ['AR_RUN_DIR'], os.environ['AR_EXPR_DIR']\n"
    "with open(home + '/../../marks', 'a') as file:\n"
    "    file.write(os.environ['AR_RUN_ID'] + ' {name}\\n')\n"
    "{body}"
)
SAVE = "open(run + '/state.pt', 'w').write('state of {name}' * 99)\n"
# The last value counts: a log that is cut off in the middle says something else.
PRINT = "print('val/loss: 9')\nprint('val/loss:', {value})\n"


@dataclass(frozen=True)
class Candidate:
    """One edit of train.py and what is to become of it."""

    name: str
    body: str
    verdict: str
    restore: str = "at_verdict"

    @property
    def text(self) -> str:
        """train.py."""
        return SCRIPT.format(name=self.name, body=self.body)


CANDIDATES = (
    Candidate("baseline", PRINT.format(value=1.0), "advance"),
    Candidate("saved", SAVE.format(name="saved") + PRINT.format(value=0.5), "advance"),
    Candidate("worse", PRINT.format(value=0.7), "revert"),
    Candidate("broken", "raise SystemExit(3)\n", "crash"),
    Candidate("again", SAVE.format(name="again") + PRINT.format(value=0.4), "advance"),
    Candidate("ahead", PRINT.format(value=0.3), "advance", restore="at_submit"),
)


class Story:
    """Tells the candidates to a daemon; whatever fails is done again, as arctl and a person would."""

    candidates: tuple[Candidate, ...] = CANDIDATES
    settings: ClassVar[Mapping[str, Any]] = {"seconds": 30, "settle": 0, "runner": "python -I -S train.py"}

    def __init__(self, lab: Lab, mend: Callable[[], None] = lambda: None) -> None:
        self.lab, self.mend = lab, mend
        # The same in every world: its hash stands in run.json.
        self.environment = {"PATH": os.path.dirname(sys.executable), "LANG": "C.UTF-8"}
        self.runs: dict[str, str] = {}  # candidate -> run id, as acknowledged
        self.edited: Callable[[Path, str], None] = Path.write_text  # type: ignore[assignment]

    def tell(self) -> "Story":
        """The whole story, to its end."""
        self.begin()
        for candidate in self.candidates:
            self.submit(candidate)
            self.judged(candidate)
        wait_until(self._none_active, "the active folder to be empty")
        self.insist(self._derived)
        return self

    def _none_active(self) -> bool:
        self.mend()  # an entry may stay for what strikes after the last verdict
        return not any((self.lab.home / "active").iterdir())

    def begin(self) -> None:
        """An experiment with a live session."""
        self.insist(self._init)
        self.insist(self._session)

    def submit(self, candidate: Candidate) -> None:
        """Edit, and submit until it is acknowledged."""
        self.edited(self.lab.folder / "train.py", candidate.text)
        answer = self.insist(
            lambda: self.lab.submit(
                submit_id=candidate.name,
                environment=self.environment,
                restore=candidate.restore,
                note=candidate.name,
            )
        )
        self.runs[candidate.name] = answer["run_id"]

    def judged(self, candidate: Candidate) -> dict[str, Any]:
        """Wait until it is committed; its result."""
        run_id = self.runs[candidate.name]
        found: dict[str, Any] = self.insist(lambda: self._result(run_id))
        return found

    def settled(self) -> None:
        """Nothing is under way any more."""
        self.insist(lambda: self.lab.call("daemon.info"))
        self.insist(self._derived)
        wait_until(lambda: not any((self.lab.runtime / "ardaemon/locks").iterdir()), "the locks to be gone")

    def insist(self, work: Callable[[], T]) -> T:
        """Do it until it is done: over the daemon's death, a full disk, a broken one."""
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                return work()
            except (ArdaemonError, OSError, AssertionError) as error:
                if time.monotonic() > end:
                    raise AssertionError("the story does not go on") from error
                self._recover(error)
            time.sleep(0.01)  # between two tries: what is waited for is the answer

    def _recover(self, error: Exception) -> None:
        self.mend()
        process = self.lab.process
        if process is None or process.poll() is not None:
            self.lab.close_clients()
            try:
                self.lab.start()
            except AssertionError:
                return  # a fault at its start: once more
        elif isinstance(error, ArdaemonError) and "StorageError" not in type(error).__name__:
            raise error  # no fault of ours explains this answer

    def _init(self) -> None:
        if not self.lab.folder.exists():
            self.lab.init(text="print('val/loss: 9')\n", prepare=self._prepare())

    def _prepare(self) -> str:
        path = self.lab.project / "prepare.py"
        path.write_text("CONTRACT = {'version': 1}\n")
        return str(path)

    def _session(self) -> None:
        if not self.lab.get("session.get")["session"]["live"]:
            self.lab.call(
                "session.start",
                project=str(self.lab.project),
                expr=SLUG,
                settings=self.settings,
                environment=self.environment,
                resume=None,
                ack_baseline=False,
            )

    def _derived(self) -> None:
        """Every run has its line in facts.jsonl."""
        self.lab.get("experiment.seal")  # a change: a daemon that has just started looks what has no line
        kept = "facts.jsonl to have a line for each run"
        wait_until(lambda: facts_kept(self.lab.folder), kept, PATIENCE_S)

    def _result(self, run_id: str) -> dict[str, Any]:
        found = self.lab.wait(run_id, timeout=PATIENCE_S)
        assert found["result"] is not None, f"{run_id} is {found['state']}: {found['why']}"
        result: dict[str, Any] = found["result"]
        return result


# What differs between two tellings of the same story: times, pids, what is measured, what has a random key.
# And `generation`: a write of the session that a kill or a broken disk cuts short may be made twice. And
# `tree`: a daemon that starts removes the empty cgroups of dead ones, at times one that a shim is just about
# to enter: a daemon gave it that cgroup, and was killed in that moment. The shim walks through /proc.
VOLATILE = frozenset(
    "at boot_id cgroup created_at deadline disk_full ended_at ended_monotonic environment_sha256 generation"
    " job laid_out_by lineage max_rss_kb monotonic over_by parent_report_sha256 peak_rss_mb pid pids_cgroup"
    " results_bytes sealed_at seconds shim signature started_at submitted_at system_s tree untold"
    " user_s".split()
)
FACTS = "facts.jsonl"
# What a run used is sampled once it takes longer than a second, as one does whose disk is full.
SAMPLED = ("samples.jsonl", "measured.json")
OWNER = ".owner"  # which process holds the project, and since when
# A shim that could not write at once says so in exit.json: true, and no harm done. So does the reason of a
# run that failed then.
FORGIVEN = (errno.ENOSPC, errno.EIO)
NO_ROOM = f"; {DISK_FULL}"
KEPT_SECONDS = 30  # the limit is a setting and must be the same; only what was measured may differ


def facts_kept(folder: Path) -> bool:
    """Every row of results.tsv has its line in facts.jsonl."""
    rows = (folder / "results.tsv").read_text().splitlines()[1:]
    try:
        lines = (folder / FACTS).read_text().splitlines()
        return [json.loads(line)["run_id"] for line in lines] == [row.split("\t")[0] for row in rows]
    except (FileNotFoundError, ValueError):
        return False


def pictured(lab: Lab) -> dict[str, Any]:
    """Every file of the project and of the daemon's active folder, as it must be after any crash."""
    found: dict[str, Any] = {}
    for home in (lab.project, lab.home / "active", lab.runtime / "ardaemon/locks"):
        for path in sorted(home.rglob("*")):
            name = str(path.relative_to(lab.root)).replace(lab.home.name, "HOST")
            if path.name in (*SAMPLED, OWNER):
                continue
            if ".same" in path.parts:  # its names are hashes of an environment's, which has a random key
                found.update({f".same {os.readlink(path)}": True} if path.is_symlink() else {})
            elif path.is_symlink():
                found[name] = os.readlink(path).replace(str(lab.root), "~")
            elif path.is_dir():
                found[f"{name}/"] = oct(path.stat().st_mode)
            else:
                found[name] = (oct(path.stat().st_mode), _content(lab, path))
    return found


def _content(lab: Lab, path: Path) -> object:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().replace(str(lab.root), "~")
    if path.suffix == ".json":
        return _plain(json.loads(text))
    if path.name == FACTS:
        return [_plain(json.loads(line)) for line in text.splitlines()]
    return [_row(line) for line in text.splitlines()] if path.suffix == ".tsv" else text


def _plain(value: Any, name: str = "") -> Any:
    if name in VOLATILE and value != KEPT_SECONDS:
        return f"<{name}>"
    if isinstance(value, dict):
        return {key: _plain(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if name == "error" and value is not None and any(os.strerror(n) in value for n in FORGIVEN):
        return None
    if name == "reason" and value is not None:
        return value.removesuffix(NO_ROOM)
    if name == "row":
        return _row(value)
    return "<lock>" if name in ("shim_lock", "job_lock") else value


def _row(line: str) -> list[str]:
    """A row of results.tsv without its time and its seconds (columns 2 and 7)."""
    return [cell if at not in (1, 6) else "" for at, cell in enumerate(line.split("\t"))]
