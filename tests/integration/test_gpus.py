"""Runs on GPUs, end to end: the real binding against the stand-in library, real processes that 'allocate'."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import ArdaemonError, Refused, Stuck, UsageError
from tests.support.lab import SLUG, Lab, make, wait_until
from tests.support.machine import lease_in, with_gpus
from tests.support.nvml import DRIVER_NOT_LOADED, UNINITIALIZED, FakeGpus

VALUE = "print('val/loss:', {value})\n"
# It tells which GPUs it sees, allocates, and waits until the test lets it go on.
WAITS = (
    "import os, time\n"
    "print('sees', repr(os.environ.get('CUDA_VISIBLE_DEVICES')), os.environ.get('CUDA_DEVICE_ORDER'))\n"
    "while not os.path.exists({go!r}):\n    time.sleep(0.01)\n"
)


@pytest.fixture
def fake(lab: Lab) -> FakeGpus:
    """Two GPUs of 80 GiB."""
    return with_gpus(lab, 2)


class Bench:
    """A lab whose jobs wait for a word."""

    def __init__(self, lab: Lab, fake: FakeGpus) -> None:
        self.lab, self.fake, self.count = lab, fake, 0

    def script(self, value: float = 1.0, mib: int | None = 2000, waits: bool = True) -> str:
        """A train.py that allocates (or not); with `waits` it goes on until `go` of its run."""
        self.count += 1
        go = str(self.lab.root / f"go{self.count}")
        if mib is None:
            return WAITS.format(go=go) + VALUE.format(value=value)
        return self.fake.allocation(mib) + (WAITS.format(go=go) if waits else "") + VALUE.format(value=value)

    def submit(self, value: float = 1.0, mib: int | None = 2000, waits: bool = True, **params: object) -> str:
        """Its run id; `go(n)` ends the n-th."""
        self.lab.write(self.script(value, mib, waits))
        run_id: str = self.lab.submit(restore="at_submit", **params)["run_id"]
        return run_id

    def seen(self) -> None:
        """Make it so with the GPUs, and let the daemon have looked."""
        self.fake.write()
        self.lab.call("gpu.list")

    def go(self, *numbers: int) -> None:
        """Let those jobs end."""
        for number in numbers:
            (self.lab.root / f"go{number}").touch()

    def view(self, run_id: str) -> dict[str, object]:
        """One run as the queue shows it."""
        runs = self.lab.call("queue.list")["runs"]
        return next(run for run in runs if run["run_id"] == run_id)

    def running(self, *run_ids: str) -> None:
        """Wait until they run."""
        for run_id in run_ids:
            self.lab.wait(run_id, until="launched")


@pytest.fixture
def bench(lab: Lab, fake: FakeGpus) -> Bench:
    """A session on two GPUs."""
    lab.ready(seconds=40, settle=0)
    return Bench(lab, fake)


@pytest.fixture
def neighbour() -> Iterator[int]:
    """Somebody else's process."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as p:
        yield p.pid
        p.kill()


def seen(lab: Lab, run_id: str) -> list[str]:
    """CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, as the job has them."""
    log = lab.folder / f"runs/{run_id}/a1/run.log"
    # One print() may come in several pieces.
    words: list[str] = wait_until(
        lambda: len(found := log.read_text().split()[:3]) == 3 and found, "its first words"
    )
    return words[1:]


def sampled(lab: Lab, run_id: str, text: str) -> None:
    """Wait until that stands in its samples."""
    samples = lab.folder / f"runs/{run_id}/a1/samples.jsonl"
    wait_until(lambda: samples.exists() and text in samples.read_text(), f"{text} in its samples")


def test_each_run_has_a_gpu_of_its_own_and_the_next_waits_and_says_for_whom(bench: Bench, lab: Lab) -> None:
    first, second, third = (bench.submit(value) for value in (1.0, 0.9, 0.8))
    bench.running(first, second)
    assert sorted(seen(lab, run) for run in (first, second)) == [["'0'", "PCI_BUS_ID"], ["'1'", "PCI_BUS_ID"]]
    view = bench.view(third)
    assert view["state"] == "queued"
    assert f"GPU 0 261122-test/{first}" in str(view["why"])
    for run in (first, second):  # while it lives: of a process that is gone, its card alone tells
        sampled(lab, run, '"vram_mb":2000')
    bench.go(1)
    bench.running(third)
    sampled(lab, third, '"vram_mb":2000')
    bench.go(2)
    lab.wait(second)
    bench.go(3)
    results = [lab.wait(run)["result"] for run in (first, second, third)]
    assert [r["verdict"] for r in results] == ["advance"] * 3
    assert [(r["peak_vram_mb"], r["peak_vram_source"]) for r in results] == [(2000.0, "process")] * 3
    assert lab.read(f"runs/{first}/a1/measured.json")["samples"] > 0
    assert (lab.folder / f"runs/{first}/a1/samples.jsonl").exists()


