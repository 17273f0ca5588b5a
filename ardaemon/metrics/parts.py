"""Tells where one file has rows of several parts of the data: {"split": "train", "loss": 0.9}. Pure."""

from collections.abc import Iterable

from msgspec import Struct, field

from ardaemon.metrics.formats.names import is_split


class Parts(Struct):
    """The parts of the data that the rows of one table say that they are of."""

    _seen: list[str] = field(default_factory=list)

    def fault(self, texts: Iterable[str]) -> str | None:
        """Say of the next row, by the texts in it, why nobody knows which part's value counts."""
        for word in (text.casefold() for text in texts if is_split(text)):
            if word not in self._seen:
                self._seen.append(word)
            break
        if len(self._seen) < 2:
            return None
        return f"stands among rows of {self._seen[0]!r} and of {self._seen[1]!r}: give each its own name"
