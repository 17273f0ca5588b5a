"""The auto backend: the first source that holds the primary metric."""

import shlex
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.registry import BACKENDS


def ask(folder: Path, log: str, command: str | None) -> Readings:
    (folder / "run.log").write_text(log)
    evidence = Evidence(
        log=folder / "run.log",
        run_folder=folder,
        attempt_folder=folder,
        project=folder,
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    return BACKENDS["auto"].read(evidence, Query(Primary("loss"), command=command))


def echo(text: str) -> str:
    return shlex.join(["echo", text])


def test_every_backend_is_found_by_its_own_name() -> None:
    assert {name: backend.name for name, backend in BACKENDS.items()} == {
        "custom": "custom",
        "log": "log",
        "auto": "auto",
    }


@pytest.mark.parametrize(
    ("log", "command", "source", "value"),
    [
        ("loss: 1", None, "log", 1.0),
        ("loss: 1", echo('{"loss": 2}'), "custom", 2.0),
        ("loss: 1", echo('{"acc": 2}'), "log", 1.0),
        ("loss: 1", "false", "log", 1.0),
        ("acc: 1", echo('{"loss": 2}'), "custom", 2.0),
    ],
)
def test_the_first_source_with_the_primary_wins(
    tmp_path: Path, log: str, command: str | None, source: str, value: float
) -> None:
    readings = ask(tmp_path, log, command)
    assert (readings.source, readings.metrics["loss"].last) == (source, value)


def test_without_a_command_only_the_log_answers(tmp_path: Path) -> None:
    readings = ask(tmp_path, "losses: 1", None)
    assert (readings.problem, readings.nearest) == ("loss was never printed", ("losses",))


def test_where_none_has_it_each_source_tells_its_problem(tmp_path: Path) -> None:
    readings = ask(tmp_path, "losses: 1", "sh -c 'echo broken >&2; exit 2'")
    assert readings.problem is not None
    assert readings.problem.startswith("custom: metric command ")
    assert readings.problem.endswith("exited 2: broken; log: loss was never printed")
    assert readings.nearest == ("losses",)
    assert readings.metrics["losses"].last == 1.0
