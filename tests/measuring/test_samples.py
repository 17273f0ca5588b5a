"""samples.jsonl: its size, its peaks, and what becomes of it when something goes wrong."""

import json
import logging
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ardaemon.core.measured import CardSample, GivenCard, Header, Sample
from ardaemon.host import operations
from ardaemon.measuring import samples
from ardaemon.measuring.samples import FILE_MAX, SampleFile, merge

EIGHT = Header(
    cards=tuple(GivenCard(uuid=f"GPU-{n:036}", index=n, name="NVIDIA H100 80GB HBM3") for n in range(8))
)


def put(file: SampleFile, taken: Sample, urgent: bool = False) -> None:
    """Add a sample, and write when it is time, as the sampler does."""
    file.add(taken, urgent=urgent)
    if file.due:
        file.flush()


def sample(t: float, vram: int = 40_000, cards: int = 8, **facts: object) -> Sample:
    gpus = tuple(
        CardSample(
            card=n, run_mb=vram // 8, used_mb=vram // 8 + 500, utilisation=97, temperature=71, power_w=650
        )
        for n in range(cards)
    )
    given: dict[str, object] = {"rss_mb": 123_456, "cpu": 3200, **facts}
    return Sample(t=t, vram_mb=vram, gpus=gpus, **given)  # type: ignore[arg-type]


def day(cards: int) -> list[float]:
    """When a run of a day is looked at: four times a second in the first minute."""
    return [n / 4 for n in range(240)] + [60.0 + n for n in range(90_000)]


@pytest.mark.parametrize("cards", [0, 8])
def test_a_day_fits_and_keeps_its_peaks(tmp_path: Path, cards: int) -> None:
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, EIGHT)
    spikes = {random.Random(7).randrange(1000, 90_000) for _ in range(20)}
    largest = 0
    for number, t in enumerate(day(cards)):
        spike = number in spikes
        put(file, sample(t, 41_000 + number if spike else 40_000, cards, rss_mb=5000 + 10 * spike))
        if number % 500 == 0 and path.exists():
            largest = max(largest, path.stat().st_size)
    file.close()
    _, found = samples.read(path)
    assert max(largest, path.stat().st_size) <= FILE_MAX
    assert path.stat().st_size > FILE_MAX / 4, "it is not thinner than it must be"
    assert max(s.vram_mb or 0 for s in found) == 41_000 + max(spikes)
    assert sum(s.n for s in found) == len(day(cards))
    tall = [s.t for s in found if (s.vram_mb or 0) > 40_000]
    width = file.header.width_s
    assert len(tall) >= len({(60 + n - 240) // width for n in spikes}) - 1, (
        "the shape: each spike where it was"
    )
    assert [s.t for s in found] == sorted(s.t for s in found)


def test_a_short_run_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, EIGHT)
    given = [sample(n / 4) for n in range(200)]
    for one in given:
        put(file, one)
    file.close()
    assert samples.read(path) == (EIGHT, given)


def test_each_line_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, EIGHT)
    put(
        file,
        Sample(t=1.25, vram_mb=None, by="unknown", gpus=(CardSample(card=0, run_mb=None, by="unknown"),)),
    )
    file.close()
    header, line = map(json.loads, path.read_text().splitlines())
    assert header["schema"] == 1
    assert header["cards"][0]["uuid"].startswith("GPU-")
    assert line == {"t": 1.25, "by": "unknown", "gpus": [{"card": 0, "run_mb": None, "by": "unknown"}]}


def test_samples_are_held_back_for_some_seconds_and_urgent_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, EIGHT)
    for n in range(5):
        put(file, sample(float(n)))
    assert len(samples.read(path)[1]) == 1
    put(file, sample(5.0, 50_000), urgent=True)
    assert len(samples.read(path)[1]) == 6


def test_it_goes_on_after_a_restart_with_the_width_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    first = SampleFile(path, EIGHT)
    for n in range(6000):
        put(first, sample(float(n)))
    first.close()
    assert first.header.width_s > 0
    second = SampleFile(path, Header())
    assert second.header == first.header
    assert sum(s.n for s in second.earlier) == 6000
    put(second, sample(6000.0))
    second.close()
    assert sum(s.n for s in samples.read(path)[1]) == 6001


