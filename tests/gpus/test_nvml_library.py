"""Whether there is an NVIDIA driver's library is known without starting anything."""

from pathlib import Path

import pytest

from ardaemon.gpus.nvml_library import LIBRARY, environment


def plant(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LIBRARY).touch()
    return folder


def test_without_it_there_is_nothing(tmp_path: Path) -> None:
    assert environment({"PATH": "/bin", "LD_LIBRARY_PATH": str(tmp_path)}, str(tmp_path)) is None


def test_it_is_found_by_the_callers_path_which_is_handed_on(tmp_path: Path) -> None:
    path = f"/nowhere::{plant(tmp_path / 'cuda')}"
    found = environment({"PATH": "/bin", "LD_LIBRARY_PATH": path, "TOKEN": "x"}, str(tmp_path))
    assert found == {"PATH": "/bin", "LD_LIBRARY_PATH": path}


@pytest.mark.parametrize("folder", ["usr/lib64", "usr/lib/x86_64-linux-gnu", "lib"])
def test_it_is_found_where_the_loader_looks(tmp_path: Path, folder: str) -> None:
    plant(tmp_path / folder)
    assert environment({"PATH": "/bin"}, str(tmp_path)) == {"PATH": "/bin"}


def test_it_is_found_by_the_loaders_cache(tmp_path: Path) -> None:
    cache = tmp_path / "etc/ld.so.cache"
    cache.parent.mkdir()
    cache.write_bytes(b"glibc-ld.so.cache1.1\0" + LIBRARY.encode() + b"\0/opt/nvidia/lib/\0")
    assert environment({"PATH": "/bin"}, str(tmp_path)) == {"PATH": "/bin"}
    cache.write_bytes(b"glibc-ld.so.cache1.1\0" + LIBRARY.encode() + b".old\0")
    assert environment({"PATH": "/bin"}, str(tmp_path)) is None


def test_the_one_of_windows_is_found_and_the_loader_told(tmp_path: Path) -> None:
    folder = plant(tmp_path / "usr/lib/wsl/lib")
    found = environment({"PATH": "/bin", "LD_LIBRARY_PATH": "/x"}, str(tmp_path))
    assert found == {"PATH": "/bin", "LD_LIBRARY_PATH": f"/x:{folder}"}
