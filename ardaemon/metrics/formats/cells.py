"""Splits a line of a table into cells, and reads the number in a cell as the log's reader does. Pure."""

import csv
import re

from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats.numbers import as_float, bare, number

DELIMITERS = ",;\t"
# Cells in which a table says that nothing was measured (pandas, R, people).
_NOTHING = frozenset(("", "none", "null", "na", "n/a", "<na>", "-", "--"))
# 0,5 and 1.234,5 have a decimal comma; 1,234 may have one or not, and the two differ by a factor of 1000.
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+(?:[eE][+-]?\d+)?%?")
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}%?")
_WRAPPED = re.compile(r"[A-Za-z][\w.]*\(.*\)")  # tensor(0.5, device='cuda:0'), as str() makes it
_QUOTED = re.compile(r'"[^"]*"')


class OpenQuote(Exception):
    """Raised for a line in which a quoted cell begins that does not end there."""


class Unread(str):
    """The reason why a cell that is not empty has no number."""


def split(line: str, delimiter: str) -> list[str] | None:
    """Return the cells of a line; None if it is no line of a table. Raises OpenQuote."""
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise OpenQuote from None
        return None  # as text behind a closing quote


def delimiter_of(header: str) -> str:
    """Return the delimiter that a header has most of, outside quotes."""
    return max(DELIMITERS, key=_QUOTED.sub("", header).count)


def value(cell: str) -> float | Unread | None:
    """Return a cell's number, which may be nan or infinite; None if it is empty, else why it has none."""
    try:
        return float(cell)
    except ValueError:
        text = re.sub(r"\s+%$", "%", one_spelling(cell).strip())
    if text.casefold() in _NOTHING:
        return None
    if _EITHER.fullmatch(text):
        return Unread("which may be a thousand or have a decimal comma: write the number without a comma")
    if _DECIMAL_COMMA.fullmatch(text):
        return Unread("a decimal comma: write a point")
    found = number(text)
    if found is None and _WRAPPED.fullmatch(text) and (match := bare().match(text)):
        found = as_float(match["value"])
    return Unread("which is no number") if found is None else found
