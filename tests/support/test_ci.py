"""A skipped test fails the run where CI is set, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = 'import pytest\n\ndef test_it():\n    pytest.skip("no such hardware")\n'
PASSED = "def test_it():\n    pass\n"


def run(folder: Path, text: str, ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest with our plugin alone, on one file."""
    (folder / "test_it.py").write_text(text)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.ci", "-c", os.devnull, "--rootdir", "."]
    return subprocess.run(
        [*command, *options, "test_it.py"],
        cwd=folder,
        env=environment | {"CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_a_skip_fails_under_ci_and_is_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(tmp_path, SKIPPED, "true", *options)
    assert done.returncode == 1
    assert "no such hardware" in done.stdout


def test_a_skip_passes_elsewhere(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED, "").returncode == 0


def test_a_run_without_skips_passes_under_ci(tmp_path: Path) -> None:
    assert run(tmp_path, PASSED, "true").returncode == 0
