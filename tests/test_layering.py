"""Imports point downward, and what must start fast or survive alone stays light (DESIGN §3)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("ardaemon", "arctl")
# Room -> the rooms it may import from. "ardaemon" is its top: daemon, handlers, scheduler, …
MAY_IMPORT = {
    "ardaemon.core": {"ardaemon.core"},
    "ardaemon.host": {"ardaemon.host", "ardaemon.core"},
    "ardaemon.metrics": {"ardaemon.metrics", "ardaemon.core"},
    "ardaemon.engines": {"ardaemon.engines", "ardaemon.host", "ardaemon.core"},
    "ardaemon.pipeline": {
        "ardaemon.pipeline",
        "ardaemon.engines",
        "ardaemon.metrics",
        "ardaemon.host",
        "ardaemon.core",
    },
    "ardaemon.rpc": {"ardaemon.rpc", "ardaemon.host", "ardaemon.core"},
    "ardaemon": {
        "ardaemon",
        "ardaemon.rpc",
        "ardaemon.pipeline",
        "ardaemon.engines",
        "ardaemon.metrics",
        "ardaemon.host",
        "ardaemon.core",
    },
    "arctl": {"arctl", "ardaemon.core"},
}
CORE_IMPORTS = {"msgspec"}  # beside the standard library
# The client imports these at start: nothing outside the standard library, however indirectly.
LIGHT = tuple(f"ardaemon.core.{name}" for name in "errors layout places priority private size text".split())
# These must work when nothing else does: the standard library alone, and helpers in host that need no more.
ALONE = ("ardaemon.host.shim", "ardaemon.host.durable")
ONE_MODULE = ("psutil", "pynvml", "watchfiles")

Imports = dict[str, set[str]]  # module -> every module that it imports, anywhere in its text


def standard(module: str) -> bool:
    """Is it part of the standard library?"""
    return module.partition(".")[0] in sys.stdlib_module_names


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_tree(root: Path) -> Imports:
    """Parse every module of ours below `root`."""
    files = {module_name(path, root): path for name in OURS for path in (root / name).rglob("*.py")}
    return {name: imports_of(path, name, set(files)) for name, path in files.items()}


def imports_of(path: Path, name: str, modules: set[str]) -> set[str]:
    """What one file imports; `from package import module` counts as that module."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node, package)
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= names & modules or {source}
    return found


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of what a `from … import` names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def room(module: str) -> str:
    """The room of one of our modules; what is no other room is the top of ardaemon."""
    first, _, rest = module.partition(".")
    name = f"{first}.{rest.partition('.')[0]}"
    return name if name in MAY_IMPORT else first


def upward_imports(tree: Imports) -> list[str]:
    """Every import of one of our modules that its room does not allow."""
    return [
        f"{module} imports {target}"
        for module, targets in sorted(tree.items())
        for target in sorted(targets)
        # The root package itself is empty: it may be asked for its place on disk.
        if target.partition(".")[0] in OURS
        and target not in OURS
        and room(target) not in MAY_IMPORT[room(module)]
    ]


def foreign_imports(tree: Imports, module: str, allowed: set[str]) -> list[str]:
    """Imports of one module that are neither of the standard library nor allowed."""
    return [
        f"{module} imports {target}"
        for target in sorted(tree[module])
        if not standard(target) and target.partition(".")[0] not in allowed
    ]


def core_imports(tree: Imports) -> list[str]:
    """What core imports beyond msgspec, itself and the standard library."""
    core = [module for module in tree if module.startswith("ardaemon.core.")]
    return [line for module in core for line in foreign_imports(tree, module, CORE_IMPORTS | {"ardaemon"})]


