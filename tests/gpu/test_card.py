"""On a real NVIDIA GPU, with real allocations by torch: what the stand-in library cannot show."""

import os
import subprocess
import time
from typing import Any

import pytest

from ardaemon.core.reason import read
from tests.gpu.conftest import PYTHON
from tests.support.lab import Lab, wait_until

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]

TORCH = "import os, time, torch\n"
HOLDS = TORCH + (
    "block = torch.ones({mib} << 18, dtype=torch.float32, device='cuda')\n"
    "torch.cuda.synchronize()\n"
    "print('reserved:', torch.cuda.max_memory_reserved() >> 20)\n"
    "time.sleep({seconds})\n"
    "print('val/loss: 1.0')\n"
)
MATMUL = TORCH + (
    "a = torch.randn(4096, 4096, device='cuda', dtype=torch.float16)\n"
    "def measured(seconds):\n"
    "    count, begun = 0, time.monotonic()\n"
    "    while time.monotonic() - begun < seconds:\n"
    "        for _ in range(20): a @ a\n"
    "        torch.cuda.synchronize()\n"
    "        count += 20\n"
    "    return count / (time.monotonic() - begun)\n"
    "measured(3)\n"
    "print('val/loss:', measured({seconds}))\n"
)
TOLERANCE = 0.03
SLOWER = 0.98  # of the bare loop's rate; two bare loops differ by about a percent
SAMPLING_MAX = 0.005  # of a core
# Sampling is measured from so long after the launch, for so long: what a start costs is not sampling. The run
# is young all the while, so it is looked at as often as any.
SETTLED_S, SAMPLED_S = 6.0, 12.0


def session(lab: Lab, **settings: Any) -> None:
    """Jobs in the interpreter that has torch."""
    lab.session(seconds=200, settle=1, runner=f"{PYTHON} train.py", **settings)


def tried(lab: Lab, script: str) -> dict[str, Any]:
    """Run it; its result."""
    lab.write(script)
    return lab.run()


def test_the_peak_is_what_torch_reserved_and_its_context(card: Lab) -> None:
    session(card)
    small = tried(card, HOLDS.format(mib=2, seconds=3))
    large = tried(card, HOLDS.format(mib=4000, seconds=3))
    assert (small["status"], large["status"]) == ("ok", "ok"), (small["reason"], large["reason"])
    assert large["peak_vram_source"] == "process"
    context = small["peak_vram_mb"] - small["metrics"]["reserved"]
    truth = large["metrics"]["reserved"] + context
    assert abs(large["peak_vram_mb"] - truth) <= TOLERANCE * truth


def test_two_runs_never_have_one_card_and_the_second_waits(card: Lab) -> None:
    session(card)
    count = len(card.call("gpu.list")["gpus"])
    card.write(HOLDS.format(mib=500, seconds=8))
    first = card.submit(gpus=count)["run_id"]
    second = card.submit(gpus=count)["run_id"]
    card.wait(first, until="launched")
    assert card.get("run.get", run_id=second)["state"] == "queued"
    assert [card.wait(run)["result"]["status"] for run in (first, second)] == ["ok", "ok"]


def test_running_out_of_memory_is_recognised(card: Lab) -> None:
    session(card)
    total = int(card.call("gpu.list")["gpus"][0]["total_mb"])
    result = tried(card, HOLDS.format(mib=total + 1000, seconds=0))
    assert (result["status"], read(result["reason"]).token) == ("crash", "oom")


def test_a_killed_job_gives_its_memory_back_and_the_card_is_free(card: Lab) -> None:
    session(card)
    before = card.call("gpu.list")["gpus"][0]["used_mb"]
    card.write(HOLDS.format(mib=4000, seconds=100))
    run = card.submit()["run_id"]
    held = lambda: card.call("gpu.list")["gpus"][0]["used_mb"] > before + 3500  # noqa: E731
    wait_until(held, "its memory", deadline=60)
    card.get("run.cancel", run_id=run)
    assert card.wait(run)["result"]["status"] == "interrupted"
    wait_until(lambda: card.call("gpu.list")["gpus"][0]["state"] == "free", "the card to be free")
    assert card.call("gpu.list")["gpus"][0]["used_mb"] < before + 500


def test_sampling_slows_no_matmul_down_and_costs_little(card: Lab) -> None:
    session(card)
    script = MATMUL.format(seconds=20)
    bare = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    rate = float(bare.stdout.split()[-1])
    card.write(script)
    whole = cpu_seconds(card)
    run = card.submit()["run_id"]
    card.wait(run, until="launched")
    time.sleep(SETTLED_S)
    spent, begun = cpu_seconds(card), time.monotonic()
    time.sleep(SAMPLED_S)
    share = (cpu_seconds(card) - spent) / (time.monotonic() - begun)
    result = card.wait(run)["result"]
    whole = cpu_seconds(card) - whole
    print(f"bare {rate:.1f}/s, under ardaemon {result['primary']['value']:.1f}/s")
    print(f"sampling {share:.3%} of a core; start, sampling and commit {whole:.3f} s of CPU")
    assert result["primary"]["value"] >= SLOWER * rate
    assert share <= SAMPLING_MAX


def cpu_seconds(lab: Lab) -> float:
    """Of the daemon and its NVML process so far."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(lab.pid)], capture_output=True, text=True, check=False
    )
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for pid in (lab.pid, *map(int, found.stdout.split())):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total
