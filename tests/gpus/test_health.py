"""Which trouble is the program's and which the card's."""

import pytest

from ardaemon.core.gpus import GpuReading
from ardaemon.gpus.health import program_fault, quarantine_reason, run_notes, xid_text


def gpu(*xids: int, fault: str | None = None) -> GpuReading:
    return GpuReading(uuid="GPU-1", index=0, xids=xids, fault=fault)


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 68, 109])
def test_the_programs_own_fault_is_a_note_and_no_more(xid: int) -> None:
    assert program_fault(xid)
    assert quarantine_reason(gpu(xid)) is None
    assert run_notes(gpu(xid, xid)) == [xid_text(xid)]


@pytest.mark.parametrize("xid", [1, 48, 63, 74, 79, 94, 119, 154, 999])
def test_every_other_xid_is_the_cards(xid: int) -> None:
    assert not program_fault(xid)
    assert quarantine_reason(gpu(13, xid)) == xid_text(xid)
    assert run_notes(gpu(xid)) == []


def test_a_fault_comes_before_what_led_to_it() -> None:
    assert quarantine_reason(gpu(79, fault="GPU_IS_LOST")) == "GPU_IS_LOST"


def test_a_healthy_gpu_has_nothing_against_it() -> None:
    assert quarantine_reason(gpu()) is None
    assert run_notes(gpu()) == []


def test_an_xid_is_named_for_a_person() -> None:
    assert xid_text(79) == "Xid 79 (the GPU has fallen off the bus)"
    assert xid_text(12345) == "Xid 12345"
