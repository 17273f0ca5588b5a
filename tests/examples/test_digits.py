"""The digits example: what `make demo` plays, and its script run without the daemon."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DIGITS))
    return import_module("demo")


def test_every_edit_of_the_demo_finds_its_place(demo: ModuleType) -> None:
    best = (DIGITS / "train.py").read_text()
    for step in demo.STEPS:
        candidate = demo.edit(best, step.edits)
        compile(candidate, "train.py", "exec")
        assert (candidate == best) == (not step.edits), step.title
        best = candidate if step.kept else best


def test_the_demo_shows_every_kind_of_end(demo: ModuleType) -> None:
    ends = {(step.status, step.verdict) for step in demo.STEPS}
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
    pytest.importorskip("sklearn")
    for name in ("train.py", "prepare.py"):
        shutil.copy(DIGITS / name, tmp_path / name)
    script = tmp_path / "train.py"
    script.write_text(re.sub(r"^EPOCHS = \d+$", "EPOCHS = 2", script.read_text(), flags=re.MULTILINE))
    first, second = run_short(tmp_path), run_short(tmp_path)
    assert first == second
    assert re.search(r"^val/loss: \d\.\d+$", first, re.MULTILINE)
    assert (tmp_path / "ready").exists()
    assert (tmp_path / "state.npz").exists()
