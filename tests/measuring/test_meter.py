"""Peaks of GPU and host memory, by looks as NVML gives them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from ardaemon.core.gpus import GpuProcess, GpuReading, Inventory
from ardaemon.core.measured import Breach, GivenCard, Header, Holder, Measured, Sample, Source
from ardaemon.measuring.meter import Look, Meter, Watched, header
from ardaemon.measuring.samples import _in_buckets, decode, thin
from tests.support.every import every

OWN = "/p/runs/r0001/a1"
ZERO, ONE, FOREIGN_CARD = "GPU-0", "GPU-1", "GPU-7"
CARDS = (
    GivenCard(uuid=ZERO, index=0, name="A100", baseline_mb=500.0),
    GivenCard(uuid=ONE, index=1, name="A100", baseline_mb=400.0),
)
There = tuple[Holder, ...] | None


def watched(
    cards: int = 1, alone: bool = True, vram: float | None = None, rss: float | None = None
) -> Watched:
    cut = Header(cards=CARDS[:cards])
    return Watched(folder=OWN, header=cut, alone=alone, max_vram_mb=vram, max_rss_mb=rss)


def mine(pid: int, used: float | None) -> Holder:
    return Holder(pid=pid, used_mb=used, owner=OWN)


def look(t: float, used: dict[str, float | None] | None = None, **there: There) -> Look:
    """`there`: GPU_0 and so on."""
    holders = {name.replace("_", "-"): who for name, who in there.items()}
    gpus = tuple(
        GpuReading(uuid=uuid, index=int(uuid[-1]), used_mb=(used or {}).get(uuid)) for uuid in holders
    )
    return Look(t=t, gpus=gpus, holders=holders)


def measure(asked: Watched, *looks: Look) -> Measured:
    meter = Meter(asked)
    for one in looks:
        meter.look(one)
    return meter.measured()


UNKNOWN = Holder(pid=6, used_mb=2000.0, known=False)
STRANGER = Holder(pid=6, used_mb=2000.0)


@every(
    "there, used, alone, peak, source",
    [
        ((mine(1, 1000.0), mine(2, 500.0)), 2000.0, True, 1500, "process"),
        ((mine(1, 1000.0), STRANGER), 4000.0, True, 1000, "process"),
        ((), 500.0, True, 0, "process"),  # it has not touched the card: that is known
        ((STRANGER,), 2500.0, True, 0, "process"),
        (None, 2000.0, True, 1500, "device_delta"),
        ((mine(1, None),), 2000.0, True, 1500, "device_delta"),
        ((mine(1, 1000.0), mine(2, None)), 2000.0, True, 1500, "device_delta"),
        ((UNKNOWN,), 2500.0, True, 2000, "device_delta"),  # as in a container
        ((mine(1, 1000.0), UNKNOWN), 4000.0, True, 1000, "process"),
        (None, 300.0, True, 0, "device_delta"),  # something else has freed memory meanwhile
        (None, None, True, None, "unknown"),
        (None, 2000.0, False, None, "unknown"),  # others may be on a shared card
        ((mine(1, None),), 2000.0, False, None, "unknown"),
    ],
)
def test_how_the_memory_on_one_card_is_known(
    there: There, used: float | None, alone: bool, peak: int | None, source: Source
) -> None:
    found = measure(watched(alone=alone), look(1.0, {ZERO: used}, GPU_0=there))
    assert (found.peak_vram_mb, found.source) == (peak, source)
    assert (found.cards[0].peak_mb, found.cards[0].source) == (peak, source)


def test_the_peak_is_the_largest_sum_and_not_the_sum_of_the_largest() -> None:
    found = measure(
        watched(2),
        look(1.0, GPU_0=(mine(1, 3000.0),), GPU_1=(mine(2, 100.0),)),
        look(2.0, GPU_0=(mine(1, 200.0),), GPU_1=(mine(2, 2500.0),)),
    )
    assert found.peak_vram_mb == 3100
    assert [card.peak_mb for card in found.cards] == [3000, 2500]


def test_a_card_that_is_silent_for_a_look_makes_no_sum_smaller_or_wrong() -> None:
    found = measure(
        watched(2),
        look(1.0, GPU_0=(mine(1, 1000.0),), GPU_1=(mine(2, 1000.0),)),
        look(2.0, GPU_0=(mine(1, 9000.0),)),  # GPU-1 is lost: the sum is not known
    )
    assert (found.peak_vram_mb, found.source) == (2000, "process")
    assert found.cards[0].peak_mb == 9000


def test_a_run_whose_cards_never_answered_has_no_peak() -> None:
    found = measure(watched(2), look(1.0, GPU_0=(mine(1, 1000.0),)), look(2.0))
    assert (found.peak_vram_mb, found.source) == (None, "unknown")


def test_one_worse_source_names_the_sum() -> None:
    found = measure(watched(2), look(1.0, {ONE: 900.0}, GPU_0=(mine(1, 1000.0),), GPU_1=None))
    assert (found.peak_vram_mb, found.source) == (1500, "device_delta")
    assert [card.source for card in found.cards] == ["process", "device_delta"]


def test_what_it_uses_on_a_card_that_it_was_not_given_counts_and_is_told() -> None:
    found = measure(watched(1), look(1.0, GPU_0=(mine(1, 1000.0),), GPU_7=(mine(1, 700.0), STRANGER)))
    assert (found.peak_vram_mb, found.elsewhere_mb) == (1700, 700)
    on_cpu = measure(watched(0), look(1.0, GPU_7=(mine(1, 700.0),)))
    assert (on_cpu.peak_vram_mb, on_cpu.source) == (700, "process")


def test_a_run_without_a_card_has_neither_peak_nor_source() -> None:
    found = measure(watched(0), Look(t=1.0, rss_mb=300.4), Look(t=2.0, rss_mb=200.0))
    assert (found.peak_vram_mb, found.source, found.peak_rss_mb) == (None, None, 300)


def test_memory_that_could_not_be_read_is_not_nothing() -> None:
    assert measure(watched(0), Look(t=1.0)).peak_rss_mb is None


@pytest.mark.parametrize(
    ("vram", "rss", "breach", "words"),
    [
        (None, None, None, None),
        (1000.0, 2000.0, None, None),
        (
            999.0,
            1999.0,
            Breach(limit="vram_limit", used_mb=1000, most_mb=999.0),
            "vram_limit 1000 MiB > 999 MiB",
        ),
        (
            None,
            1999.0,
            Breach(limit="rss_limit", used_mb=2000, most_mb=1999.0),
            "rss_limit 2000 MiB > 1999 MiB",
        ),
    ],
)
def test_a_limit_that_was_passed_is_told_with_its_numbers(
    vram: float | None, rss: float | None, breach: Breach | None, words: str | None
) -> None:
    meter = Meter(watched(vram=vram, rss=rss))
    seen = look(1.0, GPU_0=(mine(1, 1000.0),))
    meter.look(msgspec.structs.replace(seen, rss_mb=2000.0))
    assert meter.breach() == breach
    assert meter.measured().limit == words


def test_a_limit_on_what_is_not_known_ends_no_run() -> None:
    meter = Meter(watched(vram=1.0, rss=1.0))
    meter.look(look(1.0, GPU_0=None))
    assert meter.breach() is None


def test_heat_and_swapping_count_only_where_they_were_looked_at() -> None:
    hot = GpuReading(uuid=ZERO, index=0, throttled="thermal slowdown")
    meter = Meter(watched())
    for n in range(40):
        thorough = n % 4 == 0
        meter.look(
            Look(t=float(n), gpus=(hot,), thorough=thorough, swapped_pages_s=0.0 if thorough else None)
        )
    assert (meter.conditions.looks, meter.conditions.throttled) == (10, 10)
    assert meter.measured().tainted == "thermal_throttling"


def test_heat_of_a_card_that_is_not_the_runs_does_not_matter() -> None:
    hot = GpuReading(uuid=FOREIGN_CARD, index=7, throttled="thermal slowdown")
    looks = [Look(t=float(n), gpus=(hot,), thorough=True) for n in range(9)]
    assert measure(watched(), *looks).tainted is None


def test_swapping_is_by_pages_a_second() -> None:
    slow = [Look(t=float(n), thorough=True, swapped_pages_s=255.0) for n in range(9)]
    fast = [Look(t=float(n), thorough=True, swapped_pages_s=256.0) for n in range(9)]
    assert measure(watched(0), *slow).tainted is None
    assert measure(watched(0), *fast).tainted == "swapping"


def test_a_stranger_is_told_with_who_it_is_and_in_one_sample_only() -> None:
    meter = Meter(watched())
    stranger = Holder(pid=812, used_mb=9728.0, user="alice", name="python")
    samples = [meter.look(look(float(n), GPU_0=(mine(1, 10.0), stranger))) for n in range(3)]
    found = meter.measured()
    assert (found.tainted, found.tainted_why) == (
        "foreign_gpu_process",
        "pid 812 (alice, python), 9.5 GiB",
    )
    assert [bool(sample.foreign) for sample in samples] == [True, False, False]


def test_who_was_there_before_the_launch_taints_nothing() -> None:
    readings = tuple(
        GpuReading(uuid=uuid, index=n, name="A100", used_mb=500.0, processes=(GpuProcess(pid=40 + n),))
        for n, uuid in enumerate((ZERO, ONE))
    )
    before = header(Inventory(state="ok", at=0.0, gpus=readings), [ONE])
    assert before == Header(
        cards=(GivenCard(uuid=ONE, index=1, name="A100", baseline_mb=500.0),), before=(41,)
    )
    asked = Watched(folder=OWN, header=before)
    known, new = Holder(pid=41, used_mb=9.0), Holder(pid=40, used_mb=9.0)
    assert measure(asked, look(1.0, GPU_1=(mine(1, 5.0), known))).tainted is None
    assert measure(asked, look(1.0, GPU_1=(mine(1, 5.0), new))).tainted == "foreign_gpu_process"


def test_a_card_that_was_silent_before_the_launch_has_no_baseline() -> None:
    found = header(Inventory(state="unknown", at=0.0), [ZERO])
    assert (
        measure(Watched(folder=OWN, header=found), look(1.0, {ZERO: 900.0}, GPU_0=None)).source == "unknown"
    )


def test_the_longest_time_without_a_sample_is_told() -> None:
    assert measure(watched(0), *[Look(t=t) for t in (1.0, 2.0, 65.5, 66.0)]).gap_s == 63.5


sizes = some.none() | some.integers(0, 80_000).map(float)
some_looks = some.lists(
    some.builds(
        lambda one, two, rss, hot: Look(
            t=0.0,
            gpus=tuple(
                GpuReading(uuid=uuid, index=n, used_mb=5000.0, throttled="hot" if hot else None)
                for n, uuid in enumerate((ZERO, ONE))
            ),
            holders={ZERO: (mine(1, one),), ONE: (mine(2, two),)},
            rss_mb=rss,
            thorough=True,
        ),
        sizes,
        sizes,
        sizes,
        some.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@given(some_looks, some.floats(0.25, 20.0))
def test_a_restarted_daemon_finds_the_same_in_the_file(looks: list[Look], width: float) -> None:
    """Written as JSON, and merged into any width: peaks, sources and taint stay."""
    meter = Meter(watched(2, vram=70_000.0))
    made = [meter.look(msgspec.structs.replace(one, t=float(n))) for n, one in enumerate(looks)]
    text = b"\n".join(msgspec.json.encode(line) for line in (Header(cards=CARDS), *made))
    found_header, found = decode(text)
    assert found == made
    assert found_header is not None
    again = Meter(watched(2, vram=70_000.0))
    for sample in _in_buckets(found, width):
        again.add(sample)
    assert msgspec.structs.replace(again.measured(), gap_s=0.0) == msgspec.structs.replace(
        meter.measured(), gap_s=0.0
    )


def test_thinning_leaves_what_fits_alone() -> None:
    few = [Sample(t=float(n)) for n in range(9)]
    assert thin(Header(), few) == (Header(), few)
