"""A forged `arctl` is what a started one is, to whoever reads and waits."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import client
from tests.support.lab import DEADLINE_S, Lab, wait_until

CALLS = (
    ["--version"],
    ["statsu"],
    ["status", "--json"],
    ["init", "lr", "--train", "none.py"],
    ["config", "show"],
)


@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_it_says_what_a_started_one_says(lab: Lab, arguments: list[str]) -> None:
    """Output and exit code."""
    given: dict[str, Any] = {"env": lab.environment, "cwd": lab.project, "text": True, "timeout": DEADLINE_S}
    started = subprocess.run([sys.executable, "-m", "arctl", *arguments], capture_output=True, **given)
    assert vars(client.run(*arguments, **given)) == vars(started)


def test_it_is_a_process_of_its_own_that_a_signal_ends(lab: Lab) -> None:
    """With a command line, an environment and descriptors like any other."""
    ours, theirs = os.pipe()
    given = {"env": {**lab.environment, "MARK": "4711"}, "cwd": lab.project, "stdout": theirs}
    with client.popen("mcp", stdin=subprocess.PIPE, **given) as process:
        os.close(theirs)
        assert isinstance(process, client.Client)
        facts = Path(f"/proc/{process.pid}")
        wait_until(lambda: b"\0MARK=4711\0" in (facts / "environ").read_bytes(), "it begins")
        command = f"{sys.executable}\0-m\0arctl\0mcp\0".encode()
        assert (facts / "cmdline").read_bytes().startswith(command)
        assert (facts / "cwd").resolve() == lab.project
        process.kill()
        assert process.wait(DEADLINE_S) == process.poll() == -signal.SIGKILL
    with open(ours, "rb") as pipe:
        assert pipe.read() == b"", "nobody else has its descriptors"


@pytest.mark.parametrize("variable", ["PYTHONUTF8", "LC_ALL", "LD_PRELOAD"])
def test_what_an_interpreter_reads_at_its_start_starts_one(lab: Lab, variable: str) -> None:
    """The forge has read its own environment."""
    given = {"env": {**lab.environment, variable: "0"}, "cwd": lab.project}
    with client.popen("--version", stdout=subprocess.DEVNULL, **given) as process:
        assert not isinstance(process, client.Client)
