"""C code for tests, built by gcc. A machine without it skips what needs it, and says so."""

import shutil
import subprocess

import pytest


def build(*arguments: object, source: str | None = None) -> None:
    """Run gcc; `source` is what it reads from its input, where `-` is among the arguments."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc: this test is about a program or a library in C")
    subprocess.run(["gcc", *map(str, arguments)], input=source, text=True, check=True)