def test_more_gpus_than_there_are_are_refused_at_once(bench: Bench, lab: Lab) -> None:
    with pytest.raises(UsageError, match="this machine has 2"):
        bench.submit(gpus=3)
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=1 allows 1"):
        bench.submit(gpus=2, environment=lab.environment | {"CUDA_VISIBLE_DEVICES": "1"})
    with pytest.raises(UsageError, match=r"the largest GPU has 80\.0 GiB"):
        bench.submit(gpus=1, share=True, vram=90000)


def test_the_callers_cuda_visible_devices_is_an_allow_list(bench: Bench, lab: Lab) -> None:
    run = bench.submit(environment=lab.environment | {"CUDA_VISIBLE_DEVICES": "1"}, waits=False)
    assert lab.wait(run)["result"]["status"] == "ok"
    assert json.loads((lab.folder / f"runs/{run}/a1/measured.json").read_bytes())["cards"][0]["index"] == 1


def test_a_cpu_run_sees_no_gpu_and_runs_beside_a_full_machine(bench: Bench, lab: Lab) -> None:
    wide = bench.submit(gpus=2)
    bench.running(wide)
    cpu = bench.submit(0.5, gpus=0)
    bench.running(cpu)
    assert seen(lab, cpu)[0] == "''"
    bench.go(1, 2)
    assert lab.wait(cpu)["result"]["status"] == "ok"


def test_nothing_is_launched_onto_a_gpu_that_a_foreign_process_uses(
    bench: Bench, lab: Lab, fake: FakeGpus, neighbour: int
) -> None:
    fake.process(0, neighbour, 9000)
    fake.process(1, neighbour, 100)
    bench.seen()
    run = bench.submit(waits=False)
    wait_until(lambda: f"pid {neighbour}" in str(bench.view(run)["why"]), "the reason, with pid and memory")
    assert "8.8 GiB" in str(bench.view(run)["why"])
    fake.no_process(1, neighbour)
    fake.write()
    assert lab.wait(run)["result"]["status"] == "ok"
    assert json.loads((lab.folder / f"runs/{run}/a1/measured.json").read_bytes())["cards"][0]["index"] == 1


def joined(bench: Bench, run_id: str, neighbour: int) -> None:
    """Once it is measured, somebody else computes on its card, and that is seen."""
    sampled(bench.lab, run_id, '"vram_mb":2000')
    for index in (0, 1):
        bench.fake.process(index, neighbour, 500)
    bench.fake.write()
    sampled(bench.lab, run_id, f"pid {neighbour}")
    for index in (0, 1):
        bench.fake.no_process(index, neighbour)
    bench.fake.write()


def test_a_run_that_a_foreign_process_joins_is_run_once_more(
    bench: Bench, lab: Lab, fake: FakeGpus, neighbour: int
) -> None:
    run = bench.submit()
    bench.running(run)
    joined(bench, run, neighbour)
    bench.go(1)
    result = lab.wait(run)["result"]
    assert (result["attempts"], result["tainted"], result["verdict"]) == (2, None, "advance")
    assert lab.events("again")[0]["why"] == "tainted"
    used = lab.get("session.get")["session"]["counters"]["gpu_seconds"]
    assert used > result["seconds"], "the GPU was had by the first attempt too"


def test_a_session_ends_when_its_runs_have_had_so_many_hours_of_gpus(lab: Lab, fake: FakeGpus) -> None:
    lab.ready(seconds=40, settle=0, gpus=2, max_gpu_hours=1e-6)
    result = lab.wait(Bench(lab, fake).submit(waits=False))["result"]
    assert (result["terminated_by"], result["verdict"]) == ("max_gpu_hours", "advance")
    view = lab.get("session.get")
    assert view["session"]["counters"]["gpu_seconds"] == pytest.approx(2 * result["seconds"])
    assert view["gpu_hours"] == pytest.approx(2 * result["seconds"] / 3600)


