"""The SDK is an extra: whoever does not have it is told how to get it, and nothing else loads it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from arctl.mcp import extra
from tests.support.imports import ROOT, importers, read_tree
from tests.support.lab import Lab

REFUSED = 65
# arctl where the SDK is not installed: a name that is None cannot be imported.
WITHOUT_THE_SDK = "import sys; sys.modules['mcp'] = None; from arctl.__main__ import main; main()"


def test_without_the_sdk_one_line_says_how_to_get_it(lab: Lab) -> None:
    command = [sys.executable, "-c", WITHOUT_THE_SDK, "mcp"]
    done = subprocess.run(command, env=lab.environment, cwd=lab.project, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (REFUSED, "")
    error, mend = done.stderr.splitlines()
    assert error.startswith(f"Error: arctl mcp needs {extra.SDK}")
    assert mend == f"→ {extra.how_to_install()}"


def test_the_way_to_install_fits_how_arctl_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extra.how_to_install() == f"{sys.executable} -m pip install '{extra.SDK}'"
    monkeypatch.setattr(sys, "prefix", "/home/u/.local/share/pipx/venvs/ardaemon")
    assert extra.how_to_install() == f"pipx inject ardaemon '{extra.SDK}'"
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert extra.how_to_install() == f"uv pip install --python {sys.executable} '{extra.SDK}'"


def test_the_extra_is_what_the_message_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["mcp"] == [extra.SDK]


def test_only_the_server_of_mcp_imports_the_sdk() -> None:
    """Neither the daemon nor another command can load it, however indirectly."""
    tree = read_tree(ROOT)
    inside = "arctl.mcp."
    found = {module for library in ("mcp", "pydantic") for module in importers(tree, library)}
    assert found
    assert {module for module in found if not module.startswith(inside)} == set()
    outside = {module for module, targets in tree.items() if any(t.startswith(inside) for t in targets)}
    assert {module for module in outside if not module.startswith(inside)} == {"arctl.commands.mcp"}


def test_help_and_refused_options_need_no_sdk(lab: Lab) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "arctl", "mcp", "--help"]
    done = subprocess.run(command, env=lab.environment, cwd=Path("/"), capture_output=True, text=True)
    assert done.returncode == 0
    assert "--wait-max" in done.stdout
    assert "mcp.server" not in done.stderr.replace("arctl.mcp", "")
