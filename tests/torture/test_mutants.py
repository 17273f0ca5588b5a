"""The mutants are fair: each changes one place of the code as it stands, and each promise has one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.promises import PROMISES, files_of
from tests.torture.mutant import Mutant, changed, code
from tests.torture.mutate import MUTANTS

ROOT = Path(__file__).parents[2]
CODE = code(ROOT)
EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.promise}: {mutant.broken}")


def test_every_promise_is_broken_in_some_way_and_they_stand_in_its_order() -> None:
    assert list(dict.fromkeys(mutant.promise for mutant in MUTANTS)) == list(PROMISES)


def test_no_mutant_is_there_twice() -> None:
    assert len({(mutant.promise, mutant.broken) for mutant in MUTANTS}) == len(MUTANTS)


@EACH
def test_a_mutant_changes_one_place_and_leaves_a_valid_program(mutant: Mutant) -> None:
    path, text = changed(CODE, mutant)
    assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(CODE[path]))
    compile(text, str(path), "exec")


@pytest.mark.parametrize("promise", PROMISES)
def test_the_tests_of_each_promise_are_found(promise: str) -> None:
    assert files_of(promise)


def test_the_tests_that_mutants_name_are_there() -> None:
    named = sorted({test for mutant in MUTANTS for test in mutant.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_names_in_a_mutant_are_known_where_it_is_put(tmp_path: Path) -> None:
    for number, mutant in enumerate(MUTANTS):
        path, text = changed(CODE, mutant)
        (tmp_path / f"{number}_{path.name}").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--no-cache", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
