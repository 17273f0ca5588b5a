"""One experiment as the page has it, gathered in one pass over its runs. Pure.

Memory is bounded: by the report's own tally, and by what the page has room for.
"""

import msgspec
from msgspec import Struct

from ardaemon.core.facts import RunFacts
from ardaemon.core.summary import Summary
from ardaemon.report.limits import Kept
from ardaemon.report.page.audit import PageAudit
from ardaemon.report.page.columns import Columns, columns
from ardaemon.report.page.launches import AllLaunches, Launches
from ardaemon.report.page.noise import Histogram, histogram
from ardaemon.report.page.pieces import Work
from ardaemon.report.page.points import POINTS_MAX, Points, point_of
from ardaemon.report.page.records import Note, Record, Records, encoded
from ardaemon.report.reading import is_named
from ardaemon.report.tally import Frame, Tally

# The page has every advance as a point, so its summary lists none; equal snapshots become the histogram.
OTHERS_POINTS = 1_000  # of each other experiment of the chain
KEPT = Kept(advances=0, names=8, settings=4, kinds=8, equal=1_000, values=20, stretches=1)


class PageLink(Struct, frozen=True, kw_only=True):
    """An experiment in the page: the report's summary, and each run as a point, a record or a note."""

    summary: Summary
    thinned: bool  # not every run has a point
    span: int  # so many neighbouring runs have the points of their extremes alone, up to `newest`
    newest: int  # number of a run: from there on every run has a point
    points: Columns
    noise: Histogram | None
    launches: tuple[Launches, ...] = ()
    records: tuple[Record, ...] = ()
    notes: tuple[Note, ...] = ()
    audit: PageAudit | None = None  # only where a person has asked for it


class Gathering:
    """Takes in one run after the other."""

    def __init__(self, frame: Frame, most: int = POINTS_MAX, audit: PageAudit | None = None) -> None:
        self._audit = audit
        self._tally, self._points, self._records = Tally(frame, KEPT), Points(most), Records()
        self._launches = AllLaunches()

    def add(self, run: RunFacts) -> None:
        """Take in the next run; one that has no run's id does not count."""
        if is_named(run):
            run = self._tally.reruns.told(run)
            self._tally.add(run)
            self._points.add(point_of(run))
            self._records.add(run)
            self._launches.add(run)

    @property
    def runs(self) -> int:
        """Return the number of runs that were taken in."""
        return self._points.total

    def link(self, pending: int, room: int) -> Work[PageLink]:
        """Return the experiment in at most `room` bytes of the page; `pending` runs are not in it yet."""
        points = self._points.kept()
        yield
        summary = self._tally.summary(pending)
        yield
        packed = yield from columns(points)
        bare = PageLink(
            summary=_short(summary),
            thinned=self._points.thinned,
            span=self._points.span,
            newest=self._points.newest,
            points=packed,
            noise=histogram([*(same.values for same in summary.equal), *self._launches.several()]),
            audit=self._audit,
        )
        drawn = {point.number for point in points}
        half = (room - len(encoded(bare))) // 2
        launches = yield from self._launches.chosen(half, drawn)
        bare = msgspec.structs.replace(bare, launches=launches)
        records, notes = yield from self._records.chosen(room - len(encoded(bare)), drawn)
        return msgspec.structs.replace(bare, records=records, notes=notes)


def _short(summary: Summary) -> Summary:
    """Return the summary without what the page does not show; of the chain it shows this link's rationale."""
    return msgspec.structs.replace(
        summary, equal=(), constraints=(), top=(), bottom=(), chain=summary.chain[-1:]
    )
