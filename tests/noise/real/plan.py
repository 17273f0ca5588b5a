"""The parts of the whole, how large each is, and where its record lies. Pure."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.noise.real.records import Kind, Rule

SEEDS = 30  # launches of the baseline with as many seeds, and as many with one
EDITS = 40  # of a night
FRESH = range(500, 524)  # seeds for the true values: no launch of a night had them
LAUNCHES_MOST = 400  # of a night that may make as many launches as its rule asks for
SEEDS_OF_A_ROUND = 1000  # apart from each other's
ROUNDS = 2
METRICS = {"digits": "val/loss", "plain-pytorch": "val_loss"}
# Of 40: shorter for the half of a launch that is not the import of torch. The steps are fixed, so that no
# value depends on how busy the machine is.
EPOCHS = {"plain-pytorch": 20}
LAUNCH_S = {"digits": 1.3, "plain-pytorch": 2.8}  # of one core, with what the daemon needs for it
LAUNCHES = {None: SEEDS * 2, "scripted": 41, "new luck": 60, "same luck": 43, "comment": 3}  # about
_KINDS: tuple[tuple[Kind, ...], ...] = (
    ("scripted", "new luck", "same luck", "comment"),
    ("scripted", "new luck"),  # the others give the same every time
)


class Part(NamedTuple):
    """One part. No kind: the noise of the example."""

    example: str
    kind: Kind | None = None
    round: int = 1
    rule: Rule = "plain"

    @property
    def file(self) -> str:
        """Return the name of its record."""
        words = ("noise",) if self.kind is None else (self.kind.replace(" ", "-"), str(self.round), self.rule)
        return f"{'-'.join((self.example, *words))}.json"

    @property
    def minutes(self) -> float:
        """Return about how long it takes on a core of its own."""
        return LAUNCHES[self.kind] * LAUNCH_S[self.example] / 60


def parts(example: str, rounds: int = ROUNDS) -> Iterator[Part]:
    """Yield an example's parts; the night that gets as many launches as the plain one comes after that."""
    yield Part(example)
    for number in range(1, rounds + 1):
        for kind in _KINDS[min(number, len(_KINDS)) - 1]:
            for rule in ("plain", "noise"):
                yield Part(example, kind, number, rule)


def shorter(example: str, text: str) -> str:
    """Return an example's train.py as it is launched here."""
    epochs = EPOCHS.get(example)
    return text if epochs is None else re.sub(r"^EPOCHS = .*$", f"EPOCHS = {epochs}", text, flags=re.M)