def staying_check(lab: Lab) -> tuple[Path, Path]:
    """A check.py that adds the GPUs it sees to the first file, and stays until the second is there."""
    seen, go = lab.root / "seen", lab.root / "go"
    (lab.project / "check.py").write_text(
        "import os, time\n"
        f"with open({str(seen)!r}, 'a') as file:\n"
        "    file.write(os.environ['CUDA_VISIBLE_DEVICES'] + ' ')\n"
        f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
    )
    return seen, go


def test_a_check_runs_on_the_gpus_of_its_run_and_keeps_them_also_after_a_restart(
    lab: Lab, fake: FakeGpus
) -> None:
    seen, go = staying_check(lab)
    lab.ready(seconds=40, settle=0, checks=[f"{sys.executable} check.py"])
    runs = []
    for value in (1.0, 0.5, 0.2):
        lab.edit(value)
        runs.append(lab.submit(restore="at_submit")["run_id"])
    wait_until(lambda: seen.exists() and len(seen.read_text().split()) == 2, "a check on each GPU")
    lab.kill()
    lab.start()
    wait_until(lambda: len(seen.read_text().split()) == 4, "the checks again")
    assert sorted(seen.read_text().split()) == ["0", "0", "1", "1"]
    assert lab.get("run.get", run_id=runs[2])["state"] == "queued"
    go.touch()
    results = [lab.wait(run)["result"] for run in runs]
    assert {result["status"] for result in results} == {"ok"}
    assert lab.read("best.json")["value"] == 0.2
    used = lab.get("session.get")["session"]["counters"]["gpu_seconds"]
    assert used > sum(result["seconds"] for result in results)


def tainted(bench: Bench, value: float, neighbour: int) -> dict[str, Any]:
    """The result of a run that is tainted, after a first one of 0.5."""
    bench.lab.wait(bench.submit(0.5, waits=False))
    run = bench.submit(value)
    bench.running(run)
    joined(bench, run, neighbour)
    bench.go(2)
    result: dict[str, Any] = bench.lab.wait(run)["result"]
    return result


def test_with_on_tainted_accept_the_result_says_so_and_does_not_count_for_plateau(
    lab: Lab, fake: FakeGpus, neighbour: int
) -> None:
    lab.ready(seconds=40, settle=0, on_tainted="accept", plateau=3)
    bench = Bench(lab, fake)
    result = tainted(bench, 0.7, neighbour)
    assert (result["tainted"], result["verdict"], result["attempts"]) == ("foreign_gpu_process", "revert", 1)
    assert result["plateau"] == "0/3"


def test_with_on_tainted_accept_the_noise_verdict_takes_the_value_too(
    lab: Lab, fake: FakeGpus, neighbour: int
) -> None:
    lab.ready(seconds=40, settle=0, on_tainted="accept", verdict="noise")
    bench = Bench(lab, fake)
    result = tainted(bench, 0.3, neighbour)
    assert result["verdict"] == "advance"
    assert result["values"] == [{"seed": seed, "value": 0.3} for seed in (0, 1)], (
        "the tainted one, and another"
    )


def test_peak_vram_is_a_constraint_and_can_be_the_primary_metric(lab: Lab, fake: FakeGpus) -> None:
    lab.ready(seconds=40, settle=0, constraints=["peak_vram_mb<=3000"])
    bench = Bench(lab, fake)
    assert lab.wait(bench.submit(1.0, waits=False))["result"]["verdict"] == "advance"
    run = bench.submit(0.5, 5000)
    sampled(lab, run, '"vram_mb":5000')
    bench.go(2)
    result = lab.wait(run)["result"]
    assert (result["verdict"], result["constraints"][0]["value"]) == ("revert", 5000.0)


def test_a_run_that_takes_more_vram_than_it_may_is_ended(lab: Lab, fake: FakeGpus) -> None:
    lab.ready(seconds=40, settle=0, max_vram=1000)
    bench = Bench(lab, fake)
    result = lab.wait(bench.submit())["result"]
    assert (result["status"], result["reason"]) == ("crash", "vram_limit 2000 MiB > 1000 MiB")


