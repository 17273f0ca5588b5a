"""What each of our modules imports, read from its text; nothing is imported for it."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("ardaemon", "arctl")

Imports = dict[str, set[str]]  # module -> every module that it imports, anywhere in its text


def standard(module: str) -> bool:
    """Is it part of the standard library?"""
    return module.partition(".")[0] in sys.stdlib_module_names


def sources(root: Path) -> dict[str, Path]:
    """Every module of ours below `root`, and its file."""
    return {module_name(path, root): path for name in OURS for path in sorted((root / name).rglob("*.py"))}


def module_name(path: Path, root: Path) -> str:
    """The name under which a file below `root` is imported."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_tree(root: Path) -> Imports:
    """Parse every module of ours below `root`."""
    files = sources(root)
    return {name: imports_of(path, name, set(files)) for name, path in files.items()}


def imports_of(path: Path, name: str, modules: set[str]) -> set[str]:
    """What one file imports; `from package import module` counts as that module."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node, package)
            names = {f"{source}.{alias.name}" for alias in node.names}
            imported |= names & modules or {source}
    return imported


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of what a `from … import` names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


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
    return [line for module in core for line in foreign_imports(tree, module, {"msgspec", "ardaemon"})]


def reach(tree: Imports, start: str) -> dict[str, str]:
    """Everything that importing `start` imports, and through which module."""
    assert start in tree, f"there is no module {start}"
    imported = {start: start}
    ahead = [start]
    while ahead:
        module = ahead.pop()
        # Importing a.b.c runs a and a.b too.
        parents = {".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)}
        for target in tree.get(module, set()) | (parents & tree.keys()):
            if target not in imported:
                imported[target] = module
                ahead.append(target)
    return imported


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


def plant(root: Path, files: dict[str, str]) -> Imports:
    """Write a small tree of modules, with the packages' __init__ files, and read it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in {
        parent for path in root.rglob("*.py") for parent in path.parents if root in parent.parents
    }:
        (folder / "__init__.py").touch()
    return read_tree(root)
