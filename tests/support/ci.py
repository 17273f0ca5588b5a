"""Where CI is set, a skipped test fails the run: nothing may go untested without being noticed.

Loaded by pyproject.toml (`-p tests.support.ci`).
"""

import os

import pytest


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else list(reporter.stats.get("skipped", []))


def _strict(config: pytest.Config) -> bool:
    # Workers of pytest-xdist have no part in this: their reports reach the one main process.
    return os.environ.get("CI", "").lower() not in ("", "0", "false") and not hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a passed session with skipped tests into a failed one."""
    if session.exitstatus == pytest.ExitCode.OK and _strict(session.config) and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which tests were skipped, and that this is a failure here."""
    skipped = _skipped(config) if _strict(config) else []
    if not skipped:
        return
    terminalreporter.section("skipped tests fail under CI", red=True)
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {reason}")
