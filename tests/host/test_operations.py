"""What outlives its process goes through host/operations.py: else no test could stop it there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.every import every

ROOT = Path(__file__).parents[2] / "ardaemon"
HOME = "host/operations.py"
SYSTEM = {
    "os": set(
        "fchmod fdatasync fsync ftruncate kill killpg link makedirs mkdir posix_spawn posix_spawnp remove"
        " rename replace rmdir sendfile symlink truncate unlink".split()
    ),
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move", "rmtree"},
    "signal": {"pidfd_send_signal"},
    "subprocess": {"Popen", "run", "call", "check_call", "check_output"},
}
METHODS = set("hardlink_to mkdir rmdir symlink_to touch unlink write_bytes write_text".split())
# A source that has none of them in it need not be parsed.
NAMED = re.compile(rf"\.\s*({'|'.join(METHODS.union(*SYSTEM.values()))})\b")
# file -> the calls that it may make itself, and why.
ALLOWED = {
    "core/locking.py": ({"os.unlink"}, "an empty probe in a private folder, which it made a moment ago"),
    "core/private.py": ({"mkdir"}, "the private folders, made before anything is kept in them"),
    "host/cgroup.py": ({"os.mkdir", "os.rmdir"}, "announced there as `cgroup`: folders of no disk"),
    "host/file_lock.py": ({"os.makedirs"}, "the runtime folder, which a logout may have removed"),
    "engines/local/spare.py": (
        {"subprocess.Popen"},
        "announced there: a spare shim that is lost is parked again",
    ),
    "core/git.py": ({"subprocess.run"}, "it only reads, and nobody waits for it after a crash"),
    "host/worker.py": ({"subprocess.Popen"}, "it only reads: a worker that is lost is started again"),
    "job/capture/ar_capture.py": (
        {"os.kill", "os.makedirs", "os.replace", "os.unlink"},
        "runs in the job, which may be killed at any point",
    ),
    "host/command.py": ({"subprocess.Popen"}, "it only reads: it is asked again after a crash"),
    "host/keeper.py": ({"os.posix_spawnp"}, "of the same command's tree"),
    "metrics/apart.py": ({"subprocess.run", "subprocess.Popen"}, "as the metric command"),
}


def calls(text: str) -> set[str]:
    """Every system call of the lists above that is named in `text`."""
    found: set[str] = set()
    if not NAMED.search(text):
        return found
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr in SYSTEM.get(owner, ()):
            found.add(f"{owner}.{node.attr}")
        elif owner not in ("operations", "durable", *SYSTEM) and node.attr in METHODS:
            found.add(node.attr)
    return found


def sources() -> Iterator[str]:
    return (str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))


@every("name", sources)
def test_nothing_changes_the_system_past_the_operations(name: str) -> None:
    if name != HOME:
        assert calls((ROOT / name).read_text()) <= ALLOWED.get(name, (set(), ""))[0]


@every(
    "text",
    ["os.fsync(3)", "subprocess.Popen(x)", "path.unlink()", "patch(os.rename)", "Path(x).write_text(y)"],
)
def test_a_call_past_them_is_found(text: str) -> None:
    assert calls(text)


def test_a_call_through_them_is_not_reported() -> None:
    assert calls("operations.fsync(3)\ndurable.rename(a, b)\noperations.mkdir(x)") == set()
