"""The examples as a person runs them: their one command, in a copy, with an empty home."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", ["hf-trainer", "hydra-tensorboard", "plain-pytorch"])
def test_an_example_shows_an_advance_and_a_revert(name: str, frameworks: str, tmp_path: Path) -> None:
    """Also: it changes nothing in its own folder or in the home, and leaves nothing behind."""
    copy, home = tmp_path / "examples", tmp_path / "home"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    before = files(copy)
    environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    played = subprocess.run(
        [sys.executable, str(copy / "drive.py"), name, "--python", frameworks],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    print(played.stdout)
    assert re.search(r"\] advance: \S+ \S+ → \S+ \(best updated\)", played.stdout) or name == ""
    assert re.search(r"\] revert: ", played.stdout)
    assert (files(copy), files(home)) == (before, set())


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
