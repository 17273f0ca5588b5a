"""What NVML says, each error of it, and what is made of that: the real binding in a real worker."""

import os
import subprocess
import sys

import pytest
from anyio.from_thread import BlockingPortal

from ardaemon.core.gpus import GpuProcess, GpuReading
from ardaemon.gpus.nvml import Limits, Nvml
from tests.support import nvml as codes
from tests.support.nvml import FakeGpus
from tests.support.nvml.asked import EAGER, Asked, children

# --- what is read ---


def test_a_gpu_is_read_whole(asked: Asked, fake: FakeGpus) -> None:
    me = os.getpid()
    gpu = fake.gpu(1, name="NVIDIA H100 80GB HBM3", used=300, utilisation=42, temperature=71, power=612.5)
    fake.process(1, me, 1200)
    fake.process(1, os.getppid(), 100, graphics=True)
    fake.write()
    assert asked.gpu(1) == GpuReading(
        uuid=gpu.uuid,
        index=1,
        name="NVIDIA H100 80GB HBM3",
        total_mb=24000.0,
        used_mb=1600.0,
        utilisation=42.0,
        temperature=71.0,
        power_w=612.5,
        processes=(
            GpuProcess(pid=me, used_mb=1200.0),
            GpuProcess(pid=os.getppid(), used_mb=100.0, graphics=True),
        ),
    )
    assert asked.read().driver == fake.driver


def test_what_costs_much_is_asked_on_request_alone_and_the_fan_never(asked: Asked, fake: FakeGpus) -> None:
    fake.gpu(0, temperature=71, throttle=0x40)
    fake.process(0, os.getpid(), 100, graphics=True)
    fake.write()
    fake.listen()
    gpu = asked.read().gpus[0]
    assert (gpu.temperature, gpu.power_w, gpu.throttled, gpu.processes) == (None, None, None, ())
    words = ("Temperature", "Power", "Clocks", "Graphics", "Fan")
    assert not [call for call in fake.calls() if any(word in call for word in words)]
    asked.read(thorough=True, graphics=True)
    assert not [call for call in fake.calls() if "Fan" in call]
    assert len([call for call in fake.calls() if "MigMode" in call]) == len(fake.gpus)  # of two looks


def test_a_look_says_what_cpu_time_it_took(asked: Asked) -> None:
    assert 0 < asked.read().cpu_s < 1


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (0x0, None),
        (0x1 | 0x4, None),  # idle, power cap: normal
        (0x40 | 0x8, "hw_thermal"),
        (0x20 | 0x80, "sw_thermal,power_brake"),
        (0x8, "hw_slowdown"),
    ],
)
def test_it_says_why_a_gpu_is_slowed_down(
    asked: Asked, fake: FakeGpus, reasons: int, words: str | None
) -> None:
    fake.gpu(0, throttle=reasons)
    fake.write()
    assert asked.gpu().throttled == words


def test_what_a_process_held_goes_with_it(asked: Asked, fake: FakeGpus) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        fake.process(0, process.pid, 500)
        fake.write()
        assert asked.gpu().used_mb == 500
        process.kill()
    assert asked.gpu().used_mb == 0
    assert asked.gpu().processes == ()


def test_a_job_allocates_where_its_environment_says(asked: Asked, fake: FakeGpus) -> None:
    program = f"import os\n{fake.allocation(700)}print('there', flush=True)\nopen(0).read()"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes) as job:  # type: ignore[call-overload]
        assert job.stdout.readline() == b"there\n"
        assert asked.gpu(1).processes == (GpuProcess(pid=job.pid, used_mb=700.0),)
        assert asked.gpu(0).processes == ()
        job.stdin.close()
    assert asked.gpu(1).used_mb == 0


# --- one row of the error table each ---


@pytest.mark.parametrize("code", [codes.DRIVER_NOT_LOADED, codes.LIBRARY_NOT_FOUND])
def test_without_a_driver_it_is_cpu_mode_and_looked_for_again(
    asked: Asked, fake: FakeGpus, code: int
) -> None:
    fake.error("nvmlInitWithFlags", code)
    fake.write()
    found = asked.read()
    assert (found.state, found.gpus) == ("none", ())
    assert not asked.workers
    fake.heal()
    fake.write()
    assert asked.read().state == "ok"


