"""The examples' demos as they are written down, and the script of digits run without the daemon."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits"


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return import_module("drive")


@pytest.mark.parametrize(
    "example", sorted(path.parent for path in EXAMPLES.glob("*/demo.toml")), ids=lambda p: p.name
)
def test_every_edit_of_a_demo_finds_its_place(drive: ModuleType, example: Path) -> None:
    for experiment in drive.read(example):
        best = (example / "train.py").read_text()
        for step in experiment.step:
            candidate = drive.edit(best, step.edits)
            compile(candidate, "train.py", "exec")
            assert (candidate == best) == (not step.edits), step.title
            best = candidate if step.kept else best


def test_the_demo_shows_every_kind_of_end(drive: ModuleType) -> None:
    ends = {(step.status, step.verdict) for step in drive.read(DIGITS)[0].step}
    assert ends == {
        ("ok", "advance"),
        ("ok", "revert"),
        ("crash", "crash"),
        ("timeout", "timeout"),
        ("invalid", "revert"),
    }


def run_short(folder: Path) -> str:
    """train.py with two epochs, in its own folder, and what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AR_")}
    environment["AR_RUN_DIR"] = str(folder)
    return subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_same_seed_gives_the_same_loss(tmp_path: Path) -> None:
    if find_spec("sklearn") is None:  # to import it here would take seconds
        pytest.skip("no scikit-learn")
    for name in ("train.py", "prepare.py"):
        shutil.copy(DIGITS / name, tmp_path / name)
    script = tmp_path / "train.py"
    script.write_text(re.sub(r"^EPOCHS = \d+$", "EPOCHS = 2", script.read_text(), flags=re.MULTILINE))
    first, second = run_short(tmp_path), run_short(tmp_path)
    assert first == second
    assert re.search(r"^val/loss: \d\.\d+$", first, re.MULTILINE)
    assert (tmp_path / "ready").exists()
    assert (tmp_path / "state.npz").exists()
