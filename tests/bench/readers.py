"""Our reader of event files beside TensorBoard's own, on the same file: `python -m tests.bench.readers`.

TensorBoard is no dependency: FRAMEWORKS_PYTHON names the interpreter that has it (`make test-frameworks`
makes one); without, ours is measured alone. Each reading is a process of its own, so that its memory is its
own; the readers take turns. Exit code 1 if a target is missed.
"""

import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import google_crc32c

from tests.bench.report import Figure, Section, markdown
from tests.metrics.event_files import scalar, version

SCALARS = int(os.environ.get("SCALARS", "1000000"))
ROUNDS = 3
SECONDS_MAX, MEGABYTES_MAX, TIMES_MIN = 4, 100, 3
ROOT = Path(__file__).parents[2]

_MEASURE = """
import json, sys, time
{setup}
began, cpu = time.perf_counter(), time.process_time()
{read}
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([seconds, cpu, int(status["VmHWM"].split()[0]) / 1024, count, last]))
"""
_OURS = _MEASURE.format(
    setup="""
from pathlib import Path
from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query
from ardaemon.metrics.tensorboard import TensorboardBackend
run = Path(sys.argv[1])
evidence = AttemptOutput(
    log=run / "a1/run.log", run_folder=run, attempt_folder=run / "a1", project=run.parent
)
query = Query(Primary(metric="val/loss", direction="min"))
""",
    read="""
found = TensorboardBackend().read(evidence, query)
last = found.value
assert found.problem is None, found.problem
count = sum(found.metrics[tag].step + 1 for tag in ("train/loss", "val/loss"))
""",
)
_THEIRS = _MEASURE.format(
    setup="from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, SCALARS",
    read="""
found = EventAccumulator(sys.argv[1], size_guidance={SCALARS: 0})
found.Reload()
last = found.Scalars("val/loss")[-1].value
count = sum(len(found.Scalars(tag)) for tag in ("train/loss", "val/loss"))
""",
)


def written(folder: Path) -> Path:
    """One file with the training's loss and the validation's in turns, as SummaryWriter writes them."""
    path = folder / "run" / "events.out.tfevents.1700000000.host.1.0"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(_record(version()))
        for number in range(SCALARS):
            tag = "val/loss" if number % 2 else "train/loss"
            file.write(_record(scalar(tag, 1 / (number + 1), number // 2, 1.7e9 + number)))
    return path


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """As tests.metrics.event_files has it, but fast."""
    found = google_crc32c.value(data)
    return struct.pack("<I", ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def measured(python: str, program: str, folder: Path) -> tuple[float, float, float]:
    """Seconds, of them on the CPU, and megabytes at the most; the answer is checked."""
    ended = subprocess.run(
        [python, "-c", program, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, cpu, megabytes, count, last = json.loads(ended.stdout)
    expected = struct.unpack("<f", struct.pack("<f", 1 / SCALARS))[0]
    assert (count, last) == (SCALARS, expected), (count, last)
    return seconds, cpu, megabytes


def medians(rows: list[tuple[float, float, float]]) -> list[float]:
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def section(folder: Path) -> Section:
    """Both readers in turns."""
    path = written(folder)
    contenders = {"ours": (sys.executable, _OURS)}
    if other := os.environ.get("FRAMEWORKS_PYTHON"):
        contenders["theirs"] = (other, _THEIRS)
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, (python, program) in contenders.items():
            rows[name].append(measured(python, program, path.parent))
    seconds, cpu, megabytes = medians(rows["ours"])
    figures = [
        Figure("`tensorboard` backend, every checksum checked", seconds, "s", SECONDS_MAX),
        Figure("… of it on the CPU", cpu, "s"),
        Figure("… memory of its process", megabytes, "MB", MEGABYTES_MAX),
    ]
    if "theirs" in rows:
        their_seconds, their_cpu, their_megabytes = medians(rows["theirs"])
        figures += [
            Figure("EventAccumulator, `size_guidance={SCALARS: 0}`", their_seconds, "s"),
            Figure("… of it on the CPU", their_cpu, "s"),
            Figure("… memory of its process", their_megabytes, "MB"),
            Figure("EventAccumulator / ours, CPU", their_cpu / cpu, "times", TIMES_MIN, at_least=True),
        ]
    how = (
        f"One file of {SCALARS:,} scalars under two tags, {path.stat().st_size / 1e6:.0f} MB, in the page"
        f" cache; imports are not counted. {ROUNDS} rounds in turns, each reading a process of its own."
    )
    return Section("Reading event files", how, tuple(figures))


def main() -> int:
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = section(Path(folder))
        print(markdown([found], time.monotonic() - began, Path(folder), load), end="")
    return 0 if all(figure.met for figure in found.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
