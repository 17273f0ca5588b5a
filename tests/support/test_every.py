"""A family of cases in one test: all are run, whichever fail, and each that fails is named."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.every import SHOWN_MAX, every
from tests.support.imports import ROOT

FAMILY = """
from tests.support.every import every

@every("number", range(5))
def test_it(number):
    assert number != 3

def test_another():
    pass
"""


def ignored(_name: str, _value: object) -> None:
    """Stand in for pytest's record_property."""


def test_every_case_is_run_and_each_that_fails_is_named_with_its_assertion() -> None:
    seen = []

    @every("number, text", [(number, str(number)) for number in range(6)])
    def test(number: int, text: str) -> None:
        seen.append(text)
        assert number % 3 != 1, "so it is"

    properties: dict[str, object] = {}
    with pytest.raises(pytest.fail.Exception) as failed:
        test(record_property=properties.__setitem__)
    assert seen == list("012345")
    assert properties == {"cases": 6, "wrong": 2}
    told = str(failed.value)
    assert told.startswith("2 of 6 cases failed:\n  (1, '1')\n  (4, '4')\n")
    assert told.count("AssertionError: so it is") == 2
    assert "test_every.py:" in told
    assert "every.py:" not in told.replace("test_every.py:", "")


def test_of_very_many_failures_all_are_named_and_some_shown() -> None:
    @every("name", [f"case-{number}" for number in range(SHOWN_MAX + 5)], ids=str)
    def test(name: str) -> None:
        raise OSError(name)

    with pytest.raises(pytest.fail.Exception) as failed:
        test(record_property=ignored)
    assert all(f"\n  case-{number}\n" in str(failed.value) for number in range(SHOWN_MAX + 5))
    assert str(failed.value).count("\n___ case-") == SHOWN_MAX


def test_what_ends_no_case_by_an_error_of_its_own_is_a_failure_too() -> None:
    """`pytest.raises` that sees no error, and `pytest.fail`, raise what is no Exception."""

    @every("number", [1, 2])
    def test(number: int) -> None:
        with pytest.raises(ValueError, match=r"1|2"):
            int(str(number))

    with pytest.raises(pytest.fail.Exception, match="2 of 2 cases failed"):
        test(record_property=ignored)


def test_the_fixtures_alone_are_asked_of_pytest_and_a_folder_is_each_cases_own(tmp_path: Path) -> None:
    seen = []

    @every("name", ["a", "b"])
    def test(name: str, tmp_path: Path, other: int) -> None:
        assert list(tmp_path.iterdir()) == []
        (tmp_path / name).touch()
        seen.append(other)

    assert list(inspect.signature(test).parameters) == ["tmp_path", "other", "record_property"]
    test(tmp_path=tmp_path, other=3, record_property=ignored)
    assert seen == [3, 3]


def test_a_family_without_cases_fails() -> None:
    @every("name", [])
    def test(name: str) -> None:
        pass

    with pytest.raises(AssertionError, match="no cases of name"):
        test(record_property=ignored)


def test_cases_that_take_long_to_find_are_looked_for_when_the_test_runs() -> None:
    looked = []

    def cases() -> list[int]:
        looked.append("once")
        return [1, 2]

    @every("number", cases)
    def test(number: int) -> None:
        pass

    assert looked == []
    test(record_property=ignored)
    assert looked == ["once"]


def test_pytest_runs_it_as_one_test_and_says_how_many_cases_there_were(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FAMILY)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.every", "-c", os.devnull, "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 of 5 cases failed:\n  3\n" in done.stdout
    assert "6 cases in 2 tests" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
