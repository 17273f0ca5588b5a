"""What each part on real training leaves: a JSON file, so that an interrupted run goes on."""

from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

Kind = Literal["scripted", "new luck", "same luck", "comment"]
Rule = Literal["plain", "noise"]
Values = tuple[float | None, ...]
Part = TypeVar("Part", "Noise", "Night")


class Noise(Struct, frozen=True, kw_only=True):
    """How far launches of an example lie apart, and how much of a seed's luck edits of it keep."""

    example: str
    seeds: tuple[float, ...]  # the value with each seed, from 0
    same: tuple[float, ...]  # with the first seed, again and again
    edited: dict[str, Values]  # note of an edit -> its values with the same seeds
    said: tuple[str, ...]  # by `arctl noise`
    cpu_s: float  # of its jobs


class Tried(Struct, frozen=True, kw_only=True):
    """One edit of a night. No run: it was refused as tried before, or did not find its place."""

    note: str
    run: str | None = None
    verdict: str = ""
    base: str = ""
    value: float | None = None  # of the first launch
    p_better: float | None = None
    said: str = ""
    attempts: int = 0


class Night(Struct, frozen=True, kw_only=True):
    """One night under one rule. `truths`: what each kept version shows with seeds that no launch had."""

    example: str
    kind: Kind
    round: int
    rule: Rule
    tried: tuple[Tried, ...]
    launches: int
    confirmations: int
    best: str
    shown: float  # what the rule says of its best
    said: str  # the noise line of `arctl status`
    truths: dict[str, Values]
    cpu_s: float  # of its jobs

    @property
    def kept(self) -> tuple[Tried, ...]:
        """Return the edits that were kept, in order."""
        return tuple(one for one in self.tried[1:] if one.verdict == "advance")


def save(path: Path, record: Noise | Night) -> None:
    """Write a part, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    aside.replace(path)


def load(path: Path, kind: type[Part]) -> Part:
    """Read a part."""
    return msgspec.json.decode(path.read_bytes(), type=kind)
