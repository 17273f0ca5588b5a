"""Remembers which files were found, so that folders with many files are not searched again and again."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ardaemon.core.folders import Unsearched
from ardaemon.metrics.own import Mine

Question = tuple[str, ...]  # a pattern, and what else tells one search from another
ONCE = math.inf  # seconds: while a run that is over is judged, nothing changes
REST = 50  # times as long as a search took, until the next one: then it costs 2% of a core


@dataclass(frozen=True)
class _Answer:
    """What one search found, or why it ended; another one is due at `due` (CLOCK_MONOTONIC)."""

    due: float
    files: list[Mine]
    error: Unsearched | None = None


class Searches:
    """Keeps what each search found for `fresh_s` seconds, and longer if the search took long.

    A search that finds more than `files_max` files fails: whoever follows them reads each of them again.
    """

    def __init__(self, fresh_s: float = 0.0, files_max: float = math.inf) -> None:
        self.fresh_s, self.files_max = fresh_s, files_max
        self._answers: dict[Question, _Answer] = {}

    def ask(self, question: Question, search: Callable[[], list[Mine]]) -> list[Mine]:
        """Return what the search finds, or has found a moment ago. Raises Unsearched."""
        answer = self._answers.get(question)
        if answer is None or time.monotonic() >= answer.due:
            answer = self._answers[question] = self._search(question[0], search)
        if answer.error is not None:
            raise answer.error
        return answer.files

    def found(self, most: int) -> list[Path]:
        """Return up to `most` of the files that were found, by their names, the last first."""
        paths = {mine.path for answer in self._answers.values() for mine in answer.files}
        return sorted(paths, reverse=True)[:most]

    def _search(self, place: str, search: Callable[[], list[Mine]]) -> _Answer:
        began = time.monotonic()
        files, failure = [], None
        try:
            files = search()
            if len(files) > self.files_max:
                why = f"{len(files):,} files match, more than the {self.files_max} that are followed"
                raise Unsearched(place, f"{why} while a run trains; they are read at its end")
        except Unsearched as error:
            files, failure = [], error
        now = time.monotonic()
        rest = max(self.fresh_s, REST * (now - began)) if self.fresh_s else 0.0
        return _Answer(now + rest, files, failure)
