"""samples.jsonl: what a run used over time, in at most FILE_MAX bytes however long the run is.

The file is a view: nothing in it is fsynced, and a write that the disk refuses ends the file, not the run. If
the next lines would not fit, neighbours are merged until half of the room is free; a merged sample keeps the
maximum of each value.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ardaemon.core import file_kinds, files
from ardaemon.core.measured import CardSample, Header, Sample
from ardaemon.core.model import SCHEMA
from ardaemon.host import durable, operations
from ardaemon.host.state import UNREADABLE

FILE_MAX = 1 << 20
WIDTH_FIRST_S = 0.5  # twice the shortest interval of sampling
FLUSH_S = 5.0  # between two writes: each one wakes whoever watches the folder. A killed daemon loses so much

log = logging.getLogger("ardaemon.samples")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Sample)


class SampleFile:
    """Writes one attempt's samples, from where an earlier daemon stopped. For one thread at a time."""

    def __init__(self, path: Path, header: Header) -> None:
        """Open the file, or make one with `header`; the header and samples of one that is there count."""
        self.path, self.header, self.earlier = path, header, list[Sample]()
        self.fault: OSError | None = None
        self.size = 0
        self._lines: list[bytes] = []
        self._pending: Sample | None = None
        self._flushed = float("-inf")
        self.due = False
        self._try(self._open)

    def add(self, sample: Sample, urgent: bool = False) -> None:
        """Take a sample, and tell by `due` when the file is to be written: at once after an urgent one."""
        if self.fault is not None:
            return
        if self._pending is not None and not self._together(self._pending, sample):
            self._put()
        self._pending = sample if self._pending is None else merge(self._pending, sample)
        if urgent or self.header.width_s == 0:
            self._put()
        if urgent or sample.t - self._flushed >= FLUSH_S:
            self._flushed, self.due = sample.t, True

    def flush(self) -> None:
        """Write what is due."""
        self.due = False
        if self.fault is None:
            self._try(self._flush)

    def close(self) -> None:
        """Write the samples that are held back."""
        if self.fault is None:
            self._put()
            self._try(self._flush)

    def _together(self, one: Sample, other: Sample) -> bool:
        width = self.header.width_s
        return width > 0 and one.t // width == other.t // width

    def _put(self) -> None:
        if self._pending is not None:
            self._lines.append(_line(self._pending))
            self._pending = None

    def _open(self) -> None:
        data = _bytes(self.path)
        header, self.earlier = decode(data)
        self.header, self.size = header or self.header, len(data)
        if header is None or not data.endswith(b"\n"):  # none yet, or torn
            self._write_anew(self.earlier)

    def _flush(self) -> None:
        data, self._lines = b"".join(self._lines), []
        if not data:
            return
        if self.size + len(data) > FILE_MAX:
            self._write_anew(decode(_bytes(self.path) + data)[1])
            return
        fd = operations.create(self.path, os.O_APPEND, 0o644)
        try:
            operations.write(fd, data)
        finally:
            os.close(fd)
        self.size += len(data)

    def _write_anew(self, samples: list[Sample]) -> None:
        data = _encode(self.header, samples)
        if len(data) > FILE_MAX:
            self.header, samples = thin(self.header, samples)
            data = _encode(self.header, samples)
        durable.publish(self.path, data)
        self.size = len(data)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self.fault = error
            self._lines.clear()
            log.warning("no more samples", extra={"facts": {"path": str(self.path), "why": str(error)}})


def read(path: Path) -> tuple[Header | None, list[Sample]]:
    """Read header and samples; None and [] if there is no file, or none of ours. Raises OSError.

    A job can put anything there, and must be judged all the same.
    """
    try:
        return decode(_bytes(path))
    except (files.NotPlain, files.ForeignFile):
        return None, []


def decode(data: bytes) -> tuple[Header | None, list[Sample]]:
    """Decode header and samples; lines that are torn, or of something else, are passed over."""
    first, *lines = data.split(b"\n")
    samples = []
    for line in lines:
        try:
            samples.append(_decoder.decode(line))
        except UNREADABLE:
            continue
    return _header(first), samples


def merge(one: Sample, other: Sample) -> Sample:
    """Merge two samples: the time of the first one, the maximum of each value."""
    most = other if _more(other.vram_mb, one.vram_mb) else one
    cards = {card.card: card for card in one.gpus}
    for card in other.gpus:
        cards[card.card] = _merged(cards[card.card], card) if card.card in cards else card
    return Sample(
        t=one.t,
        n=one.n + other.n,
        vram_mb=most.vram_mb,
        by=most.by,
        elsewhere_mb=max(one.elsewhere_mb, other.elsewhere_mb),
        gpus=tuple(cards.values()),
        rss_mb=_most(one.rss_mb, other.rss_mb),
        cpu=_most(one.cpu, other.cpu),
        looks=one.looks + other.looks,
        throttled=one.throttled + other.throttled,
        swapping=one.swapping + other.swapping,
        foreign=one.foreign or other.foreign,
    )


def thin(header: Header, samples: list[Sample]) -> tuple[Header, list[Sample]]:
    """Merge neighbours, with a width that doubles each time, until they fill at most half of FILE_MAX."""
    while len(samples) > 1 and len(_encode(header, samples)) > FILE_MAX // 2:
        width = max(header.width_s * 2, WIDTH_FIRST_S)
        header, samples = replace(header, width_s=width), _in_buckets(samples, width)
    return header, samples


def _in_buckets(samples: list[Sample], width: float) -> list[Sample]:
    merged: list[Sample] = []
    for sample in samples:
        if merged and merged[-1].t // width == sample.t // width:
            merged[-1] = merge(merged[-1], sample)
        else:
            merged.append(sample)
    return merged


def _merged(one: CardSample, other: CardSample) -> CardSample:
    most = other if _more(other.run_mb, one.run_mb) else one
    return CardSample(
        card=one.card,
        run_mb=most.run_mb,
        by=most.by,
        used_mb=_most(one.used_mb, other.used_mb),
        utilisation=_most(one.utilisation, other.utilisation),
        temperature=_most(one.temperature, other.temperature),
        power_w=_most(one.power_w, other.power_w),
    )


def _more(one: int | None, other: int | None) -> bool:
    return one is not None and (other is None or one > other)


def _most(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)


def _header(line: bytes) -> Header | None:
    try:
        header = msgspec.json.decode(line, type=Header)
    except UNREADABLE:
        return None
    return header if header.schema == SCHEMA else None


def _encode(header: Header, samples: list[Sample]) -> bytes:
    return _line(header) + b"".join(map(_line, samples))


def _line(record: Header | Sample) -> bytes:
    return _encoder.encode(record) + b"\n"


def _bytes(path: Path) -> bytes:
    try:
        return files.read(path, file_kinds.SAMPLES)
    except FileNotFoundError:
        return b""
