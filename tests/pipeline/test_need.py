"""What a run asks for: settings, the caller's words and his environment against what the machine has."""

from typing import Any

import pytest

from ardaemon.core.errors import UsageError
from ardaemon.core.gpus import GpuReading, Inventory, Need
from ardaemon.core.model import Settings
from ardaemon.core.protocol import Submit
from ardaemon.pipeline.need import allow_list, need
from tests.support.every import every

TWO = tuple(GpuReading(uuid=f"GPU-{n}abc", index=n, total_mb=81920.0) for n in range(2))
PARENT = GpuReading(uuid="GPU-p", index=0, mig=True)
MIG = tuple(GpuReading(uuid=f"MIG-{n}", index=0, parent="GPU-p", total_mb=9728.0) for n in range(3))


def machine(*gpus: GpuReading, state: Any = "ok", why: str = "") -> Inventory:
    return Inventory(state=state, at=0.0, gpus=gpus, why=why)


def asked(
    inventory: Inventory | None,
    settings: dict[str, Any] | None = None,
    visible: str | None = None,
    **words: Any,
) -> Need:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    params = Submit(project="/p", submit_id="s", environment=environment, **words)
    return need(Settings(seconds=1, **(settings or {})), params, inventory)


def test_without_a_word_it_is_one_gpu_where_there_are_any_else_a_cpu_slot() -> None:
    assert asked(machine(*TWO)).gpus == 1
    assert asked(machine(state="none")).gpus == 0
    assert asked(machine(*TWO), visible="").gpus == 0
    assert asked(machine(*TWO), visible="-1").gpus == 0
    assert asked(machine(*TWO), visible="7", gpus=0).gpus == 0
    assert asked(machine(state="none"), visible="0").gpus == 0
    assert asked(machine(state="unknown")).gpus == 1, "there is a driver, so there is a GPU"
    assert asked(None).gpus == 1


def test_the_callers_word_counts_more_than_the_sessions() -> None:
    assert asked(machine(*TWO), {"gpus": 2}).gpus == 2
    assert asked(machine(*TWO), {"gpus": 2}, gpus=0) == Need(gpus=0)
    assert asked(machine(*TWO), {"share": True, "vram": 100.0}).share
    assert not asked(machine(*TWO), {"share": True, "vram": 100.0}, share=False).share
    assert asked(machine(*TWO), {"share": True, "vram": 100.0}, vram=200.0).vram_mb == 200


@every(
    "inventory, visible, words, said",
    [
        (machine(*TWO), None, {"gpus": 3}, "--gpus 3: this machine has 2"),
        (machine(*TWO), "0", {"gpus": 2}, "this machine has 2, and CUDA_VISIBLE_DEVICES=0 allows 1"),
        (
            machine(*TWO),
            "7",
            {"gpus": 1},
            "_DEVICES=7 names no GPU of this machine, whose GPUs are 0, 1",
        ),
        (machine(*TWO), "7", {}, "CUDA_VISIBLE_DEVICES=7 names no GPU of this machine"),
        (machine(*TWO), "GPU-7", {}, "CUDA_VISIBLE_DEVICES=GPU-7 names no GPU of this machine"),
        (machine(*TWO), "none", {}, "CUDA_VISIBLE_DEVICES=none names no GPU of this machine"),
        (
            machine(PARENT, *MIG),
            "1",
            {},
            "_DEVICES=1 names no GPU of this machine, whose GPUs are 0",
        ),
        (machine(state="none", why="no driver"), None, {"gpus": 1}, r"no NVIDIA GPU \(no driver\)"),
        (machine(*TWO), None, {"gpus": -1}, "--gpus -1: it must be between 0 and 64"),
        (machine(state="unknown"), None, {"gpus": 65}, "--gpus 65"),
        (machine(*TWO), None, {"vram": 100.0}, "--vram is what a run needs on a GPU that it shares"),
        (machine(*TWO), None, {"share": True, "vram": 90000.0}, "the largest GPU has 80.0 GiB"),
        (machine(*TWO), None, {"share": True, "vram": -1.0}, "-1 MiB: it is not a size"),
        (machine(*TWO), None, {"share": True, "vram": 81500.0}, "512 MiB are kept free where runs share"),
        (machine(PARENT, *MIG), None, {"gpus": 2}, "one MIG instance at most"),
    ],
)
def test_what_this_machine_can_never_give_is_refused_at_once(
    inventory: Inventory, visible: str | None, words: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        asked(inventory, visible=visible, **words)


def test_an_allow_list_is_read_as_cuda_reads_it() -> None:
    assert allow_list({}) is None
    assert allow_list({"CUDA_VISIBLE_DEVICES": " 1, GPU-0abc "}) == ("1", "GPU-0abc")
    assert allow_list({"CUDA_VISIBLE_DEVICES": "0,-1,1"}) == ("0",)
    assert allow_list({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert asked(machine(*TWO), visible="GPU-1", gpus=1).allowed == ("GPU-1",)