def test_runs_that_fit_share_a_gpu_and_an_oom_under_sharing_is_run_again_alone(
    lab: Lab, fake: FakeGpus
) -> None:
    fake.remove(1)
    fake.write()
    lab.ready(seconds=40, settle=0, share=True, vram=30000)
    bench = Bench(lab, fake)
    first, second, third = (bench.submit(value) for value in (1.0, 0.9, 0.8))
    bench.running(first, second)
    assert bench.view(third)["state"] == "queued", "three times 30 GiB do not fit"
    bench.go(1, 2, 3)
    for run in (first, second, third):
        assert lab.wait(run)["result"]["status"] == "ok"
    lab.write(
        "import os\nprint('val/loss: 0.1')\n"
        "if os.environ['AR_ATTEMPT'] == '1': raise RuntimeError('CUDA out of memory. Tried to allocate')\n"
    )
    result = lab.run()
    assert (result["attempts"], result["verdict"]) == (2, "advance")
    assert lab.events("again")[0]["why"] == "oom"


def test_what_good_runs_needed_is_learned_and_lets_the_next_ones_share(lab: Lab, fake: FakeGpus) -> None:
    fake.remove(1)
    fake.write()
    lab.ready(seconds=40, settle=0, share=True)
    bench = Bench(lab, fake)
    first, second = bench.submit(1.0, 20000), bench.submit(0.9, 20000)
    bench.running(first)
    assert bench.view(second)["state"] == "queued", "nothing is known of them yet: each has the card alone"
    sampled(lab, first, '"vram_mb":20000')
    bench.go(1, 2)  # the second may have begun before the first was judged: it has the card alone then
    lab.wait(first)
    lab.wait(second)
    assert lab.get("session.get")["session"]["peaks"]["NVIDIA Stand-in 80GB"][0] == 20000.0
    others = [bench.submit(value, 20000) for value in (0.8, 0.7)]
    bench.running(*others)
    assert [bench.view(run_id)["state"] for run_id in others] == ["running", "running"]
    bench.go(3, 4)
    for run_id in others:
        lab.wait(run_id)


def test_the_queue_can_be_ordered_held_and_released(bench: Bench, lab: Lab) -> None:
    wide = bench.submit(gpus=2)
    bench.running(wide)
    second, third, fourth = (bench.submit(waits=False) for _ in range(3))
    order = [run["run_id"] for run in lab.call("queue.list")["runs"]]
    assert order == [wide, second, third, fourth]
    assert lab.get("queue.move", run_id=fourth, to="first")["position"] == 1
    assert lab.get("queue.move", run_id=third, priority=5)["position"] == 1
    held = lab.get("queue.hold", run_id=second)
    assert held["why"] == f"held: arctl queue release {second} --expr {SLUG}"
    with pytest.raises(Refused, match="has left the queue"):
        lab.get("queue.move", run_id=wide, to="first")
    lab.stop()
    lab.start()
    order = [run["run_id"] for run in lab.call("queue.list")["runs"]]
    assert order == [wide, third, fourth, second], "the order is on disk"
    bench.go(1)
    lab.wait(fourth)
    assert bench.view(second)["state"] == "queued"
    lab.get("queue.release", run_id=second)
    assert lab.wait(second)["result"]["status"] == "ok"


def test_a_restarted_daemon_keeps_the_gpus_of_running_jobs_and_goes_on_sampling(
    bench: Bench, lab: Lab
) -> None:
    first, second = bench.submit(), bench.submit()
    bench.running(first, second)
    samples = lab.folder / f"runs/{first}/a1/samples.jsonl"
    sampled(lab, first, '"vram_mb":2000')
    lab.kill()
    lab.start()
    third = bench.submit(waits=False)
    assert bench.view(third)["state"] == "queued"
    known = samples.stat().st_size
    wait_until(lambda: samples.stat().st_size > known, "another sample")
    bench.go(1, 2)
    result = lab.wait(first)["result"]
    assert (result["peak_vram_mb"], result["attempts"]) == (2000.0, 1)
    assert lab.wait(third)["result"]["status"] == "ok"


def test_a_lost_gpu_is_in_quarantine_and_the_other_goes_on(bench: Bench, lab: Lab, fake: FakeGpus) -> None:
    fake.lose(0)
    bench.seen()
    run = bench.submit(waits=False)
    assert lab.wait(run)["result"]["status"] == "ok"
    states = {gpu["index"]: gpu["state"] for gpu in lab.call("gpu.list")["gpus"]}
    assert states[1] == "free"
    assert states[0] == "quarantined"


