"""Looks for an NVIDIA driver's library before a process is started for it: CPU mode must cost nothing."""

import os
from collections.abc import Iterable, Mapping

LIBRARY = "libnvidia-ml.so.1"
# Folders where the loader looks, or distributions put the library (ld.so(8)); /etc/ld.so.cache names the
# others.
FOLDERS = "lib lib64 usr/lib usr/lib64 usr/lib/x86_64-linux-gnu usr/lib/aarch64-linux-gnu".split()
WSL = "usr/lib/wsl/lib"  # under Windows; not every distribution has it in its cache


def environment(of: Mapping[str, str], root: str = "/") -> dict[str, str] | None:
    """Return the variables by which the worker finds the library; None if there is no library.

    `of` is this process's environment; `root` is the root folder, another one in tests.
    """
    path = of.get("LD_LIBRARY_PATH", "")
    wsl = os.path.join(root, WSL)
    if (
        _there(filter(None, path.split(":")))
        or _cached(root)
        or _there(os.path.join(root, f) for f in FOLDERS)
    ):
        library_path = path
    elif _there([wsl]):
        library_path = f"{path}:{wsl}" if path else wsl
    else:
        return None
    kept = {"PATH": of.get("PATH", os.defpath)}
    return {**kept, "LD_LIBRARY_PATH": library_path} if library_path else kept


def _there(folders: Iterable[str]) -> bool:
    return any(os.path.exists(os.path.join(folder, LIBRARY)) for folder in folders)


def _cached(root: str) -> bool:
    """Return whether the loader's cache names the library. Whether it can be loaded shows later."""
    try:
        with open(os.path.join(root, "etc/ld.so.cache"), "rb") as file:
            return LIBRARY.encode() + b"\0" in file.read()
    except OSError:
        return False
