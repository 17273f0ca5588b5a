"""The tables of the skill `setup` that say what to do about a message: arctl does say that."""

import re
from pathlib import Path

from tests.skill.test_setup_pages import SETUP, shell
from tests.support import skill_pages
from tests.support.lab import Lab
from tests.support.open_shell import OpenShell

__all__ = ["shell"]  # the fixture
INIT = "arctl init 261122-{} --train {} --primary-metric val_loss --primary-direction min --goal g"
PYTHON = "print({!r})\n"
# What a script does, and how its session reads the metric: each gives a message of metric-not-read.md.
CSV = """import os, pathlib
os.makedirs("logs", exist_ok=True)
pathlib.Path("logs/m.csv").write_text("a,Val\\n1,2\\n")
"""
EVENTS = """import pathlib
pathlib.Path("runs").mkdir()
pathlib.Path("runs/events.out.tfevents.1").touch()
"""
CASES = (
    ("pass\n", ""),
    (PYTHON.format("the loss is 3"), ""),
    (PYTHON.format("the val_loss of epoch 3 went down"), ""),
    (PYTHON.format("VAL_LOSS=3"), ""),
    (PYTHON.format("the loss is 3"), "--metric-regex 'loss: (?P<value>.*)'"),
    (CSV, "--metrics csv --metric-path 'log/*.csv'"),
    (CSV, "--metrics csv --metric-path 'logs/*.csv'"),
    (EVENTS, "--metrics tensorboard"),
    ("print()\n", "--metrics csv --metric-path 'logs/*.csv'"),
    (PYTHON.format("0.5"), "--metric-command 'echo 0.5'"),
    (PYTHON.format("val_loss: nan"), ""),
    ("import time\nprint('val_loss: nan\\nval_loss: nan', flush=True)\ntime.sleep(60)\n", ""),
)


def messages(page: Path, heading: str) -> list[str]:
    """What stands in backticks in the first column of the table below a heading."""
    section = page.read_text().partition(f"{heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows, f"{page} has no table below {heading}"
    return [text for row in rows for text in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def unsaid(shown: list[str], printed: str) -> list[str]:
    """Those messages that nobody has printed; `…` is any text within a line."""
    return [text for text in shown if not re.search(_pattern(text), printed)]


def _pattern(text: str) -> str:
    return re.escape(text).replace("…", ".*")


def test_the_messages_of_a_metric_that_is_not_read(lab: Lab, shell: OpenShell) -> None:
    printed = ""
    assert shell(INIT.format("a", ".autoresearch/draft/train.py"))[0] == 0
    for script, options in CASES:
        shell("arctl session stop")
        told = shell(f"arctl session start --resume fresh --yes --defaults --seconds 20 --settle 0 {options}")
        assert told[0] == 0, told
        skill_pages.train(lab).write_text(script)
        printed += shell("arctl run --wait --again")[1]
    assert (
        unsaid(messages(SETUP / "references/metric-not-read.md", "## First: what the run says"), printed)
        == []
    )


def test_the_messages_of_what_is_refused(lab: Lab, shell: OpenShell) -> None:
    shell(INIT.format("flats", ".autoresearch/draft/train.py --seal quick.py"))
    commands = (
        "session start --runner 'nowhere/python train.py' --seconds 20",
        "session start --runner 'pythonx train.py' --seconds 20 --metrics csv --metric-path logs/metrics.csv",
        "session start --seconds 20 --metrics csv --metric-path logs/metrics.csv",
        "run --wait",
        "session start --seconds 30",
        "session stop",
        "session start --seconds 30",
        "session start --seconds 30 --ack-baseline",
    )
    printed = "".join(shell(f"arctl {command}")[1] for command in commands)
    (lab.project / "quick.py").write_text("pass\n")
    printed += shell("arctl run --wait")[1]
    shell(INIT.format("more", ".autoresearch/draft/train.py"))
    printed += shell("python -m tests.support.sandbox claude -- arctl status")[1]
    shell("arctl session stop --expr 261122-flats")
    shell("arctl session start --seconds 20 --expr 261122-more")
    shell("arctl session stop --expr 261122-more")
    printed += shell("arctl session show")[1]
    assert unsaid(messages(SETUP / "SKILL.md", "## When something is refused"), printed) == []
