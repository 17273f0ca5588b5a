"""One test that runs a whole family of cheap cases, and names each that fails.

A test costs some 3 ms of CPU over all of pytest's processes, and many a case takes microseconds. `@every`
stands where `@pytest.mark.parametrize` would, and the function below it stays the same. pytest's own
`subtests`, which pytest 8 has not, sends a report for each case: that costs half as much as a test.

Loaded by pyproject.toml (`-p tests.support.every`), to say how many cases there were.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Test = Callable[..., None]
SHOWN_MAX = 10  # failures that are shown whole; all of them are named


class Case(NamedTuple):
    """The name of a case, and its parameters."""

    name: str
    values: dict[str, Any]


def every(
    names: str,
    cases: Iterable[Any] | Callable[[], Iterable[Any]],
    ids: Iterable[str] | Callable[[Any], object] = repr,
) -> Callable[[Test], Test]:
    """Run all cases in one test: each has a value for each of the names, in a tuple where there are several.

    Cases that take long to find are a function that returns them: the test calls it. `tmp_path` is another
    empty folder for each case; all other fixtures are made once. `ids` are the names of the cases, or make a
    name of each. The report has the number of cases as the property `cases`, of those that failed as `wrong`.
    """
    parameters = [name.strip() for name in names.split(",")]
    given = cases if callable(cases) else list(cases)

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def whole(record_property: Callable[[str, object], None], **fixtures: Any) -> None:
            found = _cases(parameters, list(given() if callable(given) else given), ids)
            assert found, f"no cases of {names}"
            failures = _failures(test, found, fixtures)
            record_property("cases", len(found))
            record_property("wrong", len(failures))
            if failures:
                pytest.fail(_told(failures, len(found)), pytrace=False)

        whole.__signature__ = _fixtures(test, parameters)  # type: ignore[attr-defined] # pytest asks for it
        return whole

    return decorate


def _cases(
    parameters: list[str], cases: list[Any], ids: Iterable[str] | Callable[[Any], object]
) -> list[Case]:
    ids_of = map(ids, cases) if callable(ids) else ids
    values = [case if len(parameters) > 1 else (case,) for case in cases]
    named = zip(ids_of, values, strict=True)
    return [Case(str(name), dict(zip(parameters, each, strict=True))) for name, each in named]


def _fixtures(test: Test, parameters: list[str]) -> inspect.Signature:
    """Return what pytest has to fill in: the fixtures of the test, and the one of ours."""
    ours = inspect.Parameter("record_property", inspect.Parameter.KEYWORD_ONLY)
    asked = inspect.signature(test).parameters.values()
    fixtures = [one.replace(kind=ours.kind) for one in asked if one.name not in parameters]
    return inspect.Signature([*fixtures, ours])


def _failures(test: Test, cases: list[Case], fixtures: dict[str, Any]) -> list[tuple[str, str]]:
    """Run each case; return the name of each that failed, and what it said."""
    said = [(case.name, _failure(test, case, number, fixtures)) for number, case in enumerate(cases)]
    return [(name, text) for name, text in said if text is not None]


def _failure(test: Test, case: Case, number: int, fixtures: dict[str, Any]) -> str | None:
    try:
        test(**case.values, **_own(fixtures, number))
    except (Exception, pytest.fail.Exception) as error:
        found = pytest.ExceptionInfo.from_exception(error)
        found.traceback = found.traceback[1:]  # without this function
        return str(found.getrepr(style="short"))
    return None


def _own(fixtures: dict[str, Any], number: int) -> dict[str, Any]:
    if "tmp_path" not in fixtures:
        return fixtures
    folder: Path = fixtures["tmp_path"] / str(number)
    folder.mkdir()
    return {**fixtures, "tmp_path": folder}


def _told(failures: list[tuple[str, str]], cases: int) -> str:
    names = "".join(f"\n  {name}" for name, _ in failures)
    shown = "".join(f"\n\n___ {name}\n{text}" for name, text in failures[:SHOWN_MAX])
    return f"{len(failures)} of {cases} cases failed:{names}{shown}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases the tests had: a test that says nothing of them is one."""
    ended = [one for outcome in ("passed", "failed") for one in terminalreporter.stats.get(outcome, ())]
    counts = [int(str(dict(one.user_properties).get("cases", 1))) for one in ended]
    if sum(counts) > len(counts):
        terminalreporter.line(f"{sum(counts)} cases in {len(counts)} tests")