@pytest.mark.parametrize("cut", [1, 2, 30, 200])
def test_a_torn_last_line_is_passed_over_and_mended(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, EIGHT)
    for n in range(3):
        put(file, sample(float(n)), urgent=True)
    path.write_bytes(path.read_bytes()[:-cut])
    again = SampleFile(path, EIGHT)
    put(again, sample(9.0), urgent=True)
    times = [s.t for s in samples.read(path)[1]]
    assert times in ([0.0, 1.0, 9.0], [0.0, 1.0, 2.0, 9.0])
    assert all(json.loads(line) for line in path.read_text().splitlines())


DEEP = b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}\n"


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\n{}\n", b'{"schema": 99}\n', b"[]\n[]\n", b"\n\n", DEEP * 2]
)
def test_what_is_not_ours_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(content)
    file = SampleFile(path, EIGHT)
    put(file, sample(1.0), urgent=True)
    assert samples.read(path) == (EIGHT, [sample(1.0)])


@pytest.mark.parametrize("trap", ["link", "pipe", "folder"])
def test_what_a_run_has_put_in_its_place_is_left_alone(tmp_path: Path, trap: str) -> None:
    path, other = tmp_path / "samples.jsonl", tmp_path / "other"
    other.write_bytes(b"precious")
    if trap == "link":
        path.symlink_to(other)
    elif trap == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    file = SampleFile(path, EIGHT)
    put(file, sample(1.0), urgent=True)
    file.close()
    assert other.read_bytes() == b"precious"
    assert samples.read(path) == (None, [])
    if trap != "pipe":
        assert isinstance(file.fault, OSError)


def test_a_full_disk_ends_the_file_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it stays ended, though space may be back: half a picture would be taken for a whole one."""
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, EIGHT)
    put(file, sample(0.0), urgent=True)
    before = path.read_bytes()

    def full(name: str, *_: object) -> None:
        if name in ("write", "create"):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(operations, "hook", full)
    with caplog.at_level(logging.WARNING, "ardaemon.samples"):
        for n in range(50):
            put(file, sample(float(n)), urgent=True)
        file.close()
    assert len(caplog.records) == 1
    assert file.fault is not None
    assert path.read_bytes() == before


def test_a_folder_that_is_gone_hurts_nobody(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "gone" / "samples.jsonl", EIGHT)
    put(file, sample(0.0), urgent=True)
    file.close()
    assert isinstance(file.fault, FileNotFoundError)


some_mb = some.none() | some.integers(0, 10**6)
some_samples = some.builds(
    Sample,
    t=some.floats(0, 1e5),
    n=some.integers(1, 9),
    vram_mb=some_mb,
    by=some.sampled_from(["process", "device_delta", "unknown"]),
    elsewhere_mb=some.integers(0, 99),
    gpus=some.lists(
        some.builds(CardSample, card=some.just(0), run_mb=some_mb, used_mb=some_mb), max_size=1
    ).map(tuple),
    rss_mb=some_mb,
    cpu=some_mb,
    looks=some.integers(0, 3),
    throttled=some.integers(0, 3),
    foreign=some.sampled_from(["", "pid 1", "pid 2"]),
)


def test_nothing_is_more_than_not_known() -> None:
    known, unknown = Sample(t=0.0, vram_mb=0), Sample(t=0.0, vram_mb=None, by="unknown")
    for found in (merge(known, unknown), merge(unknown, known)):
        assert (found.vram_mb, found.by) == (0, "process")


@given(some.lists(some_samples, min_size=1, max_size=6))
def test_merging_keeps_every_maximum_and_every_count(given: list[Sample]) -> None:
    found = given[0]
    for one in given[1:]:
        found = merge(found, one)
    for name in ("vram_mb", "rss_mb", "cpu"):
        known = [value for s in given if (value := getattr(s, name)) is not None]
        assert getattr(found, name) == (max(known) if known else None)
    assert found.n == sum(s.n for s in given)
    assert found.looks == sum(s.looks for s in given)
    assert found.foreign == next((s.foreign for s in given if s.foreign), "")
    if found.vram_mb is not None:
        assert found.by in {s.by for s in given if s.vram_mb == found.vram_mb}
