"""Parses TOML that somebody else may have written, within limits, and writes a string of it.

tomllib takes 18 s and 4 GB for one key of 32,000 parts: both grow with the square of the dots in a key. A key
ends on its line, so the dots of a line are counted. The client loads this module where it needs it: standard
library alone.
"""

import json
import tomllib
from typing import Any

TEXT_MAX = 64 << 10  # characters: settings, and the front matter of program.md, not prose and not data
DOTS_MAX = 256  # on one line: a line of prose, or a list of constraints, has some dozens


def parse(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text. Raises ValueError, which says what is wrong with it."""
    if len(text) > TEXT_MAX:
        raise ValueError(f"it is larger than {TEXT_MAX >> 10} KiB")
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > DOTS_MAX:
            raise ValueError(f"line {number} has more than {DOTS_MAX} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def string(text: str) -> str:
    """Return the text as a basic string, which escapes as JSON does, but for DEL (TOML 1.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
