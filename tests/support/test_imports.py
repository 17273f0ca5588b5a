"""The reading of imports, on small trees that break one rule each."""

from pathlib import Path

import pytest

from tests.support.imports import core_imports, filled_packages, heavy_imports, importers, plant

SHIM, HELPERS = "ardaemon.shim.supervisor", ("ardaemon.shim", "ardaemon.host")


def test_a_library_in_core_is_found(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"ardaemon/core/a.py": "import msgspec\nimport anyio.abc"})
    assert core_imports(tree) == ["ardaemon.core.a imports anyio.abc"]


@pytest.mark.parametrize(
    "files",
    [
        {"ardaemon/core/errors.py": "import msgspec"},
        {
            "ardaemon/core/errors.py": "from ardaemon.core import b",
            "ardaemon/core/b.py": "import msgspec.json",
        },
        {"ardaemon/core/errors.py": "", "ardaemon/core/__init__.py": "import msgspec"},
    ],
)
def test_msgspec_behind_a_light_module_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert heavy_imports(plant(tmp_path, files), "ardaemon.core.errors") != []


@pytest.mark.parametrize(
    "files",
    [
        {"ardaemon/shim/supervisor.py": "from ardaemon.core import a", "ardaemon/core/a.py": ""},
        {"ardaemon/shim/supervisor.py": "from ardaemon.host import a", "ardaemon/host/a.py": "import psutil"},
        {
            "ardaemon/shim/supervisor.py": "from ardaemon.host.a import x",
            "ardaemon/host/a.py": "import ardaemon.core.b",
        }
        | {"ardaemon/core/b.py": ""},
    ],
)
def test_what_the_shim_may_not_need_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert heavy_imports(plant(tmp_path, files), SHIM, HELPERS) != []


def test_a_helper_of_the_shim_is_not_reported(tmp_path: Path) -> None:
    files = {
        "ardaemon/shim/supervisor.py": "from ardaemon.host import a",
        "ardaemon/host/a.py": "import os.path",
    }
    assert heavy_imports(plant(tmp_path, files), SHIM, HELPERS) == []


def test_a_library_in_two_modules_is_found(tmp_path: Path) -> None:
    files = {"ardaemon/host/a.py": "import psutil", "ardaemon/host/b.py": "from psutil import Process"}
    assert importers(plant(tmp_path, files), "psutil") == ["ardaemon.host.a", "ardaemon.host.b"]


def test_an_init_with_text_is_found(tmp_path: Path) -> None:
    plant(tmp_path, {"ardaemon/core/__init__.py": "X = 1"})
    assert len(filled_packages(tmp_path)) == 1