def test_without_a_driver_it_is_not_looked_for_at_every_read(asked: Asked, fake: FakeGpus) -> None:
    asked.limit(Limits(probe=1000))
    fake.error("nvmlInitWithFlags", codes.DRIVER_NOT_LOADED)
    fake.write()
    first = asked.read()
    fake.heal()
    fake.write()
    second = asked.read()
    assert (second.state, second.why) == (first.state, first.why) == ("none", "DRIVER_NOT_LOADED")
    assert not asked.workers


def test_without_a_library_no_process_is_started(portal: BlockingPortal, fake: FakeGpus) -> None:
    (fake.folder / "usr/lib").mkdir(parents=True)
    before = children()
    nvml = Nvml(limits=EAGER, environment={"PATH": os.environ["PATH"]}, root=str(fake.folder))
    found = portal.call(nvml.read)
    assert (found.state, found.why, found.gpus) == ("none", "no NVIDIA driver", ())
    assert nvml._worker is None
    assert children() == before


def test_a_library_that_is_none_is_cpu_mode(asked: Asked, fake: FakeGpus) -> None:
    (fake.folder / codes.LIBRARY).write_text("not a library")
    assert (asked.read().state, asked.read().why) == ("none", "LIBRARY_NOT_FOUND")


def test_a_driver_that_vanishes_leaves_its_gpus_as_gone(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    fake.error("nvmlInitWithFlags", codes.DRIVER_NOT_LOADED)
    fake.error("nvmlDeviceGetCount_v2", codes.UNINITIALIZED)
    fake.write()
    assert asked.read().state == "unknown"
    found = asked.read()
    assert found.state == "none"
    assert [(gpu.index, gpu.total_mb, gpu.fault) for gpu in found.gpus] == [
        (0, 80000, "gone"),
        (1, 24000, "gone"),
    ]
    fake.heal()
    fake.write()
    assert [gpu.fault for gpu in asked.read().gpus] == [None, None]


def test_a_reloaded_driver_needs_a_new_worker_and_gets_it(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    old = asked.worker()
    fake.driver = "575.51.03"
    fake.install()
    fake.write()
    found = asked.read()
    assert (found.state, found.why) == ("unknown", "LIB_RM_VERSION_MISMATCH")
    assert [(gpu.index, gpu.used_mb, gpu.processes) for gpu in found.gpus] == [
        (0, None, None),
        (1, None, None),
    ]
    assert asked.read().driver == "575.51.03"
    assert asked.worker() != old


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetMemoryInfo_v2"])
@pytest.mark.parametrize("code", [codes.MISMATCH, codes.UNINITIALIZED])
def test_a_library_out_of_step_is_unknown_until_a_new_worker_succeeds(
    asked: Asked, fake: FakeGpus, call: str, code: int
) -> None:
    fake.error(call, code)
    fake.write()
    assert [asked.read().state for _ in range(3)] == ["unknown"] * 3
    assert not asked.workers
    fake.heal()
    fake.write()
    assert asked.read().state == "ok"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (codes.GPU_IS_LOST, "GPU_IS_LOST"),
        (codes.RESET_REQUIRED, "RESET_REQUIRED"),
        (codes.GPU_NOT_FOUND, "GPU_NOT_FOUND"),
    ],
)
def test_a_lost_gpu_is_a_fault_of_that_one(asked: Asked, fake: FakeGpus, code: int, name: str) -> None:
    asked.gpu()
    fake.gpu(1, used=300)
    fake.lose(0, code)
    fake.write()
    lost = asked.gpu(0)
    assert (lost.fault, lost.used_mb, lost.processes) == (name, None, None)
    assert (lost.uuid, lost.total_mb) == (fake.gpus[0].uuid, 80000)
    assert (asked.gpu(1).fault, asked.gpu(1).used_mb) == (None, 300)
    fake.heal()
    fake.write()
    assert asked.gpu(0).fault is None


@pytest.mark.parametrize(
    "call", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID", "nvmlDeviceGetMemoryInfo_v2"]
)
def test_a_new_worker_knows_which_gpu_it_is_that_was_lost(asked: Asked, fake: FakeGpus, call: str) -> None:
    asked.gpu()
    fake.error(call, codes.GPU_IS_LOST, gpu=0)
    fake.write()
    asked.portal.call(asked.nvml.stop)
    assert (asked.gpu(0).uuid, asked.gpu(0).fault) == (fake.gpus[0].uuid, "GPU_IS_LOST")
    assert len(asked.read().gpus) == 2


