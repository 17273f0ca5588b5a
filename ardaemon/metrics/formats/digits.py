"""Compares numbers as far as they are printed: 0.73 and 0.7312 may be one value. Pure."""

import math
from decimal import Decimal

# Half of a last digit is rounded up or down, and a file may have it as a float of 32 bits.
ROUNDING = Decimal("1.00001")


def agree(printed: str, value: float) -> bool:
    """Return whether `value`, rounded to the digits of the printed number, is that number."""
    try:
        number = Decimal(printed.replace(",", ""))
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or not math.isfinite(value):
            return False
        return abs(Decimal(value) - number) * 2 <= Decimal(1).scaleb(exponent) * ROUNDING
    except (ValueError, ArithmeticError):  # no number, or one beyond what Decimal holds
        return False


def same(one: str, other: str) -> bool:
    """Return whether two printed numbers may be one value, which the one or the other rounds."""
    try:
        return agree(one, float(other.replace(",", ""))) or agree(other, float(one.replace(",", "")))
    except ValueError:
        return False
