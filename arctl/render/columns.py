"""Columns that text takes in a terminal. Pure: no I/O."""

import unicodedata
from collections.abc import Sequence

from ardaemon.core.text import ELLIPSIS

GAP = "  "  # between the columns of a table
EMOJI_STYLE = "\ufe0f"  # shows the character before it as a picture, two columns wide (UTS #51)


def width(text: str) -> int:
    """Return the columns of a clean line, rather too many than too few: terminals differ about emoji."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut_columns(text: str, most: int) -> tuple[str, int]:
    """Return the text, cut to at most so many columns with the ellipsis, and the columns that it takes."""
    whole = width(text)
    if whole <= most:
        return text, whole
    kept, used = "", 0
    for sign in text:
        if used + _width(sign) > most - 1:
            break
        kept, used = kept + sign, used + _width(sign)
    return (kept + ELLIPSIS, used + 1) if most > 0 else ("", 0)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines, each column as wide as its widest cell."""
    wide = [max(map(width, column)) for column in zip(*rows, strict=True)]
    padded = (
        [cell + " " * (most - width(cell)) for cell, most in zip(row, wide, strict=True)] for row in rows
    )
    return [GAP.join(cells).rstrip() for cells in padded]


def _width(sign: str) -> int:
    if sign == EMOJI_STYLE:
        return 1
    if unicodedata.east_asian_width(sign) in "WF":  # UAX #11
        return 2
    return 0 if unicodedata.category(sign) in ("Mn", "Me", "Cf") else 1
