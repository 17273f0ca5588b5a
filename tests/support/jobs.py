"""The processes of a run under test: its shim and its job."""

import json
from pathlib import Path

from tests.support.lab import Lab, wait_until


def launched(lab: Lab, script: str) -> str:
    lab.write(script)
    run_id: str = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    return run_id


def shim_of(lab: Lab, run_id: str) -> int:
    start = lab.folder / f"runs/{run_id}/a1/start.json"
    pid: int = json.loads(start.read_bytes())["shim"][0]
    return pid


def job_of(lab: Lab, run_id: str) -> int:
    start = lab.folder / f"runs/{run_id}/a1/start.json"
    found = wait_until(lambda: json.loads(start.read_bytes())["job"], "the job's pid")
    pid: int = found[0]
    return pid


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