def test_gpus_that_are_all_sick_let_runs_wait_and_say_so_until_a_person_clears_them(
    lab: Lab, fake: FakeGpus
) -> None:
    fake.remove(1)
    fake.write()
    lab.ready(seconds=40, settle=0)
    bench = Bench(lab, fake)
    first = bench.submit()
    bench.running(first)
    fake.xid(0, 79)
    fake.write()
    wait_until(lambda: lab.call("gpu.list")["gpus"][0]["state"] == "quarantined", "the Xid to be noticed")
    bench.go(1)
    with pytest.raises(Stuck, match=r"GPU 0 is sick: .* arctl gpus --clear 0"):
        lab.wait(first)  # what a sick GPU gave is tainted: it is to be run again
    second = bench.submit(waits=False)
    wait_until(lambda: "sick" in str(bench.view(second)["why"]), "the reason")
    lab.stop()
    lab.start()
    wait_until(lambda: "sick" in str(bench.view(second)["why"]), "the reason, over a restart")
    lab.call("gpu.list", clear=["0"])
    assert lab.wait(second)["result"]["status"] == "ok"


def test_a_driver_that_hangs_takes_down_neither_the_daemon_nor_cpu_runs(
    bench: Bench, lab: Lab, fake: FakeGpus
) -> None:
    fake.hang("nvmlDeviceGetMemoryInfo_v2")
    bench.seen()
    waiting = bench.submit(waits=False)
    assert lab.wait(bench.submit(0.5, waits=False, gpus=0))["result"]["status"] == "ok"
    assert bench.view(waiting)["state"] == "queued"
    assert os.path.exists(lab.home / "daemon.json")


def test_a_process_that_nvml_does_not_name_keeps_the_gpu_from_being_used(
    bench: Bench, lab: Lab, fake: FakeGpus
) -> None:
    fake.gpu(0, used=4000)
    fake.gpu(1, used=4000)
    bench.seen()
    run = bench.submit(waits=False)
    wait_until(lambda: "no process that can be seen" in str(bench.view(run)["why"]), "the reason")
    fake.gpu(1, used=0)
    fake.write()
    assert lab.wait(run)["result"]["status"] == "ok"


def test_an_unknown_gpu_cannot_be_cleared(bench: Bench, lab: Lab) -> None:
    with pytest.raises(ArdaemonError, match="there is no GPU '7'"):
        lab.call("gpu.list", clear=["7"])
    assert Path(lab.home / "daemon.json").exists()


def other_daemon(lab: Lab, fake: FakeGpus) -> Lab:
    """Another daemon on the same box, with the same GPUs and the same folder of leases."""
    other = make()
    other.environment |= fake.environment
    lease_in(other, lab.root / "leases")
    return other


def test_two_daemons_that_decide_at_the_same_moment_never_share_a_card(lab: Lab, fake: FakeGpus) -> None:
    fake.remove(1)
    fake.write()
    other = other_daemon(lab, fake)
    try:
        benches = [Bench(world.ready(seconds=40, settle=0), fake) for world in (lab, other)]
        runs = [bench.submit() for bench in benches]

        def at_work() -> list[int]:
            return [n for n, bench in enumerate(benches) if bench.view(runs[n])["state"] == "running"]

        (winner,) = wait_until(at_work, "one of them to run")
        loser = 1 - winner
        # Nothing is allocated by the winner's view of the other: only the lease tells, or NVML does.
        wait_until(lambda: benches[loser].view(runs[loser])["why"], "the reason")
        assert benches[loser].view(runs[loser])["state"] == "queued"
        benches[winner].go(1)
        benches[loser].running(runs[loser])
        benches[loser].go(1)
        assert benches[loser].lab.wait(runs[loser])["result"]["status"] == "ok"
    finally:
        other.close()


def queued_on_disk(lab: Lab, run_id: str) -> dict[str, object] | None:
    """The run's state in run.json, while that says that it waits."""
    state: dict[str, object] = lab.read(f"runs/{run_id}/run.json")["state"]
    return state if state["state"] == "queued" else None


def test_a_card_that_another_daemon_leases_is_left_alone_though_nothing_is_allocated_there(
    lab: Lab, fake: FakeGpus
) -> None:
    fake.remove(1)
    fake.write()
    other = other_daemon(lab, fake)
    try:
        theirs = Bench(other.ready(seconds=40, settle=0), fake)
        first = theirs.submit(mib=None)
        theirs.running(first)
        mine = Bench(lab.ready(seconds=40, settle=0), fake)
        second = mine.submit(waits=False)
        wait_until(lambda: "another daemon has it" in str(mine.view(second)["why"]), "the reason")
        on_disk = wait_until(lambda: queued_on_disk(lab, second), "its place in the queue, on disk")
        assert on_disk["attempts"] == [], "after a reboot it waits on: no attempt of it can be lost"
        other.kill()  # the job goes on, and so does its lease
        assert mine.view(second)["state"] == "queued"
        lab.kill()
        lab.start()
        wait_until(lambda: "another daemon has it" in str(mine.view(second)["why"]), "the reason again")
        theirs.go(1)
        result = lab.wait(second)["result"]
        assert (result["status"], result["attempts"]) == ("ok", 1)
    finally:
        other.close()


