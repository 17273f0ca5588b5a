"""Measure what a run uses of its GPUs and of memory: looks in, samples and peaks out. Pure.

Every peak is made of samples, so that a restarted daemon gets the same peaks from samples.jsonl.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from ardaemon.core.gpus import GpuReading, Inventory
from ardaemon.core.measured import (
    Breach,
    CardPeak,
    CardSample,
    GivenCard,
    Header,
    Holder,
    Measured,
    Sample,
    Source,
)
from ardaemon.core.model import Limit
from ardaemon.measuring.taint import SWAPPING_PAGES_S, Conditions, Newcomers, computes, nameless

Holders = Mapping[str, tuple[Holder, ...] | None]
WORST_FIRST: tuple[Source, ...] = ("unknown", "device_delta", "process")


class Watched(Struct, frozen=True, kw_only=True):
    """The attempt that is measured; `header` describes its cards at the moment before the launch."""

    folder: str  # of the attempt
    header: Header = Header()
    alone: bool = True  # no other run of this daemon may be on the cards
    ignored: frozenset[int] = frozenset()  # pids that may be on the cards
    max_vram_mb: float | None = None
    max_rss_mb: float | None = None


class Look(Struct, frozen=True, kw_only=True):
    """Everything that was seen at one moment."""

    t: float  # seconds since the attempt's start
    gpus: tuple[GpuReading, ...] = ()
    holders: Holders = field(default_factory=dict)
    rss_mb: float | None = None
    cpu: float | None = None  # percent of one core
    thorough: bool = False  # heat and swapping were looked for
    swapped_pages_s: float | None = None


def header(inventory: Inventory, uuids: Iterable[str]) -> Header:
    """Describe the cards as they are before the launch."""
    gpus = {gpu.uuid: gpu for gpu in inventory.gpus}
    there = [gpus.get(uuid, GpuReading(uuid=uuid, index=-1)) for uuid in uuids]
    return Header(
        cards=tuple(GivenCard(uuid=g.uuid, index=g.index, name=g.name, baseline_mb=g.used_mb) for g in there),
        before=tuple(sorted({p.pid for g in there for p in g.processes or ()})),
    )


class Meter:
    """Turns looks at one attempt into samples, and samples into peaks and conditions."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.conditions = Conditions()
        self._newcomers = Newcomers(
            watched.folder, watched.alone, frozenset(watched.header.before) | watched.ignored
        )
        self._vram: tuple[int, Source] | None = None
        self._cards: dict[int, tuple[int, Source]] = {}
        self._elsewhere = 0
        self.rss_mb: int | None = None
        self.samples, self._last_t, self._gap_s = 0, 0.0, 0.0
        self.latest: Sample | None = None

    # --- in ---

    def look(self, look: Look) -> Sample:
        """Make a sample of a look, and take it."""
        sample = self._sample(look)
        self.add(sample)
        return sample

    def add(self, sample: Sample) -> None:
        """Take a sample, new or written by an earlier daemon, into the peaks and conditions."""
        self.conditions.add(sample)
        if sample.vram_mb is not None and (self._vram is None or sample.vram_mb > self._vram[0]):
            self._vram = sample.vram_mb, sample.by
        for card in sample.gpus:
            peak = self._cards.get(card.card)
            if card.run_mb is not None and (peak is None or card.run_mb > peak[0]):
                self._cards[card.card] = card.run_mb, card.by
        if sample.rss_mb is not None:
            self.rss_mb = max(self.rss_mb or 0, sample.rss_mb)
        self._elsewhere = max(self._elsewhere, sample.elsewhere_mb)
        self._gap_s = max(self._gap_s, sample.t - self._last_t)
        # A merged sample has the time of its first look; its last one may be a whole width later.
        self._last_t = sample.t + (self.watched.header.width_s if sample.n > 1 else 0.0)
        self.samples, self.latest = self.samples + sample.n, sample

    # --- out ---

    @property
    def vram_mb(self) -> int | None:
        """The peak so far on all GPUs together, in MiB."""
        return None if self._vram is None else self._vram[0]

    def breach(self) -> Breach | None:
        """Return the first limit that the peaks have passed, if they have passed one."""
        return _breach("vram_limit", self.vram_mb, self.watched.max_vram_mb) or _breach(
            "rss_limit", self.rss_mb, self.watched.max_rss_mb
        )

    def measured(self) -> Measured:
        """Sum up everything so far."""
        tainted, why = self.conditions.taint()
        breach = self.breach()
        cards = self.watched.header.cards
        source: Source | None = "unknown" if cards else None
        return Measured(
            peak_vram_mb=self.vram_mb,
            source=self._vram[1] if self._vram is not None else source,
            cards=tuple(self._peak(number, card) for number, card in enumerate(cards)),
            elsewhere_mb=self._elsewhere,
            peak_rss_mb=self.rss_mb,
            tainted=tainted,
            tainted_why=why,
            limit=None if breach is None else breach.reason().text(),
            samples=self.samples,
            gap_s=round(self._gap_s, 1),
        )

    def _peak(self, number: int, card: GivenCard) -> CardPeak:
        peak, source = self._cards.get(number) or (None, "unknown")
        return CardPeak(uuid=card.uuid, index=card.index, name=card.name, peak_mb=peak, source=source)

    # --- one look ---

    def _sample(self, look: Look) -> Sample:
        gpus = {gpu.uuid: gpu for gpu in look.gpus}
        cards = self.watched.header.cards
        ours = {card.uuid for card in cards}
        samples = tuple(
            self._card(number, card, gpus[card.uuid], look.holders.get(card.uuid))
            for number, card in enumerate(cards)
            if card.uuid in gpus
        )
        elsewhere = sum(
            holder.used_mb or 0.0
            for uuid, there in look.holders.items()
            if uuid not in ours
            for holder in there or ()
            if holder.owner == self.watched.folder
        )
        newcomer = self._newcomers.first({uuid: look.holders.get(uuid) for uuid in ours})
        vram, source = _together(samples, len(cards), elsewhere)
        hot = any(gpus[uuid].throttled for uuid in ours & gpus.keys())
        return Sample(
            t=round(look.t, 2),
            vram_mb=vram,
            by=source,
            elsewhere_mb=round(elsewhere),
            gpus=samples,
            rss_mb=_whole(look.rss_mb),
            cpu=_whole(look.cpu),
            looks=int(look.thorough),
            throttled=int(look.thorough and hot),
            swapping=int(look.thorough and (look.swapped_pages_s or 0.0) >= SWAPPING_PAGES_S),
            foreign=newcomer.words() if newcomer and not self.conditions.foreign else "",
        )

    def _card(
        self, number: int, card: GivenCard, gpu: GpuReading, there: tuple[Holder, ...] | None
    ) -> CardSample:
        used, source = self._used(card, gpu, there)
        return CardSample(
            card=number,
            run_mb=_whole(used),
            by=source,
            used_mb=_whole(gpu.used_mb),
            utilisation=_whole(gpu.utilisation),
            temperature=_whole(gpu.temperature),
            power_w=_whole(gpu.power_w),
        )

    def _used(
        self, card: GivenCard, gpu: GpuReading, there: tuple[Holder, ...] | None
    ) -> tuple[float | None, Source]:
        """Return the MiB that the run uses on one of its cards, and how that is known."""
        own = [holder.used_mb for holder in there or () if holder.owner == self.watched.folder]
        sizes = [size for size in own if size is not None]
        unsure = not own and any(nameless(holder) and computes(holder) for holder in there or ())
        if there is not None and len(sizes) == len(own) and not unsure:
            return sum(sizes), "process"
        if self.watched.alone and gpu.used_mb is not None and card.baseline_mb is not None:
            return max(0.0, gpu.used_mb - card.baseline_mb), "device_delta"
        return None, "unknown"


def _breach(limit: Limit, used_mb: int | None, most_mb: float | None) -> Breach | None:
    if used_mb is None or most_mb is None or used_mb <= most_mb:
        return None
    return Breach(limit=limit, used_mb=used_mb, most_mb=most_mb)


def _together(cards: tuple[CardSample, ...], count: int, elsewhere: float) -> tuple[int | None, Source]:
    """Sum up the use of all cards; the sum is unknown if the use of one card is."""
    sizes = [card.run_mb for card in cards if card.run_mb is not None]
    if len(sizes) < count or (count == 0 and elsewhere == 0):
        return None, "unknown" if count else "process"
    sources: set[Source] = {card.by for card in cards} or {"process"}
    source = next(source for source in WORST_FIRST if source in sources)
    return sum(sizes) + round(elsewhere), source


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
