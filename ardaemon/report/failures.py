"""What failed, by kind, collected in one pass. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from ardaemon.core.facts import RunFacts
from ardaemon.core.reason import CHECK_FAILED, REASON_MAX, Reason, read
from ardaemon.core.summary import Failure
from ardaemon.core.text import one_line
from ardaemon.report.limits import KINDS_MAX
from ardaemon.report.reading import FAILED

KIND_MAX = 64  # characters
MESSAGE_MAX = 4 * REASON_MAX  # characters that are kept until they are cleaned
OTHER = "other"  # every kind beyond KINDS_MAX


@dataclass(slots=True)
class _Kind:
    """One kind: how many runs failed in that way, and the last of them."""

    runs: int
    last_run: str
    message: str


class Failures:
    """Counts the failed runs by status and the token of their reason, and the wins that a check refused."""

    def __init__(self) -> None:
        self.kinds: dict[str, _Kind] = {}
        self.violations = 0
        self.seconds = 0.0

    def add(self, run: RunFacts) -> None:
        """Take in one more run."""
        reason = read(run.reason or "")
        if run.status == "ok":
            self._add_measured(run, reason)
        elif run.status in FAILED or run.status == "interrupted":
            self.seconds += run.seconds
            self._count(f"{run.status} {reason.token}", run, reason)

    def _add_measured(self, run: RunFacts, reason: Reason) -> None:
        """Take in a run that has a value: one that is not valid broke a constraint, or failed a check."""
        if reason.token == CHECK_FAILED:
            self._count(f"{run.verdict} {reason.token}", run, reason)
        else:
            self.violations += not run.valid and not run.measure

    def _count(self, kind: str, run: RunFacts, reason: Reason) -> None:
        name = one_line(kind, KIND_MAX).removesuffix(":")
        if name not in self.kinds and len(self.kinds) >= KINDS_MAX:
            name = OTHER
        before = self.kinds.get(name)
        self.kinds[name] = _Kind(1 + (before.runs if before else 0), run.run_id, reason.message[:MESSAGE_MAX])

    def lines(self, kept: int) -> Iterator[Failure]:
        """Yield the kinds that most runs had, a few."""
        for name, kind in sorted(self.kinds.items(), key=lambda item: (-item[1].runs, item[0]))[:kept]:
            yield Failure(
                kind=name,
                runs=kind.runs,
                last_run=kind.last_run,
                message=one_line(kind.message, REASON_MAX),
            )