def test_a_gpu_that_never_told_its_uuid_is_there_and_faulty(asked: Asked, fake: FakeGpus) -> None:
    fake.error("nvmlDeviceGetHandleByIndex_v2", codes.GPU_IS_LOST, gpu=0)
    fake.write()
    assert [(gpu.index, gpu.fault) for gpu in asked.read().gpus] == [(0, "GPU_IS_LOST"), (1, None)]
    fake.heal()
    fake.write()
    assert [gpu.uuid for gpu in asked.read().gpus] == [fake.gpus[0].uuid, fake.gpus[1].uuid]


def test_all_gpus_lost_are_all_faulty(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    for index in (0, 1):
        fake.lose(index)
    fake.write()
    found = [asked.read() for _ in range(5)][-1]
    assert [gpu.fault for gpu in found.gpus] == ["GPU_IS_LOST"] * 2


def test_a_gpu_that_is_not_listed_any_more_is_gone_until_it_is_back(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    away, uuid = fake.gpus[1], fake.gpus[1].uuid
    fake.remove(1)
    fake.write()
    gone = asked.read().gpus[1]
    assert (gone.uuid, gone.fault, gone.used_mb, gone.processes) == (uuid, "gone", None, None)
    fake.gpus[1] = away
    fake.write()
    assert asked.gpu(1).fault is None
    fake.remove(1)
    fake.write()
    assert len(asked.read().gpus) == 2
    asked.nvml.forget(uuid)
    assert len(asked.read().gpus) == 1


def test_an_unknown_error_is_a_fault_at_the_third_time(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    fake.error("nvmlDeviceGetComputeRunningProcesses_v3", codes.UNKNOWN, gpu=0)
    fake.write()
    found = [asked.gpu(0) for _ in range(3)]
    assert [(gpu.fault, gpu.error, gpu.processes) for gpu in found] == [
        (None, "UNKNOWN", None),
        (None, "UNKNOWN", None),
        ("UNKNOWN", "UNKNOWN", None),
    ]
    assert asked.gpu(1).fault is asked.gpu(1).error is None
    fake.heal()
    fake.write()
    assert asked.gpu(0).fault is asked.gpu(0).error is None


def test_unknown_errors_that_pass_are_no_fault(asked: Asked, fake: FakeGpus) -> None:
    for _ in range(3):
        fake.error("nvmlDeviceGetMemoryInfo_v2", codes.UNKNOWN, gpu=0)
        fake.write()
        assert asked.reads(2).fault is None
        fake.heal()
        fake.write()
        assert asked.gpu().error is None


def test_unknown_errors_of_all_gpus_are_answered_by_a_new_worker(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    old = asked.worker()
    for index in (0, 1):
        fake.error("nvmlDeviceGetMemoryInfo_v2", codes.UNKNOWN, gpu=index)
    fake.write()
    assert [asked.read().state for _ in range(3)] == ["ok", "ok", "unknown"]
    fake.heal()
    fake.write()
    assert [gpu.fault for gpu in asked.read().gpus] == [None, None]
    assert asked.worker() != old


FIELDS = {
    "used_mb": ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"),
    "utilisation": ("nvmlDeviceGetUtilizationRates",),
    "temperature": ("nvmlDeviceGetTemperature",),
    "power_w": ("nvmlDeviceGetPowerUsage",),
    "throttled": ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
    "processes": tuple(f"nvmlDeviceGetComputeRunningProcesses_v{n}" for n in (3, 2)),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "code",
    [codes.NOT_SUPPORTED, codes.NO_PERMISSION, codes.FUNCTION_NOT_FOUND, codes.VERSION_MISMATCH],
)
def test_what_a_gpu_cannot_say_is_null_and_not_asked_again(
    asked: Asked, fake: FakeGpus, field: str, code: int
) -> None:
    for call in FIELDS[field]:
        fake.error(call, code, gpu=0)
    fake.process(0, os.getpid(), 100)
    fake.write()
    fake.listen()
    gpu = asked.read(thorough=True).gpus[0]
    assert getattr(gpu, field) is None
    assert gpu.fault is gpu.error is None
    for other in FIELDS.keys() - {field, "throttled"}:
        assert getattr(gpu, other) is not None
    asked.read(thorough=True)
    calls = fake.calls()
    assert [calls.count(f"{call} {fake.gpus[0].uuid}") for call in FIELDS[field]] == [1] * len(FIELDS[field])


@pytest.mark.parametrize("code", [codes.NO_DATA, codes.NOT_FOUND])
@pytest.mark.parametrize("field", ["used_mb", "utilisation", "processes"])
def test_no_sample_is_null_this_time(asked: Asked, fake: FakeGpus, field: str, code: int) -> None:
    fake.error(FIELDS[field][0], code, gpu=0)
    fake.write()
    gpu = asked.reads(4)
    assert getattr(gpu, field) is gpu.fault is gpu.error is None
    fake.heal()
    fake.write()
    assert getattr(asked.gpu(), field) is not None


def test_a_gpu_that_this_process_may_not_use_is_not_there(asked: Asked, fake: FakeGpus) -> None:
    fake.error("nvmlDeviceGetHandleByIndex_v2", codes.NO_PERMISSION, gpu=0)
    fake.write()
    (gpu,) = asked.read().gpus
    assert (gpu.uuid, gpu.index) == (fake.gpus[1].uuid, 0)


# --- events ---


def test_each_xid_is_heard_once_in_order(asked: Asked, fake: FakeGpus) -> None:
    fake.xid(0, 62)
    fake.write()
    assert asked.gpu().xids == (), "it was before anybody listened"
    for number in (31, 79, 31):
        fake.xid(0, number)
    fake.xid(1, 13)
    fake.write()
    assert [gpu.xids for gpu in asked.read().gpus] == [(31, 79, 31), (13,)]
    assert [gpu.xids for gpu in asked.read().gpus] == [(), ()]
    assert [gpu.xids for found in asked.heard for gpu in found.gpus if gpu.xids] == [(31, 79, 31), (13,)]


def test_the_xid_of_a_gpu_that_is_lost_by_it_is_heard(asked: Asked, fake: FakeGpus) -> None:
    asked.gpu()
    fake.xid(0, 79)
    fake.lose(0)
    fake.write()
    gpu = asked.read().gpus[0]
    assert (gpu.fault, gpu.xids) == ("GPU_IS_LOST", (79,))


@pytest.mark.parametrize(
    "call", ["nvmlEventSetCreate", "nvmlDeviceGetSupportedEventTypes", "nvmlDeviceRegisterEvents"]
)
def test_a_driver_without_events_has_all_the_rest(asked: Asked, fake: FakeGpus, call: str) -> None:
    fake.error(call, codes.NOT_SUPPORTED)
    fake.xid(0, 79)
    fake.write()
    gpu = asked.reads(4)
    assert (gpu.fault, gpu.error, gpu.xids, gpu.used_mb) == (None, None, (), 0)


# --- what cannot be ---


def test_pids_that_cannot_be_are_refused_and_counted(asked: Asked, fake: FakeGpus) -> None:
    for pid in (0, 4294967295, codes.GONE_PID + 1):
        fake.process(0, pid, 100, ghost=True)
    fake.process(0, os.getpid(), 200)
    fake.write()
    gpu = asked.gpu()
    assert gpu.processes == (GpuProcess(pid=os.getpid(), used_mb=200.0),)
    assert gpu.refused == 3


def test_a_list_of_garbage_is_asked_for_in_the_older_form(asked: Asked, fake: FakeGpus) -> None:
    fake.process(0, os.getpid(), 200)
    fake.garbage("nvmlDeviceGetComputeRunningProcesses_v3", gpu=0)
    fake.write()
    fake.listen()
    for _ in range(2):
        gpu = asked.gpu()
        assert (gpu.processes, gpu.refused) == ((GpuProcess(pid=os.getpid(), used_mb=200.0),), 0)
    assert (
        sum("Compute" in call and "_v3" in call and fake.gpus[0].uuid in call for call in fake.calls()) == 2
    )


def test_memory_that_cannot_be_is_not_believed(asked: Asked, fake: FakeGpus) -> None:
    fake.process(0, os.getpid(), 90000)
    fake.write()
    gpu = asked.gpu()
    assert gpu.processes == (GpuProcess(pid=os.getpid(), used_mb=None),)
    assert (gpu.total_mb, gpu.used_mb) == (80000, None)


def test_memory_that_is_not_told_is_null(asked: Asked, fake: FakeGpus) -> None:
    fake.process(0, os.getpid(), None)
    fake.write()
    assert asked.gpu().processes == (GpuProcess(pid=os.getpid(), used_mb=None),)


# --- MIG ---


def test_mig_instances_are_devices_of_their_own(asked: Asked, fake: FakeGpus) -> None:
    fake.gpu(1, temperature=66, throttle=0x20)
    first, second = fake.mig(1, 0, total=9728), fake.mig(1, 3, total=19968, used=100)
    fake.process(1, os.getpid(), 700, instance=3)
    fake.write()
    found = asked.read(thorough=True).gpus
    assert [gpu.uuid for gpu in found] == [fake.gpus[0].uuid, fake.gpus[1].uuid, first.uuid, second.uuid]
    assert [gpu.mig for gpu in found] == [False, True, False, False]
    assert [gpu.parent for gpu in found] == [None, None, fake.gpus[1].uuid, fake.gpus[1].uuid]
    assert (found[1].utilisation, found[2].utilisation) == (None, None)
    assert (found[2].processes, found[3].processes) == ((), (GpuProcess(pid=os.getpid(), used_mb=700.0),))
    assert (found[3].index, found[3].total_mb, found[3].used_mb) == (1, 19968, 800)
    assert (found[3].temperature, found[3].throttled, found[3].power_w) == (66, "sw_thermal", None)


def test_a_gpu_in_mig_mode_without_instances_says_so(asked: Asked, fake: FakeGpus) -> None:
    fake.gpu(0, mig=1)
    fake.gpu(1, mig=2)
    fake.write()
    assert [gpu.mig for gpu in asked.read().gpus] == [True, False]


def test_instances_share_the_fate_of_their_gpu(asked: Asked, fake: FakeGpus) -> None:
    fake.mig(1, 0)
    fake.write()
    asked.gpu()
    fake.lose(1)
    fake.write()
    assert [gpu.fault for gpu in asked.read().gpus] == [None, "GPU_IS_LOST", "GPU_IS_LOST"]
    fake.heal()
    fake.gpus[1].instances.clear()
    fake.write()
    assert [gpu.fault for gpu in asked.read().gpus] == [None, None, "gone"]


def test_an_instance_whose_processes_may_not_be_seen_does_not_look_idle(asked: Asked, fake: FakeGpus) -> None:
    part = fake.mig(0, 0)
    for call in FIELDS["processes"]:
        part.faults[call] = f"error {call} {codes.NO_PERMISSION}"
    fake.write()
    assert asked.read().gpus[1].processes is None


# --- older drivers ---


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (["nvmlDeviceGetComputeRunningProcesses_v3"], None),
        (["nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"], "processes"),
        (["nvmlDeviceGetCurrentClocksEventReasons"], None),
        (["nvmlDeviceGetUtilizationRates"], "utilisation"),
        (["nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount"], None),
        (["nvmlEventSetCreate", "nvmlEventSetWait_v2"], None),
        (["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"], "used_mb"),
        (["nvmlDeviceGetTemperature"], "temperature"),
    ],
)
def test_what_an_older_driver_lacks_is_asked_in_the_older_way_or_null(
    asked: Asked, fake: FakeGpus, missing: list[str], lost: str | None
) -> None:
    fake.install(tuple(missing))
    fake.gpu(0, throttle=0x40)
    fake.process(0, os.getpid(), 200)
    fake.write()
    gpu = asked.reads(4)
    assert gpu.fault is gpu.error is None
    assert [field for field in FIELDS if getattr(gpu, field) is None] == ([lost] if lost else [])


def test_the_older_memory_call_has_the_drivers_reserve_in_it(asked: Asked, fake: FakeGpus) -> None:
    fake.install(("nvmlDeviceGetMemoryInfo_v2",))
    fake.gpu(0, used=1000, reserved=300)
    fake.write()
    assert asked.gpu().used_mb == 1300
