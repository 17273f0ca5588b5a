"""`make torture`: every promise at full size; prints the table and writes docs/reliability.md.

With names (`make torture PROMISE=kill-matrix`) those rows alone; in the page they take the place of the rows
that were there, new ones their place among them, and the last line says so. Exit code 1 if anything failed,
or if a promise has no test.
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
    """The page's table with these rows in the place of what was there; None if there was no table."""
    lines = PAGE.lines()
    new = {name: row for name in names for row in text.splitlines() if row.endswith(_alone(name))}
    if len(new) != len(names) or not any(_named(line) for line in lines):
        return None
    rows = {_named(line): line for line in lines if _named(line)} | new
    first = next(at for at, line in enumerate(lines) if _named(line))
    others = [line for line in lines if not _named(line)]
    others[first:first] = [rows[name] for name in PROMISES if name in rows]
    said = f"Run again afterwards, alone, on {datetime.now(UTC):%Y-%m-%d}: {', '.join(names)}."
    return "\n".join([*others, "", said])


def _named(line: str) -> str | None:
    """Return the promise of a row of the table; None for another line, and for a promise of before."""
    return next((name for name in PROMISES if line.endswith(_alone(name))), None)


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
