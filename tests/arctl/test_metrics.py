"""`arctl metrics`: Prometheus text that its own rules take."""

import re
from collections.abc import Iterator

import pytest

from arctl.render import prometheus
from arctl.render.prometheus import Metric, Sample
from tests.support.lab import Lab
from tests.support.machine import with_gpus
from tests.support.page import DOCS
from tests.support.shell import Shell, shells

NUMBER = r"[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|inf|nan)"
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
LINE = re.compile(rf"(ardaemon_[a-z_]+)(?:\{{{LABEL}(?:,{LABEL})*\}})? ({NUMBER})")


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    with_gpus(lab, 2)
    with shells(lab) as made:
        yield made


def read(text: str) -> dict[str, list[float]]:
    """The values of each metric; every line is right, and all lines of a metric stand together."""
    found: dict[str, list[float]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in found
            found[name] = []
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {name} gauge"
        else:
            match = LINE.fullmatch(line)
            assert match is not None, line
            assert match[1] == name
            found[name].append(float(match[2]))
    return found


def test_daemon_queue_and_gpus_are_told(shell: Shell) -> None:
    shell.hold(0.5)
    process = shell.waiting("run", "--wait")
    shell("run", "--again")
    found = read(shell("metrics"))
    assert found["ardaemon_up"] == [1.0]
    assert found["ardaemon_gpu_memory_bytes"] == [float(80 << 30)] * 2
    assert sum(found["ardaemon_runs"]) == 2
    assert len(found["ardaemon_run_elapsed_seconds"]) >= 1
    page = (DOCS / "notifications.md").read_text()
    assert [name for name in found if f"`{name}`" not in page] == []
    shell.release()
    shell.end(process)
    shell("wait", "r0002")


def test_without_a_daemon_it_is_not_up_and_none_is_started(lab: Lab) -> None:
    assert read(Shell(lab)("metrics")) == {"ardaemon_up": [0.0]}
    assert list(lab.state_home.rglob("daemon.log")) == []


def test_what_others_have_named_breaks_no_line() -> None:
    nasty = 'a"b\\c\nd\x1b[31m' + "x" * 999
    text = prometheus.text([Metric("x", "X.", [Sample(1, {"expr": nasty}), Sample(None, {"expr": "b"})])])
    assert read(text) == {"ardaemon_x": [1.0]}
    assert prometheus.text([Metric("x", "X.", [Sample(None)])]) == ""
