"""Is there an NVIDIA driver's library? Asked before a process is started for it: CPU mode costs nothing."""

import os
from collections.abc import Iterable, Mapping

LIBRARY = "libnvidia-ml.so.1"
# Where the loader looks, or distributions put it (ld.so(8)); /etc/ld.so.cache names the others.
FOLDERS = "lib lib64 usr/lib usr/lib64 usr/lib/x86_64-linux-gnu usr/lib/aarch64-linux-gnu".split()
WSL = "usr/lib/wsl/lib"  # of Windows; not every distribution has it in its cache


def environment(of: Mapping[str, str], root: str = "/") -> dict[str, str] | None:
    """What the worker needs of this process's environment to find the library; None where there is none."""
    path = of.get("LD_LIBRARY_PATH", "")
    wsl = os.path.join(root, WSL)
    if (
        _there(filter(None, path.split(":")))
        or _cached(root)
        or _there(os.path.join(root, f) for f in FOLDERS)
    ):
        found = path
    elif _there([wsl]):
        found = f"{path}:{wsl}" if path else wsl
    else:
        return None
    kept = {"PATH": of.get("PATH", os.defpath)}
    return {**kept, "LD_LIBRARY_PATH": found} if found else kept


def _there(folders: Iterable[str]) -> bool:
    return any(os.path.exists(os.path.join(folder, LIBRARY)) for folder in folders)


def _cached(root: str) -> bool:
    """Does the loader's cache name it? Whether it is right shows when it is loaded."""
    try:
        with open(os.path.join(root, "etc/ld.so.cache"), "rb") as file:
            return LIBRARY.encode() + b"\0" in file.read()
    except OSError:
        return False
