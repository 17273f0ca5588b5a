"""Compare what a file says that a command prints with what it printed.

What differs from one machine to the next is written as on a good day, and compared by four rules:

- `…` stands for any text within a line; a line that holds nothing else stands for any number of lines.
- A duration (`12 s`, `2/60 s`) and a size (`9.5 MiB`) match any other.
- A time (`2026-11-22T10:05:00Z`) matches any other.
- In a block `console measured` a number with a decimal point matches one that is at most a quarter away.

All else has to be the same, but for spaces at a line's end.
"""

import re

NEAR = 0.25
ANY = "…"
AMOUNT = re.compile(r"\b\d+(\.\d+)?(/\d+)?(?= (s|ms|min|h|B|KB|MB|GB|KiB|MiB|GiB)\b)")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z)?")
NUMBER = r"-?\d+\.\d+(?:e[+-]?\d+)?"
PRINTED_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"


def same(shown: str, printed: str, measured: bool = False) -> bool:
    """Tell whether the output is what the file shows."""
    return _lines([_plain(line) for line in shown.splitlines()], printed.splitlines(), measured)


def _lines(shown: list[str], printed: list[str], measured: bool) -> bool:
    if not shown:
        return not printed
    if shown[0] == ANY:
        return any(_lines(shown[1:], printed[skip:], measured) for skip in range(len(printed) + 1))
    if not printed or not _line(shown[0], _plain(printed[0]), measured):
        return False
    return _lines(shown[1:], printed[1:], measured)


def _plain(line: str) -> str:
    return AMOUNT.sub("0", TIME.sub("TIME", line)).rstrip()


def _line(shown: str, printed: str, measured: bool) -> bool:
    pieces = re.split(f"({NUMBER}|{ANY})" if measured else f"({ANY})", shown)
    varying = pieces[1::2]
    pieces[1::2] = [".*" if piece == ANY else PRINTED_NUMBER for piece in varying]
    pieces[::2] = [re.escape(piece) for piece in pieces[::2]]
    match = re.fullmatch("".join(pieces), printed)
    wanted = [float(piece) for piece in varying if piece != ANY]
    return match is not None and all(map(_near, map(float, match.groups()), wanted))


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= NEAR * abs(wanted)
