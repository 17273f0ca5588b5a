"""Relative imports of a module that becomes a script, and what is written in their place."""

from pathlib import Path

import pytest

from ardaemon.experiment import script_place
from ardaemon.experiment.relative_imports import notes
from tests.support.folders import experiment


@pytest.mark.parametrize(
    ("line", "in_full"),
    [
        ("from .util import V", "from package.sub.util import V"),
        ("from . import util", "from package.sub import util"),
        ("from ..core.model import Net as N, x", "from package.core.model import Net as N, x"),
        ("def f():\n    from .util import V", "from package.sub.util import V"),
        ("from ...far import x", "the package's whole name in its place"),
    ],
)
def test_a_relative_import_is_named_with_what_a_script_writes(line: str, in_full: str) -> None:
    [note] = notes(f"import os\n{line}\n".encode(), "", ("package", "sub"))
    assert f"train.py line {2 + line.count(chr(10))} imports relatively" in note
    assert f': write {in_full}, and give --runner "PYTHONPATH=. python train.py"' in note


@pytest.mark.parametrize(
    "source",
    [
        b"from package.util import V\n",
        b"try:\n    from .util import V\nexcept ImportError:\n    from util import V\n",
        b"x = 'from .util import V'\n",
        b"from .broken import (\n",
    ],
)
def test_what_a_script_can_import_is_not(source: bytes) -> None:
    assert notes(source, "", ("package",)) == []


@pytest.mark.parametrize(
    ("marked", "origin", "root", "package"),
    [
        ([], "package/train.py", "", ("package",)),
        (["src/package"], "src/package/train.py", "src", ("package",)),
        (["package", "package/sub"], "package/sub/train.py", "", ("package", "sub")),
        (["a/b c/package"], "a/b c/package/train.py", "a/b c", ("package",)),
    ],
)
def test_the_package_is_told_by_its_init_files(
    tmp_path: Path, marked: list[str], origin: str, root: str, package: tuple[str, ...]
) -> None:
    made = experiment(tmp_path)
    for folder in marked:
        (made.project / folder).mkdir(parents=True)
        (made.project / folder / "__init__.py").touch()
    assert script_place.package(made, origin) == (root, package)
    [note] = notes(b"from . import x\n", root, package)
    assert f"PYTHONPATH={root and repr(root) if ' ' in root else root or '.'} python" in note
