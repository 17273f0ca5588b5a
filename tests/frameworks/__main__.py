"""`make metrics-table`: the matrix of tests/frameworks/test_matrix.py, written to docs/metrics.md.

Exit code 1 if any of it failed; then nothing is written.
"""

import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.support.page import DOCS, Page

ROOT = Path(__file__).parents[2]
PAGE = Page(DOCS / "metrics.md", "<!-- matrix: written by make metrics-table -->", "<!-- end of matrix -->")
PINS = Path(__file__).with_name("requirements.txt")
# Whose versions are said; of what they need, requirements.txt tells.
NAMED = (
    "torch",
    "tensorboard",
    "tensorboardX",
    "hydra-core",
    "wandb",
    "transformers",
    "lightning",
    "trackio",
    "mlflow",
)


def tried(report: Path) -> bool:
    """Run the matrix; was all of it as expected?"""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "frameworks", "-p", "no:cacheprovider"]
    environment = os.environ | {"METRICS_TABLE": str(report), "CI": "true"}
    command.append(str(Path(__file__).with_name("test_matrix.py")))
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def said() -> str:
    """With which versions, where and when."""
    pins = dict(line.split("==") for line in PINS.read_text().splitlines() if "==" in line and line[0] != "#")
    versions = ", ".join(f"{name} {pins[name]}" for name in NAMED)
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"ardaemon {version('ardaemon')}; {versions}; {system}, {when}."


def main() -> int:
    """Try, write."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "table.md"
        if not tried(report):
            return 1
        PAGE.write(f"{report.read_text(encoding='utf-8')}\n\n{said()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
