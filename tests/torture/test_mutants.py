"""The mutants are fair: each changes one place of the code as it stands, and each promise has one."""

import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from types import CodeType

import pytest

from tests.support.every import every
from tests.support.promises import PROMISES, files_of
from tests.torture.mutant import Mutant, changed, code
from tests.torture.mutate import MUTANTS

ROOT = Path(__file__).parents[2]
CODE = cache(partial(code, ROOT))


def _meaning(program: CodeType) -> object:
    """What is done, wherever in its file it stands: comments and the shape of the text are no part of it."""
    constants = [_meaning(one) if isinstance(one, CodeType) else repr(one) for one in program.co_consts]
    names = (program.co_names, program.co_varnames, program.co_cellvars, program.co_freevars)
    return program.co_code, names, constants


@cache
def _original(path: Path) -> object:
    return _meaning(compile(CODE()[path], path, "exec"))


def test_every_promise_is_broken_in_some_way_and_they_stand_in_its_order() -> None:
    assert list(dict.fromkeys(mutant.promise for mutant in MUTANTS)) == list(PROMISES)


def test_no_mutant_is_there_twice() -> None:
    assert len({(mutant.promise, mutant.broken) for mutant in MUTANTS}) == len(MUTANTS)


@every("mutant", MUTANTS, ids=lambda mutant: f"{mutant.promise}: {mutant.broken}")
def test_a_mutant_changes_one_place_and_leaves_a_valid_program(mutant: Mutant) -> None:
    path, text = changed(CODE(), mutant)
    assert _meaning(compile(text, path, "exec")) != _original(path), "it does what it did"


@every("promise", PROMISES)
def test_the_tests_of_each_promise_are_found(promise: str) -> None:
    assert files_of(promise)


def test_the_tests_that_mutants_name_are_there(request: pytest.FixtureRequest) -> None:
    """What this session has not collected, as where it has some files alone, is looked for by another."""
    seen = [item.nodeid for item in request.session.items]
    known = {*seen, *(one.partition("[")[0] for one in seen), *(one.partition("::")[0] for one in seen)}
    named = {test for mutant in MUTANTS for test in mutant.tests} - known
    if not named:
        return
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_names_in_a_mutant_are_known_where_it_is_put(tmp_path: Path) -> None:
    for number, mutant in enumerate(MUTANTS):
        path, text = changed(CODE(), mutant)
        (tmp_path / f"{number}_{path.name}").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--no-cache", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
