"""Hard limits that a run must keep: `peak_vram_mb<=70000`, `val/acc >= 0.9`."""

import math
import operator
import re
from collections.abc import Callable
from typing import Literal, cast

from msgspec import Struct

from ardaemon.core.errors import UsageError
from ardaemon.core.model import ConstraintResult
from ardaemon.core.spelling import one_spelling
from ardaemon.core.text import one_line

Op = Literal["<=", ">=", "==", "<", ">"]
HOLDS: dict[Op, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = r"\s*(?P<name>[^\s<>=]+)\s*(?P<op><=|>=|==|<|>)(?P<bound>[^<>=]+)"
SHOWN_MAX = 80  # characters of a text that does not parse, as the error shows it


class Constraint(Struct, frozen=True):
    """A metric and the bound that its last value must keep."""

    name: str
    op: Op
    bound: float

    @property
    def expr(self) -> str:
        """The constraint as text without spaces, as `val/acc>=0.9`."""
        return f"{self.name}{self.op}{repr(self.bound).removesuffix('.0')}"


def parse(text: str) -> Constraint:
    """Read `NAME OP NUMBER`. Raises UsageError, which quotes `text`."""
    match = re.fullmatch(_FORM, text)
    if match is None or not match["name"].isprintable():
        raise _refusal(text, "it is not NAME, one of <= >= < > ==, and a number")
    try:
        bound = float(match["bound"])
    except ValueError:
        raise _refusal(text, f"{one_line(match['bound'], SHOWN_MAX)!r} is not a number") from None
    if not math.isfinite(bound):
        raise _refusal(text, "the bound is not finite")
    return Constraint(one_spelling(match["name"]), cast(Op, match["op"]), bound)


def check(constraint: Constraint, value: float | None) -> ConstraintResult:
    """Compare `value` with the bound. An unknown value (None) or one that is not finite never keeps it."""
    if value is None or not math.isfinite(value):
        return ConstraintResult(expr=constraint.expr, value=None, ok=False)
    ok = HOLDS[constraint.op](value, constraint.bound)
    return ConstraintResult(expr=constraint.expr, value=value, ok=ok)


def _refusal(text: str, why: str) -> UsageError:
    return UsageError(
        f"constraint {one_line(text, SHOWN_MAX)!r} cannot be read: {why}",
        "write it as peak_vram_mb<=70000 or 'val/acc >= 0.9' (quoted: < and > belong to the shell)",
    )