def reach(tree: Imports, start: str) -> dict[str, str]:
    """Everything that importing `start` imports, and through which module."""
    assert start in tree, f"there is no module {start}"
    found = {start: start}
    todo = [start]
    while todo:
        module = todo.pop()
        # Importing a.b.c runs a and a.b too.
        parents = {".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)}
        for target in tree.get(module, set()) | (parents & tree.keys()):
            if target not in found:
                found[target] = module
                todo.append(target)
    return found


def heavy_imports(tree: Imports, start: str, ours: tuple[str, ...] = OURS) -> list[str]:
    """What `start` needs, however indirectly, beyond the standard library and our own rooms `ours`."""
    return [
        f"{via} imports {target}"
        for target, via in sorted(reach(tree, start).items())
        if not standard(target) and not (target in tree and any(part_of(target, name) for name in ours))
    ]


def part_of(module: str, package: str) -> bool:
    """Is it the package, one of its modules, or a package above it (empty, as another test holds)?"""
    return f"{module}.".startswith(f"{package}.") or package.startswith(f"{module}.")


def importers(tree: Imports, library: str) -> list[str]:
    """The modules that import a library."""
    return sorted(m for m, targets in tree.items() if library in {t.partition(".")[0] for t in targets})


def filled_packages(root: Path) -> list[str]:
    """Every __init__.py with something in it."""
    return [str(p) for name in OURS for p in sorted((root / name).rglob("__init__.py")) if p.stat().st_size]


@pytest.fixture(scope="module")
def tree() -> Imports:
    return read_tree(ROOT)


def test_imports_point_downward(tree: Imports) -> None:
    assert upward_imports(tree) == []


def test_core_needs_msgspec_and_nothing_else(tree: Imports) -> None:
    assert core_imports(tree) == []


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_client_imports_at_start_is_light(tree: Imports, module: str) -> None:
    assert heavy_imports(tree, module) == []


@pytest.mark.parametrize("module", ALONE)
def test_the_shim_and_the_durable_write_stand_alone(tree: Imports, module: str) -> None:
    assert heavy_imports(tree, module, ("ardaemon.host",)) == []


def test_the_nvml_worker_needs_its_binding_and_nothing_else(tree: Imports) -> None:
    worker = "ardaemon.host.nvml_worker"
    assert heavy_imports(tree, worker, ("ardaemon.host",)) == [f"{worker} imports pynvml"]


@pytest.mark.parametrize("library", ONE_MODULE)
def test_a_library_with_native_code_is_imported_in_one_module(tree: Imports, library: str) -> None:
    assert len(importers(tree, library)) <= 1, importers(tree, library)


def test_every_init_is_empty() -> None:
    assert filled_packages(ROOT) == []


# The checker itself, on small trees that break one rule each.


def plant(root: Path, files: dict[str, str]) -> Imports:
    """Write a tree of modules, with the packages' __init__ files, and read it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in {
        parent for path in root.rglob("*.py") for parent in path.parents if root in parent.parents
    }:
        (folder / "__init__.py").touch()
    return read_tree(root)


@pytest.mark.parametrize(
    ("file", "text", "other"),
    [
        ("ardaemon/core/a.py", "import ardaemon.host.b", "ardaemon/host/b.py"),
        ("ardaemon/metrics/a.py", "from ardaemon.host import b", "ardaemon/host/b.py"),
        ("ardaemon/engines/a.py", "from ardaemon.pipeline.b import c", "ardaemon/pipeline/b.py"),
        ("ardaemon/pipeline/a.py", "def f():\n    import ardaemon.rpc.server", "ardaemon/rpc/server.py"),
        ("ardaemon/host/a.py", "from ..engines import b", "ardaemon/engines/b.py"),
        ("ardaemon/host/a.py", "if True:\n    from ardaemon.metrics.b import c", "ardaemon/metrics/b.py"),
        ("arctl/commands/a.py", "from ardaemon.host.b import c", "ardaemon/host/b.py"),
        ("arctl/a.py", "import ardaemon.daemon", "ardaemon/daemon.py"),
        ("ardaemon/daemon.py", "from arctl import client", "arctl/client.py"),
        ("ardaemon/host/a.py", "from ardaemon.handlers.b import c", "ardaemon/handlers/b.py"),
    ],
)
def test_an_upward_import_is_found(tmp_path: Path, file: str, text: str, other: str) -> None:
    tree = plant(tmp_path, {file: text, other: "", "ardaemon/core/z.py": ""})
    assert len(upward_imports(tree)) == 1


def test_a_downward_import_is_not_reported(tmp_path: Path) -> None:
    files = {
        "ardaemon/core/a.py": "import json",
        "ardaemon/host/b.py": "import ardaemon\nfrom ardaemon.core import a",
        "ardaemon/pipeline/c.py": "from ardaemon.host import b\nimport ardaemon.core.a",
        "ardaemon/daemon.py": "from ardaemon.pipeline.c import run\nimport ardaemon.handlers.d",
        "ardaemon/handlers/d.py": "import ardaemon.host.b",
        "arctl/cli.py": "from ardaemon.core.a import x\nfrom arctl import client",
        "arctl/client.py": "",
    }
    assert upward_imports(plant(tmp_path, files)) == []


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
    assert heavy_imports(plant(tmp_path, files), "ardaemon.host.shim", ("ardaemon.host",)) != []


def test_a_helper_of_the_shim_is_not_reported(tmp_path: Path) -> None:
    files = {
        "ardaemon/shim/supervisor.py": "from ardaemon.host import a",
        "ardaemon/host/a.py": "import os.path",
    }
    assert heavy_imports(plant(tmp_path, files), "ardaemon.host.shim", ("ardaemon.host",)) == []


def test_a_library_in_two_modules_is_found(tmp_path: Path) -> None:
    files = {"ardaemon/host/a.py": "import psutil", "ardaemon/host/b.py": "from psutil import Process"}
    assert importers(plant(tmp_path, files), "psutil") == ["ardaemon.host.a", "ardaemon.host.b"]


def test_an_init_with_text_is_found(tmp_path: Path) -> None:
    plant(tmp_path, {"ardaemon/core/__init__.py": "X = 1"})
    assert len(filled_packages(tmp_path)) == 1
