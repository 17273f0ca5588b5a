"""The book of GPUs: what may be given away, by what NVML saw and what was decided."""

from typing import Any

from ardaemon.core.gpus import MARGIN_MB, GpuReading, Inventory
from ardaemon.core.measured import Holder
from ardaemon.core.queue import Card, Seat
from ardaemon.gpus.book import DRAIN_S, FRESH_S, GpuBook, Tenant
from tests.support.every import every

UUID = "GPU-0"
OURS = Holder(pid=1, used_mb=4000.0, owner="/p/a1", name="python")
ALICES = Holder(pid=2, used_mb=9000.0, user="alice", name="python")
DESKTOP = Holder(pid=3, used_mb=200.0, graphics=True, name="Xorg")


def gpu(used: float | None = 0.0, **values: Any) -> GpuReading:
    return GpuReading(uuid=UUID, index=0, name="H100", total_mb=80000.0, used_mb=used, **values)


def book(reading: GpuReading, *there: Holder, at: float = 100.0, state: Any = "ok", **values: Any) -> GpuBook:
    found = GpuBook(**values)
    holders: dict[str, tuple[Holder, ...] | None] = {reading.uuid: there}
    seen(found, Inventory(state=state, at=at, gpus=(reading,), why="no answer"), holders)
    return found


def seen(
    found: GpuBook, inventory: Inventory, holders: dict[str, tuple[Holder, ...] | None], *tenants: Tenant
) -> bool:
    """A look that was over as it began."""
    return found.look(inventory, holders, {UUID: list(tenants)}, inventory.at)


def card(
    found: GpuBook, *tenants: Tenant, sick: dict[str, str] | None = None, now: float | None = None
) -> Card:
    (only,) = found.cards({UUID: list(tenants)} if tenants else {}, sick or {}, now)
    return only


@every(
    "found, state, why",
    [
        (book(gpu()), "free", ""),
        (book(gpu(used=200.0), DESKTOP), "free", ""),
        (book(gpu(used=9000.0), ALICES), "foreign", "pid 2 (alice, python), 8.8 GiB"),
        (book(gpu(used=9000.0), ALICES, ignored=frozenset([2])), "free", ""),
        (book(gpu(used=900.0)), "foreign", "900 MiB are used by no process that can be seen"),
        (book(gpu(), ours=("1",)), "foreign", "config.toml leaves it to others (gpus)"),
        (book(gpu(), ours=("0",)), "free", ""),
        (book(gpu(fault="GPU_IS_LOST")), "quarantined", "the driver says GPU_IS_LOST"),
        (book(gpu(error="UNKNOWN")), "unknown", "the driver says UNKNOWN"),
        (
            book(gpu(refused=1)),
            "unknown",
            "the driver reports processes that cannot exist: nobody knows who uses it",
        ),
        (book(gpu(mig=True)), "quarantined", "it is in MIG mode and has no instance"),
        (book(gpu(), state="unknown"), "unknown", "no answer"),
    ],
)
def test_the_state_of_a_card_that_no_run_has(found: GpuBook, state: str, why: str) -> None:
    assert (card(found).state, card(found).occupant) == (state, why)


def test_what_nvml_does_not_say_never_looks_idle() -> None:
    found = GpuBook()
    assert found.cards({}, {}) == ()
    seen(found, Inventory(state="ok", at=0.0, gpus=(gpu(used=None),)), {UUID: None})
    assert card(found).state == "unknown"
    assert (card(found).total_mb, card(found).free_mb) == (None, None)


def test_an_old_look_is_none() -> None:
    found = book(gpu())
    assert card(found, now=100 + FRESH_S).state == "free"
    assert card(found, now=101 + FRESH_S).state == "unknown"


def test_a_card_is_held_until_the_memory_of_its_last_run_is_given_back() -> None:
    found = book(gpu())
    found.released[UUID] = 100.0
    assert (card(found).state, found.draining) == ("held", True)
    seen(found, Inventory(state="ok", at=101.0, gpus=(gpu(used=4000.0),)), {UUID: ()})
    assert card(found).state == "held", "nobody holds it any more, and it is not back"
    seen(found, Inventory(state="ok", at=102.0, gpus=(gpu(used=10.0),)), {UUID: ()})
    assert (card(found).state, found.draining) == ("free", False)


def test_a_process_of_a_run_that_is_over_keeps_its_card_though_its_memory_has_a_name() -> None:
    found = book(gpu())
    found.released[UUID] = 100.0
    seen(found, Inventory(state="ok", at=101.0, gpus=(gpu(used=4000.0),)), {UUID: (OURS,)})
    assert (card(found).state, found.draining) == ("held", True)
    seen(found, Inventory(state="ok", at=101.0 + DRAIN_S, gpus=(gpu(used=4000.0),)), {UUID: (OURS,)})
    assert (card(found).state, found.draining) == ("foreign", False)
    assert "left over from a run that is over: pid 1" in card(found).occupant
    assert card(found, Tenant(folder="/p/a2", seat=Seat(share=True))).state == "foreign", (
        "beside another run as well"
    )


def test_memory_that_never_comes_back_is_foreign_after_a_while() -> None:
    found = book(gpu())
    found.released[UUID] = 100.0
    seen(found, Inventory(state="ok", at=101.0 + DRAIN_S, gpus=(gpu(used=4000.0),)), {UUID: ()})
    assert card(found).state == "foreign"


def test_what_sharing_runs_may_take_is_what_is_neither_reserved_nor_used_by_others() -> None:
    found = book(gpu(used=4200.0), OURS, DESKTOP)
    whole = 80000 - MARGIN_MB - 200
    tenant = Tenant(folder="/p/a1", seat=Seat(share=True, vram_mb=3000.0))
    held = card(found, tenant)
    assert (held.state, held.total_mb, held.free_mb) == ("held", whole, whole - 4000), (
        "it uses more than it said"
    )
    waiting = Tenant(folder="/p/a2", seat=Seat(share=True, vram_mb=6000.0))
    assert card(found, tenant, waiting).free_mb == whole - 9000, "the second has not allocated yet"


def test_a_card_that_a_foreign_process_joins_takes_no_second_sharing_run() -> None:
    found = book(gpu(used=13000.0), OURS, ALICES)
    assert card(found, Tenant(folder="/p/a1", seat=Seat(share=True))).state == "foreign"


def test_quarantine_comes_before_everything() -> None:
    assert card(book(gpu(used=9000.0), ALICES), sick={UUID: "Xid 79"}).occupant == "Xid 79"


def test_cards_are_named_by_index_and_by_uuid_where_an_index_could_mean_another() -> None:
    assert book(gpu()).device(UUID) == "0"
    assert book(gpu(fault="gone")).device(UUID) == UUID
    instance = GpuReading(uuid="MIG-1", index=0, parent=UUID)
    found = GpuBook()
    seen(found, Inventory(state="ok", at=0.0, gpus=(gpu(mig=True), instance)), {})
    assert [gpu.uuid for gpu in found.readings] == ["MIG-1"]
    assert found.device("MIG-1") == "MIG-1"


def test_a_learned_need_waits_for_every_model_and_never_asks_for_more_than_a_card_has() -> None:
    found = book(gpu())
    assert found.learned({}) is None
    assert found.learned({"A100": (1000.0,)}) is None
    assert found.learned({"H100": (1000.0, 2000.0)}) == 2000 * 1.1 + 512
    assert found.learned({"H100": (79000.0,)}) == 80000 - MARGIN_MB
