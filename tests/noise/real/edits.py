"""What an edit of train.py is, and three kinds that do nothing. Pure.

An edit is made on the text of the best so far, as an agent makes it. Where an earlier one has taken its
place, it leaves the text as it is.
"""

import re
from collections.abc import Callable
from typing import NamedTuple


class Edit(NamedTuple):
    """One idea: its note, and what it makes of the text of train.py."""

    note: str
    made: Callable[[str], str]


def scaled(name: str, factor: float) -> Edit:
    """Multiply a constant; one that is a whole number stays one, and at least 1."""

    def made(text: str) -> str:
        return re.sub(
            rf"^{name} = (\S+)$",
            lambda found: f"{name} = {_times(found[1], factor)}",
            text,
            flags=re.M,
        )

    return Edit(f"{name} × {factor:g}", made)


def _times(number: str, factor: float) -> str:
    return str(max(1, round(int(number) * factor))) if number.isdigit() else f"{float(number) * factor:.6g}"


def constant(name: str, value: str) -> Edit:
    """Give a constant another value."""
    return Edit(
        f"{name} = {value}",
        lambda text: re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.M),
    )


def instead(note: str, old: str, new: str) -> Edit:
    """Put something in the place of every `old`."""
    return Edit(note, lambda text: text.replace(old, new))


def before(note: str, anchor: str, line: str) -> Edit:
    """Put a line before the line that begins with `anchor`, as far indented as that."""
    pattern = re.compile(rf"^( *)(?={re.escape(anchor)})", re.M)
    return Edit(note, lambda text: pattern.sub(lambda found: f"{found[1]}{line}\n{found[1]}", text, 1))


NONE = Edit("baseline", lambda text: text)

# --- edits that do nothing ---

_SEED = 'int(os.environ.get("AR_SEED", "0"))'  # how an example takes its seed
_DRAWN = {"digits": "rng.random({})", "plain-pytorch": "torch.rand({})"}
_MARK = "  # drawn, and not used"


def other_seeds(text: str, first: int) -> str:
    """Have the script take other seeds: its list begins with this one."""
    return text.replace(_SEED, f"{first} + {_SEED}")


def comment(number: int) -> Edit:
    """Change a comment."""
    return Edit(f"no-op {number}: a comment", lambda text: f"{_without('# no-op ', text)}# no-op {number}\n")


def same_luck(number: int) -> Edit:
    """Give a constant that nobody uses another value: each seed shows the same as before."""
    return Edit(
        f"no-op {number}: a constant", lambda text: f"{_without('UNUSED = ', text)}UNUSED = {number}\n"
    )


def new_luck(example: str, number: int) -> Edit:
    """Draw random numbers that nobody uses, as a harmless rewriting may: all later ones are others."""

    def made(text: str) -> str:
        lines = [line for line in text.splitlines(keepends=True) if not line.endswith(f"{_MARK}\n")]
        at = next(n for n, line in enumerate(lines) if _SEED in line)
        lines.insert(at + 1, f"    {_DRAWN[example].format(number)}{_MARK}\n")
        return "".join(lines)

    return Edit(f"no-op {number}: an unused draw", made)


def _without(beginning: str, text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(beginning))
