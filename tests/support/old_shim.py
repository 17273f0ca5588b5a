"""A run of a version whose jobs had the run's own folder as AR_RUN_DIR, as it was while it ran.

Its shim is a stand-in, with files and locks as tests/data/schema1 has them; it ends with its job, and
enforces nothing. `python -m tests.support.old_shim ATTEMPT SHIM_LOCK JOB_LOCK BOOT_ID PROGRAM…` is that
shim, in the job's environment.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from ardaemon.core.layout import boot_id
from tests.support.lab import Lab
from tests.support.record import lay_out

DATA = Path(__file__).parents[1] / "data/schema1"
LIMIT_S = 300.0


@contextmanager
def old_run(lab: Lab, text: str) -> Iterator[None]:
    """r0004 of the recorded folder runs, with this script for /bin/sh."""
    lay_out(lab, DATA)
    run = lab.folder / "runs/r0004"
    for name in ("exit.json", "start.json", "run.log"):
        (run / "a1" / name).unlink()
    (run / "train.py").write_text(text)
    record = lab.read("runs/r0004/run.json")
    handle = record["state"]["handle"]
    record["sha256"], handle["boot_id"] = sha256(text.encode()).hexdigest(), boot_id()
    (run / "run.json").write_text(json.dumps(record))
    locks = [handle["shim_lock"], handle["job_lock"]]
    for folder in (Path(locks[0]).parent.parent, Path(locks[0]).parent):
        folder.mkdir(mode=0o700)
    tags = {"AR_RUN_ID": "r0004", "AR_RUN_DIR": str(run), "AR_EXPR_DIR": str(lab.folder), "AR_ATTEMPT": "1"}
    shim = [sys.executable, "-m", "tests.support.old_shim", handle["folder"], *locks, boot_id()]
    environment = {**lab.environment, **tags}
    with subprocess.Popen([*shim, *record["argv"]], env=environment, start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # a zombie at least: it is reaped below


def started(pid: int) -> list[int]:
    """The pid and its start time (proc(5), stat, field 22)."""
    return [pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])]


def put(path: Path, facts: dict[str, object]) -> None:
    """Write it at one stroke."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(json.dumps({"schema": 1, **facts}))
    aside.replace(path)


def lock(path: str) -> int:
    """Hold the kernel's lock on the file."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def main() -> None:
    """Run the job to its end, with everything that a daemon looks for."""
    folder, boot_id, now = Path(sys.argv[1]), sys.argv[4], time.monotonic()
    lock(sys.argv[2])
    job_lock = lock(sys.argv[3])
    with (folder / "run.log").open("wb") as log:
        job = subprocess.Popen(
            sys.argv[5:], stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[job_lock]
        )
    begun = {"boot_id": boot_id, "monotonic": now, "started_at": "2026-11-22T22:55:12Z"}
    limits = {"deadline": now + LIMIT_S, "over_by": now + 2 * LIMIT_S}
    put(folder / "start.json", {"shim": started(os.getpid()), "job": started(job.pid), **begun, **limits})
    os.close(job_lock)
    code = job.wait()
    ended = {"seconds": time.monotonic() - now, "ended_at": "2026-11-22T22:55:13Z"}
    put(folder / "exit.json", {"ending": "exited", "exit_code": code, "tree": "walk", **ended})


if __name__ == "__main__":
    main()
