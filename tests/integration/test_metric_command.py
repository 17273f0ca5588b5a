"""A metric command that is under way delays no stop, and outlives no daemon."""

import sys
from pathlib import Path

import pytest

from tests.support.jobs import alive, children_of, stop
from tests.support.lab import DEADLINE_S, Lab, wait_until

# The first time it stays for ever, with a child in a session of its own and one whose parent has ended.
COMMAND = """import json, os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if (here / "pids").exists():
    print(json.dumps({"val/loss": 0.5}))
    sys.exit()
for kind in ("child", "orphan", "self"):
    if kind != "self" and os.fork() == 0:
        os.setsid()
        if kind == "orphan" and os.fork():
            os._exit(0)
        break
with open(here / "pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


@pytest.mark.promise("metric-command")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_metric_command_ends_with_its_daemon_and_is_asked_again_by_the_next(lab: Lab, how: str) -> None:
    script = lab.root / "command.py"
    script.write_text(COMMAND)
    lab.start()
    lab.init()
    lab.session(metrics="custom", metric_command=f"{sys.executable} {script} {lab.root}")
    run_id = lab.submit()["run_id"]
    pids = commands(lab)
    if how == "stop":
        stop_daemon(lab)
    else:
        lab.kill()
    wait_until(lambda: not any(map(alive, pids)), "the end of the command and its children")
    assert not (lab.folder / f"runs/{run_id}/result.json").exists(), "judged by a command that was ended"
    lab.start()
    result = lab.wait(run_id)["result"]
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5)
    assert (lab.folder / "results.tsv").read_text().count(run_id) == 1


def test_a_stopped_keeper_of_a_metric_command_delays_no_stop_and_nothing_is_left_of_the_command(
    lab: Lab,
) -> None:
    script = lab.root / "command.py"
    script.write_text(COMMAND)
    lab.start()
    lab.init()
    lab.session(metrics="custom", metric_command=f"{sys.executable} {script} {lab.root}")
    lab.submit()
    pids = commands(lab)
    for keeper in children_of(lab, "keeper"):
        stop(lab, keeper)
    stop_daemon(lab)
    wait_until(lambda: not any(map(alive, pids)), "the end of the command and its children")


def stop_daemon(lab: Lab) -> None:
    """Stop the daemon, which waits for nothing in vain: no thread of its own is left at work."""
    lab.call("daemon.stop")
    assert lab.process is not None
    lab.process.wait(DEADLINE_S)
    assert not lab.events("left threads behind")


def commands(lab: Lab) -> list[int]:
    """The pids of the command and its children, once all three are there."""
    path = lab.root / "pids"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 3, "the command's processes")
    return [int(pid) for pid in Path(path).read_text().split()]