@pytest.mark.promise("checks")
def test_another_daemon_gets_no_card_on_which_a_check_is_at_work(lab: Lab, fake: FakeGpus) -> None:
    fake.remove(1)
    fake.write()
    seen, go = staying_check(lab)
    lab.ready(seconds=40, settle=0, checks=[f"{sys.executable} check.py"])
    mine = lab.submit()["run_id"]
    wait_until(seen.exists, "the check")
    other = other_daemon(lab, fake)
    try:
        theirs = Bench(other.ready(seconds=40, settle=0), fake)
        run = theirs.submit(waits=False)
        wait_until(lambda: "another daemon has it" in str(theirs.view(run)["why"]), "the reason")
        go.touch()
        assert lab.wait(mine)["result"]["verdict"] == "advance"
        assert other.wait(run)["result"]["status"] == "ok"
    finally:
        other.close()


def test_a_wide_run_is_not_starved_by_narrow_ones_that_come_after_it(bench: Bench, lab: Lab) -> None:
    first, second = bench.submit(), bench.submit()
    bench.running(first, second)
    wide = bench.submit(gpus=2)
    narrow = [bench.submit() for _ in range(3)]
    bench.go(1)
    lab.wait(first)
    wait_until(lambda: bench.view(wide)["position"] == 1, "the wide run to be next")
    assert [bench.view(run)["state"] for run in narrow] == ["queued"] * 3, "a card is kept for the wide one"
    bench.go(2)
    bench.running(wide)
    bench.go(3, 4, 5, 6)
    for run in (wide, *narrow):
        assert lab.wait(run)["result"]["status"] == "ok"


def test_memory_that_is_not_given_back_holds_the_card(bench: Bench, lab: Lab, fake: FakeGpus) -> None:
    fake.remove(1)
    fake.write()
    first, second = bench.submit(), bench.submit(waits=False)
    bench.running(first)
    fake.gpu(0, used=4000)
    fake.write()
    bench.go(1)
    lab.wait(first)
    wait_until(lambda: "given back" in str(bench.view(second)["why"]), "the reason")
    fake.gpu(0, used=0)
    fake.write()
    assert lab.wait(second)["result"]["status"] == "ok"


def test_a_driver_that_vanishes_with_runs_in_flight_hurts_no_run_and_the_next_waits(
    bench: Bench, lab: Lab, fake: FakeGpus
) -> None:
    first = bench.submit()
    bench.running(first)
    sampled(lab, first, '"vram_mb":2000')
    fake.error("nvmlDeviceGetCount_v2", UNINITIALIZED)
    fake.error("nvmlInit_v2", DRIVER_NOT_LOADED)
    fake.write()
    wait_until(lambda: lab.call("gpu.list")["state"] != "ok", "the loss to be noticed")
    second = bench.submit(waits=False)
    bench.go(1)
    result = lab.wait(first)["result"]
    assert (result["status"], result["peak_vram_mb"]) == ("ok", 2000.0)
    assert bench.view(second)["state"] == "queued"
    assert lab.wait(bench.submit(0.5, waits=False, gpus=0))["result"]["status"] == "ok"


def test_a_program_of_its_own_fault_has_the_xid_in_its_reason_and_the_card_goes_on(
    bench: Bench, lab: Lab, fake: FakeGpus
) -> None:
    lab.write(fake.allocation(2000) + WAITS.format(go=str(lab.root / "go1")) + "raise SystemExit(1)\n")
    run = lab.submit()["run_id"]
    bench.running(run)
    sampled(lab, run, '"vram_mb":2000')
    for index in (0, 1):
        fake.xid(index, 31)
    fake.write()
    assert lab.call("gpu.list")["gpus"], "a look, in which the driver tells of it"
    bench.go(1)
    reason = lab.wait(run)["result"]["reason"]
    assert "Xid 31" in reason
    assert {gpu["state"] for gpu in lab.call("gpu.list")["gpus"]} <= {"free", "held"}
