"""Launch a version of an example with many seeds in one process, without the daemon: its value with each.

    python launches.py TRAIN METRIC SEED…        # in the example's folder, with the example's interpreter

Prints the values as a JSON list, null where there is none. The framework is imported once for all; the
script's own names are new each time. Standard library alone.
"""

import contextlib
import io
import json
import math
import os
import re
import runpy
import sys


def value_of(train: str, metric: str, seed: int) -> float | None:
    """Run the script to its end; return the last value of the metric that it printed."""
    os.environ["AR_SEED"] = str(seed)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            runpy.run_path(train, run_name="__main__")
        except Exception as error:  # whatever an edit has broken
            print(f"{train}, seed {seed}: {error!r}", file=sys.stderr)
            return None
    found = re.findall(rf"(?<![\w/]){re.escape(metric)}[=:] *(\S+)", printed.getvalue())
    value = float(found[-1]) if found else math.nan
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    _, script, name, *seeds = sys.argv
    print(json.dumps([value_of(script, name, int(seed)) for seed in seeds]))
