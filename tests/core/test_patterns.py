"""Patterns match as those of the module glob, but no link is followed below `**`."""

import glob
import itertools
import os
import random
from pathlib import Path

import pytest

from ardaemon.core.folders import Look, matches

trust = pytest.mark.promise("trust")

PARTS = ("**", "*", "a", "b*", "?", "[ab]", ".*", ".h", "a.b", "[!a]*", "a**")
NAMES = ("a", "b", "ab", ".h", "a.b", "ba", "[a]", "**")


def found(pattern: str, root: Path) -> list[str]:
    """All matches, relative to the root."""
    return sorted(os.path.relpath(one.path, root) for one in matches(pattern, root, Look(pattern)))


def wanted(pattern: str, root: Path) -> list[str]:
    """What the module glob says, each once; it takes a file for a folder in `file/**`."""
    names = glob.glob(pattern, root_dir=root, recursive=True)
    return sorted({os.path.normpath(name) for name in names if os.path.lexists(f"{root}/{name}")})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and folders of every name, three deep."""
    root = tmp_path_factory.mktemp("tree")
    draw = random.Random(1)
    for depth in (1, 2, 3):
        for names in itertools.product(NAMES, repeat=depth):
            path = root.joinpath(*names)
            if path.parent.is_dir() and draw.random() < 0.7:
                path.mkdir() if draw.random() < 0.5 else path.touch()
    return root


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_without_links_a_pattern_matches_what_the_module_glob_finds(tree: Path, depth: int) -> None:
    for parts in itertools.product(PARTS, repeat=depth):
        for end in ("", "/"):
            pattern = "/".join(parts) + end
            assert found(pattern, tree) == wanted(pattern, tree), pattern


@pytest.mark.parametrize("name", ["[a]", "**", "a.b"])
def test_an_escaped_name_is_a_name(tree: Path, name: str) -> None:
    pattern = f"{glob.escape(str(tree))}/{glob.escape(name)}"
    assert (
        found(pattern, Path("/nowhere"))
        == [os.path.relpath(tree / name, "/nowhere")] * (tree / name).exists()
    )


def test_dots_lead_where_they_lead_everywhere(tree: Path) -> None:
    (tree / "folder").mkdir()
    assert found("./folder/../b*", tree) == wanted("b*", tree) != []


@trust
def test_no_link_is_followed_below_two_stars(tmp_path: Path) -> None:
    (tmp_path / "real/in").mkdir(parents=True)
    (tmp_path / "real/in/m.csv").touch()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "circle").symlink_to(".")
    assert found("**/m.csv", tmp_path) == ["real/in/m.csv"]


def test_a_link_that_the_pattern_itself_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real/in").mkdir(parents=True)
    (tmp_path / "real/in/m.csv").touch()
    (tmp_path / "link").symlink_to("real")
    assert found("link/**/m.csv", tmp_path) == ["link/in/m.csv"]
    assert found("l*/in/m.csv", tmp_path) == ["link/in/m.csv"]


def test_links_to_files_and_links_to_nothing_match(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("gone")
    (tmp_path / "b").symlink_to("b")
    assert found("**", tmp_path) == found("[ab]", tmp_path) == ["a", "b"]
