"""A job has the limits of the shell that submits it, not of the one that happened to start the daemon."""

import os
import subprocess
import sys

from tests.support.lab import DEADLINE_S, Lab

# A job gets its nice value a moment after its start: it waits for the one that it is told of.
SHOWS = (
    "import os, resource, time\n"
    "until = time.monotonic() + 20\n"
    "wanted = int(os.environ.get('WANTED', os.getpriority(os.PRIO_PROCESS, 0)))\n"
    "while os.getpriority(os.PRIO_PROCESS, 0) != wanted and time.monotonic() < until:\n"
    "    time.sleep(0.01)\n"
    "print('said:', resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.getpriority(os.PRIO_PROCESS, 0),"
    " len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_AS)[0] >> 10)\n"
    "print('val/loss: 0.5')\n"
)


def said(lab: Lab, run_id: str) -> str:
    log = (lab.folder / "runs" / run_id / "run.log").read_text()
    return next(line for line in log.splitlines() if line.startswith("said:")).removeprefix("said: ")


def test_the_limits_of_the_submitting_shell_are_the_jobs(lab: Lab) -> None:
    lab.ready()
    lab.write(SHOWS)
    own, cpus = os.getpriority(os.PRIO_PROCESS, 0), len(os.sched_getaffinity(0))
    arctl = f"WANTED={own + 4} nice -n 4 {sys.executable} -m arctl"
    line = f"ulimit -n 321 -v 8388608; {arctl} run --wait --again"
    command = ["bash", "-c", line]
    options = {"env": lab.environment, "cwd": lab.project, "capture_output": True, "text": True}
    done = subprocess.run(command, timeout=DEADLINE_S, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert said(lab, "r0001") == f"321 {own + 4} {cpus} 8388608"
    assert "warning: limits of this shell hold for r0001" in done.stderr
    assert "address space (ulimit -v) 8388608" in done.stderr
    # Another shell of the same session, over a restart of the daemon; a client that says nothing.
    lab.kill()
    lab.start()
    warnings = lab.submit(shell={"limits": {"NOFILE": 99}, "affinity": [9999, min(os.sched_getaffinity(0))]})
    lab.wait("r0002")
    assert said(lab, "r0002").split()[::2] == ["99", "1"]
    lacking, changed = warnings["warnings"]
    assert lacking.startswith("of this shell the job of r0002 cannot have CPUs")
    assert changed.startswith("r0001 of this session had other limits")
    assert lab.read("runs/r0002/run.json")["not_given"][0] in lacking
    lab.submit()
    lab.wait("r0003")
    assert said(lab, "r0003").split()[0] not in ("99", "321")
