"""`make noise-table`: simulated nights under each rule of verdict, written to docs/noise.md with two charts.

NIGHTS says how many of the noise-aware ones (60, at most 300). Exit code 1 if a figure lies farther from the
design's than chance explains, or the rule breaks a promise; the page is written all the same.
"""

import platform
import sys
import time
from datetime import UTC, datetime

from tests.noise import charts, table
from tests.support.page import DOCS, Page

PAGE = Page(DOCS / "noise.md", "<!-- nights: written by make noise-table -->", "<!-- end of nights -->")
NIGHTS = 60
# Standard errors. Of some 40 figures two lie beyond 2 by chance, and one beyond 3.5 in fifty tables.
FAR, VERY_FAR = 2.0, 3.5


def main(nights: int) -> int:
    """Simulate, write, compare."""
    began = time.monotonic()
    code = write(table.simulated(nights))
    print(f"\n{(time.monotonic() - began) / 60:.0f} minutes")
    return code


def write(nights: table.Nights) -> int:
    """Write the page and the charts; print the same."""
    apart = table.distances(nights)
    near, farthest = sum(d <= FAR for d in apart.values()), max(apart, key=lambda row: apart[row])
    compared = (
        f"{near} of the {len(apart)} finals lie within {FAR:g} standard errors of the design's; the farthest,"
        f" {apart[farthest]:.1f} away, is *{farthest.policy}*, {farthest.world}, noise {farthest.noise}."
    )
    when = f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}."
    text = "\n\n".join([table.markdown(nights), compared, table.honesty(nights), when])
    PAGE.write(text)
    charts.write(nights, DOCS / "noise")
    print(text)
    denied = table.broken(nights)
    for line in denied:
        print(f"broken: {line}", file=sys.stderr)
    return int(apart[farthest] > VERY_FAR or bool(denied))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else NIGHTS))
