"""Names and folders: what may become a path, and whose folders are trusted."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.errors import UsageError
from ardaemon.core.layout import (
    PATH_MAX,
    SLUG_MAX,
    SOCKET_PATH_MAX,
    Experiment,
    Host,
    Project,
    check_slug,
    find_project,
    project_folder,
    run_name,
    run_number,
)
from tests.support.every import every


@pytest.mark.parametrize("slug", ["261122-lr", "261122-lr-warmup-2", "000000-0", "261122-" + "a" * 57])
def test_a_slug_is_a_date_and_a_topic_in_kebab_case(slug: str) -> None:
    assert check_slug(slug) == slug


@every(
    "slug",
    [
        *("", "lr", "261122", "261122-", "261122-LR", "261122--lr", "261122-lr-", "261122_lr", "26112-lr"),
        *("../x", "261122-../x", "261122-a/b", "/261122-lr", ".261122-lr", "261122-lr\n", " 261122-lr"),
        *("261122-lr\0", "261122-é", "٢٦١١٢٢-lr", "261122-" + "a" * (SLUG_MAX - 6)),
    ],
)
def test_nothing_else_becomes_the_name_of_a_folder(slug: str) -> None:
    with pytest.raises(UsageError) as caught:
        Project(Path("/p")).experiment(slug)
    assert "yymmdd" in caught.value.mend


@given(st.text(max_size=30))
def test_whatever_passes_as_a_slug_stays_directly_in_the_projects_folder(slug: str) -> None:
    try:
        folder = Project(Path("/p")).experiment(slug).folder
    except UsageError:
        return
    assert Path(os.path.normpath(folder)).parent == Path("/p/.autoresearch")


@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999))
def test_run_ids_sort_as_their_numbers_and_come_back(one: int, other: int) -> None:
    assert run_number(run_name(one)) == one
    assert (run_number(run_name(one)) < run_number(run_name(other))) == (one < other)


def test_five_digits_follow_r9999() -> None:
    assert [run_name(n) for n in (0, 12, 9999, 10000)] == ["r0000", "r0012", "r9999", "r10000"]


@every("text", ["", "r12", "0012", "R0012", "r0012\n", "r-012", "r٠٠١٢", "r0012/..", "..", "r" + "1" * 10])
def test_what_is_no_run_id_is_refused_before_it_becomes_a_path(text: str) -> None:
    with pytest.raises(UsageError, match="run id"):
        Experiment(Path("/e")).run(text)


def test_experiments_are_the_folders_with_a_slugs_name_and_nothing_else(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.experiments() == []
    for name in ("261122-b", "261122-a", ".new-261122-c", "notes"):
        (project.home / name).mkdir(parents=True)
    (project.home / "261122-file").touch()
    assert [e.slug for e in project.experiments()] == ["261122-a", "261122-b"]
    assert project.experiments()[0].project == tmp_path


def test_the_project_is_the_nearest_folder_with_experiments_or_the_git_root(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (tmp_path / "a" / ".autoresearch").mkdir()
    assert find_project(inner) == tmp_path / "a"
    (tmp_path / "a" / "b" / ".git").mkdir()
    assert find_project(inner) == tmp_path / "a" / "b"


def test_without_either_the_project_is_where_one_stands(tmp_path: Path) -> None:
    if find_project(tmp_path.parent) == tmp_path.parent:
        assert find_project(tmp_path) == tmp_path


# --- the daemon's folders ---


def test_the_runtime_folder_is_in_xdg_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    host = Host.of_environment()
    assert host.socket == Path("/run/user/7/ardaemon/control.sock")
    assert host.state.parent == tmp_path / "ardaemon"


@pytest.mark.parametrize("named", ["", "/" + "x" * SOCKET_PATH_MAX])
def test_without_a_usable_xdg_runtime_dir_it_is_in_the_state_folder(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ann/.local/state")
    host = Host.of_environment()
    assert host.runtime == host.state / "run"


def test_where_the_state_folder_has_too_long_a_path_it_is_the_users_own_under_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/" + "x" * SOCKET_PATH_MAX)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert Host.of_environment().runtime == Path(f"/var/tmp/ardaemon-{os.getuid()}")
    monkeypatch.delenv("TMPDIR")
    assert Host.of_environment().runtime == Path(f"/tmp/ardaemon-{os.getuid()}")


@pytest.mark.parametrize("extra", [0, 1])
def test_the_longest_socket_path_that_fits_is_taken_and_one_byte_more_is_not(
    extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = len("/ardaemon/control.sock")
    named = "/" + "é" + "x" * (SOCKET_PATH_MAX - tail - 3 + extra)
    monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    assert Host.of_environment().runtime.is_relative_to(named) == (extra == 0)


def test_a_temporary_folder_that_is_too_long_falls_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch systems name a TMPDIR per job; a socket in it may have no address."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/" + "x" * SOCKET_PATH_MAX)
    monkeypatch.setenv("TMPDIR", "/scratch/" + "job" * 40)
    assert len(os.fsencode(Host.of_environment().socket)) <= SOCKET_PATH_MAX


@pytest.mark.parametrize("project", ["", "a", "./a", "/" + "a" * PATH_MAX])
def test_a_project_that_is_no_path_from_the_root_is_refused_and_not_remembered(project: str) -> None:
    before = project_folder.cache_info().currsize
    with pytest.raises(UsageError, match="is not an absolute path of at most 4096 characters"):
        project_folder(project)
    assert project_folder.cache_info().currsize == before
