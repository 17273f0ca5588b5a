"""Long tests come first, one by one; short ones last, a file at a time."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.shares import SHARE_MAX, rank, shares

ROOT = Path(__file__).parents[2]


def test_what_takes_seconds_comes_before_what_takes_milliseconds() -> None:
    files = [
        "tests/core/test_gate.py::test_it",
        "tests/torture/test_chain.py::test_it",
        "tests/test_daemon.py::test_it",
    ]
    assert min(files, key=rank) == "tests/torture/test_chain.py::test_it"
    assert rank("tests/integration/test_loop.py::test_it") < rank("tests/test_daemon.py::test_it")


def test_a_share_is_one_long_test_or_a_part_of_one_file() -> None:
    alone = [f"tests/torture/test_chain.py::test_it[{number}]" for number in range(3)]
    many = [f"tests/core/test_gate.py::test_it[{number}]" for number in range(SHARE_MAX + 1)]
    found = shares([*alone, *many, "tests/core/test_size.py::test_it"])
    assert len({found[nodeid] for nodeid in alone}) == 3
    assert len({found[nodeid] for nodeid in many}) == 2
    assert len({found[nodeid] for nodeid in many[:SHARE_MAX]}) == 1
    assert list(found.values()).count(found["tests/core/test_size.py::test_it"]) == 1


def test_each_of_two_workers_runs_whole_shares_and_every_test_is_run_once(tmp_path: Path) -> None:
    for name in ("core", "torture"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        text = f"def test_it(number, worker_id): print(f'{name} {{number}} on {{worker_id}}')\n"
        numbers = f"import pytest\npytestmark = pytest.mark.parametrize('number', range({2 * SHARE_MAX}))\n"
        (tmp_path / f"tests/{name}/test_{name}.py").write_text(numbers + text)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.shares",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
    ]
    done = subprocess.run(
        [*command, "-n", "2", "-rP", "tests"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = [line.split() for line in done.stdout.splitlines() if " on gw" in line]
    assert sorted((name, int(number)) for name, number, *_ in ran) == [
        (name, number) for name in ("core", "torture") for number in range(2 * SHARE_MAX)
    ]
    for first in (0, SHARE_MAX):
        share = {
            worker
            for name, number, _, worker in ran
            if name == "core" and first <= int(number) < first + SHARE_MAX
        }
        assert len(share) == 1
