"""What the tests with real frameworks share; `make test-frameworks` runs them, `make test` does not."""

import os
from pathlib import Path

import pytest

from tests.frameworks.table import CELL, Cell, table

# The interpreter of an environment with the frameworks; the jobs run in that, the daemon does not.
VARIABLE = "FRAMEWORKS_PYTHON"


@pytest.fixture(scope="session")
def frameworks() -> str:
    """The path of the frameworks' interpreter."""
    python = os.environ.get(VARIABLE)
    if python is None or not Path(python).exists():
        pytest.skip(f"${VARIABLE} names no interpreter: make test-frameworks installs one")
    return python


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the matrix has read; and write it where METRICS_TABLE says."""
    reports = [
        report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])
    ]
    cells = [Cell(*value) for report in reports for name, value in report.user_properties if name == CELL]
    if not cells:
        return
    terminalreporter.section("what was read")
    terminalreporter.write_line(table(cells))
    if path := os.environ.get("METRICS_TABLE"):
        Path(path).write_text(table(cells), encoding="utf-8")
