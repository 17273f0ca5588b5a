"""`arctl gpus`, `arctl queue …` and the options of runs on GPUs, as people and agents type them."""

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.machine import with_gpus
from tests.support.nvml import FakeGpus
from tests.support.shell import Shell, shells
from tests.support.terminal import Session, played

WHO = "10.0 GiB are used by no process that can be seen"


@pytest.fixture
def fake(lab: Lab) -> FakeGpus:
    """One GPU, which the daemon that arctl starts sees."""
    found = with_gpus(lab, 1)
    found.gpu(0, utilisation=97, temperature=61, power=411.716)
    found.write()
    return found


def test_gpus_are_listed_with_who_is_on_them(lab: Lab, fake: FakeGpus) -> None:
    with shells(lab) as shell:
        line = shell("gpus").strip()
        assert line == "0 NVIDIA Stand-in 80GB free 0.0/80.0 GiB 97% 61 °C 412 W"
        held(shell, fake, 2048)
        shell("run", "--gpus", "1")
        wait_until(lambda: "r0001 2.0 GiB" in shell("gpus"), "the run and its memory")
        (gpu,) = shell.json("gpus")["gpus"]
        assert (gpu["state"], gpu["holders"][0]["run_id"]) == ("held", "r0001")
        assert shell("gpus", "--release", code=65) == ""
        shell.release()
        assert "peak_vram=2048" in shell("wait")
        assert shell("gpus", "--clear", "7", code=64) == ""


def test_several_gpus_stand_in_columns_with_rounded_figures_and_at_a_terminal_a_header(lab: Lab) -> None:
    found = with_gpus(lab, 2)
    found.gpu(0, utilisation=100, temperature=61, power=136.716, used=10 << 10)
    found.gpu(1, utilisation=7, temperature=40, power=98.2)
    found.write()
    with shells(lab) as shell:
        assert shell("gpus").splitlines() == [
            f"0 NVIDIA Stand-in 80GB foreign 10.0/80.0 GiB 100% 61 °C 137 W: {WHO}",
            "1 NVIDIA Stand-in 80GB free     0.0/80.0 GiB   7% 40 °C  98 W",
        ]
        session = Session(shell, "gpus", columns=140)
        lines = played(session.end(), 140)
        session.close()
        assert lines[:3] == [
            f"gpu  {'name':20}  {'memory':>13}  busy   temp  power  state    who",
            f"0    NVIDIA Stand-in 80GB  10.0/80.0 GiB  100%  61 °C  137 W  foreign  {WHO}",
            "1    NVIDIA Stand-in 80GB   0.0/80.0 GiB    7%  40 °C   98 W  free",
        ]


def held(shell: Shell, fake: FakeGpus, mib: int) -> None:
    """Edit train.py so that it allocates and runs until `release`."""
    shell.hold(0.5)
    script = shell.lab.folder / "train.py"
    script.write_text(fake.allocation(mib) + script.read_text())


def test_a_machine_without_a_driver_says_so(lab: Lab) -> None:
    with shells(lab) as shell:
        assert shell("gpus").startswith("no GPU: ")
        assert shell.json("gpus")["gpus"] == []
        assert shell("run", "--wait", "--gpus", "1", code=64) == ""


def begun(lab: Lab, run_id: str) -> float:
    """When it began, in seconds since the boot."""
    return float(lab.read(f"runs/{run_id}/a1/start.json")["monotonic"])


def test_the_queue_is_moved_held_and_released_by_name(lab: Lab, fake: FakeGpus) -> None:
    with shells(lab) as shell:
        held(shell, fake, 100)
        shell("run")
        for value in (0.9, 0.8):
            lab.edit(value)
            shell("run")
        assert "r0003 queued 1" in shell("queue", "move", "r0003", "--first")
        assert "held: arctl queue release r0002" in shell("queue", "hold", "r0002")
        lines = shell("queue").splitlines()
        assert [line.split()[1] for line in lines] == ["r0001", "r0003", "r0002"]
        assert "r0002 queued" in shell("queue", "release", "r0002")
        assert shell("queue", "move", "r0002", code=64) == ""
        assert shell("queue", "move", "r0002", "--priority", "101", code=64) == ""
        assert shell("queue", "hold", "r0009", code=64) == ""
        shell.release()
        given = {shell.json("wait", "--any")["run_id"] for _ in range(3)}
        assert given == {"r0001", "r0003", "r0002"}
        # The GPU is free before its run is committed: so the verdicts may come in another order.
        assert sorted(given, key=lambda run: begun(lab, run)) == ["r0001", "r0003", "r0002"]
        assert shell("wait", "--any", code=64) == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--vram", "6"],
        ["--vram", "6GiB"],
        ["--gpus", "-1"],
        ["--gpus", "9"],
        ["--share", "--vram", "99999GiB"],
    ],
)
def test_wrong_amounts_are_refused_and_nothing_is_recorded(
    lab: Lab, fake: FakeGpus, words: list[str]
) -> None:
    with shells(lab) as shell:
        assert shell("run", *words, code=64) == ""
        assert not list((lab.folder / "runs").glob("r0001"))
