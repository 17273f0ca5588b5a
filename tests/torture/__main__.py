"""`make torture`: every promise at full size; prints the table and writes docs/reliability.md.

With names (`make torture PROMISE=kill-matrix`) those rows alone; in the page they take the place of the rows
that were there, and the last line says so. Exit code 1 if anything failed, or if a promise has no test.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.support.page import DOCS, Page
from tests.support.promises import PROMISES, files_of

ROOT = Path(__file__).parents[2]
PAGE = Page(DOCS / "reliability.md", "<!-- figures: written by make torture -->", "<!-- end of figures -->")
Figures = dict[str, dict[str, float]]


def tried(promise: str, report: Path) -> Figures:
    """Run the tests of one promise ("": of all); their figures."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "promise", "-p", "no:cacheprovider"]
    command += ["--promise", promise, *files_of(promise)] if promise else ["tests"]
    environment = os.environ | {"TORTURE": "1", "TORTURE_REPORT": str(report)}
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    found: Figures = json.loads(report.read_text()) if report.exists() else {}
    return found


def table(figures: Figures, names: list[str], seconds: float) -> str:
    """The figures as Markdown, and what they were measured on."""
    lines = [
        "| promise | how it is tested | cases | failed | minutes | alone |",
        "|---|---|---:|---:|---:|---|",
    ]
    for name in names:
        row = figures.get(name, {"cases": 0, "failed": 0, "seconds": 0})
        promise, how = PROMISES[name]
        lines.append(
            f"| {promise} | {how} | {row['cases']:.0f} | {row['failed']:.0f} | {row['seconds'] / 60:.1f}"
            f" {_alone(name)}"
        )
    cases = sum(row["cases"] for row in figures.values())
    failed = sum(row["failed"] for row in figures.values())
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    where = f"{os.cpu_count()} cores, {system}"
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    lines += [
        "",
        f"{cases:.0f} cases, {failed:.0f} failed, in {seconds / 60:.1f} minutes on {where}, {when}.",
    ]
    return "\n".join(lines)


def rewrite(text: str, names: list[str]) -> str | None:
    """The page's table with these rows in the place of what was there; None where they were not there."""
    lines = PAGE.lines()
    new = {name: row for name in names for row in text.splitlines() if row.endswith(_alone(name))}
    old = [n for n, line in enumerate(lines) for name in names if line.endswith(_alone(name))]
    if len(old) != len(names) or len(new) != len(names):
        return None
    for number in old:
        lines[number] = next(row for name, row in new.items() if lines[number].endswith(_alone(name)))
    said = f"Run again afterwards, alone, on {datetime.now(UTC):%Y-%m-%d}: {', '.join(names)}."
    return "\n".join([*lines, "", said])


def _alone(name: str) -> str:
    return f"| `make torture PROMISE={name}` |"


def main(names: list[str]) -> int:
    """Try, print, write."""
    unknown = [name for name in names if name not in PROMISES]
    if unknown:
        print(f"torture: no promise {', '.join(unknown)}; known: {', '.join(PROMISES)}", file=sys.stderr)
        return 64
    began, figures = time.monotonic(), Figures()
    with tempfile.TemporaryDirectory() as folder:
        for name in names or [""]:
            figures |= tried(name, Path(folder) / f"figures-{name}.json")
    wanted = names or list(PROMISES)
    text = table(figures, wanted, time.monotonic() - began)
    print(text)
    if not names:
        PAGE.write(text)
    elif (changed := rewrite(text, names)) is not None:
        PAGE.write(changed)
    untested = [name for name in wanted if name not in figures]
    for name in untested:
        print(f"torture: nothing was tried for {name}", file=sys.stderr)
    return 1 if untested or any(row["failed"] for row in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
