"""Record what this version writes, for later versions to be tested with it.

`python -m tests.support.record tests/data/schema1`. A folder of tests/data is never recorded anew: a new
schema gets a new folder beside it. What stands in it as @ROOT@ is put in when it is laid out again.
"""

import shutil
import sys
from pathlib import Path

from ardaemon.core.places import FOLDER, machine_id
from tests.support import lab as labs
from tests.support.lab import Lab, wait_until

ROOT = "@ROOT@"
# Nothing of the machine on which it is recorded shall stand in it.
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
SETTINGS = {
    "seconds": 20,
    "settle": 1,
    "runner": "/bin/sh train.py",
    "plateau": 9,
    "max_runs": 99,
    "checkpoint_glob": "{run_dir}/ck-*",
}
SAVE = 'echo weights > "$AR_RUN_DIR/ck-1"\necho "val/loss: 1.0"\n'
WAIT = 'echo "val/loss: 0.5"\nwhile [ ! -e "$AR_EXPR_DIR/go" ]; do sleep 0.05; done\n'


def record(lab: Lab, target: Path) -> None:
    """Three committed runs, one that ended while no daemon lived, and one that waits."""
    lab.start()
    lab.init(SAVE)
    where = {"project": str(lab.project), "expr": lab.folder.name}
    lab.call("session.start", **where, settings=SETTINGS, environment=ENVIRONMENT, chain=2)
    for text in (SAVE, 'echo "val/loss: 2.0"\n', 'echo "Traceback" >&2\nexit 3\n'):
        lab.write(text)
        lab.run(environment=ENVIRONMENT, note="what was tried")
    lab.write(WAIT)
    running = lab.submit(environment=ENVIRONMENT)["run_id"]
    lab.wait(running, until="launched")
    lab.write('echo "val/loss: 0.25"\n')
    lab.submit(environment=ENVIRONMENT)
    lab.kill()
    (lab.folder / "go").touch()
    wait_until((lab.folder / f"runs/{running}/a1/exit.json").exists, "the shim's record")
    (lab.folder / "go").unlink()
    # Under another name: .gitignore passes over what it is called in a project.
    shutil.copytree(lab.project / FOLDER, target / "autoresearch", symlinks=True)
    shutil.copytree(lab.home / "active", target / "active")
    replace_in(target, str(lab.root), ROOT)


def lay_out(lab: Lab, source: Path) -> None:
    """Make the lab as it was when `source` was recorded, in the lab's own folders."""
    shutil.copytree(source / "autoresearch", lab.project / FOLDER, symlinks=True)
    home = lab.state_home / "ardaemon" / machine_id()
    home.mkdir(parents=True, mode=0o700)
    shutil.copytree(source / "active", home / "active")
    for folder in (home.parent, home, home / "active"):
        folder.chmod(0o700)
    for folder in (lab.project, home):
        replace_in(folder, ROOT, str(lab.root))


def replace_in(folder: Path, old: str, new: str) -> None:
    """In every state file below `folder`."""
    for path in folder.rglob("*.json"):
        if not path.is_symlink():
            path.chmod(0o600)
            path.write_text(path.read_text().replace(old, new))


if __name__ == "__main__":
    world = labs.make()
    try:
        record(world, Path(sys.argv[1]))
    finally:
        world.close()
