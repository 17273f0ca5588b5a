"""Framework × backend × how the run ended: what the daemon read of it, beside what the script had reported.

Each cell is a real run of a real framework under a real daemon. `make metrics-table` writes them to
docs/metrics.md.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.table import CELL, ENDINGS, Cell
from tests.support.lab import Lab
from tests.support.look import into

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]

SCRIPTS = Path(__file__).with_name("scripts")
LIMIT_S = (
    3  # from the last row, as `ending.py` has it; a run that is not to meet it says never that it is ready
)
STARTUP_S = 200  # the imports of these frameworks take seconds, on a busy machine many
VERDICTS = {
    "normal": ("ok", "advance"),
    "exception": ("crash", "crash"),
    "deadline": ("timeout", "timeout"),
    "sigkill": ("crash", "crash"),
}


@dataclass(frozen=True)
class Case:
    """One row: a script, the backend that reads it, and what is expected to be lost at which ending."""

    framework: str
    script: str
    backend: str
    metric: str = "val/loss"
    path: str | None = None
    lost: dict[str, str] = field(default_factory=dict)  # ending -> what may be read; else "all" is

    def __str__(self) -> str:
        return f"{self.script}-{self.backend}"


KILLED = ("deadline", "sigkill")
CASES = (
    Case("PyTorch, `print`", "plain_print", "log"),
    Case("JSON lines, line buffered", "json_lines", "jsonl", path="metrics.jsonl"),
    Case("torch `SummaryWriter`", "summary_writer", "tensorboard", path="runs"),
    # Its thread dies with the interpreter, whatever waits in its queue.
    Case(
        "torch `SummaryWriter`, never closed",
        "summary_writer_open",
        "tensorboard",
        path="runs",
        lost={"normal": "some|all", "exception": "some|all"},
    ),
    # It writes when it is closed, or when ten events wait; a kill leaves an empty file.
    Case("tensorboardX", "tensorboard_x", "tensorboard", path="runs", lost=dict.fromkeys(KILLED, "none")),
    Case("Hydra + `SummaryWriter`", "hydra_writer", "tensorboard", path="outputs"),
    Case("wandb, offline", "wandb_log", "wandb"),
    Case("Hugging Face Trainer", "hf_trainer", "wandb", "eval/loss"),
    Case("Hugging Face Trainer", "hf_trainer", "tensorboard", "eval/loss"),
    Case("Hugging Face Trainer", "hf_trainer", "trainer_state", "eval_loss", path="output"),
    Case("Lightning, `CSVLogger`", "lightning_fit", "csv", path="lightning_logs"),
    Case("Lightning, `TensorBoardLogger`", "lightning_fit", "tensorboard", path="lightning_logs"),
    Case("trackio", "trackio_log", "trackio"),
    Case("mlflow", "mlflow_log", "mlflow"),
)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_read_of_a_run(
    case: Case, ending: str, lab: Lab, frameworks: str, record_property: Callable[[str, object], None]
) -> None:
    result = finished(lab, case, ending, frameworks)
    kind, said = compared(truth(lab), curve(lab), result)
    cell = Cell(CASES.index(case), case.framework, case.backend, ending, said)
    record_property(CELL, tuple(cell))  # plain: it goes from process to process
    told = said, result["reason"], (lab.folder / "runs/r0001/run.log").read_text()[-2000:]
    assert (result["status"], result["verdict"]) == VERDICTS[ending], told
    assert kind in case.lost.get(ending, "all").split("|"), told
    assert not foreign_libraries(lab.pid)


# Of two that hold the metric, the one that names its steps for certain.
AUTO = {"hf_trainer": "wandb", "lightning_fit": "tensorboard"}


@pytest.mark.parametrize(
    "case", {case.script: case for case in reversed(CASES)}.values(), ids=lambda case: case.script
)
def test_auto_finds_the_source_and_says_which_it_took(case: Case, lab: Lab, frameworks: str) -> None:
    result = finished(lab, replace(case, backend="auto"), "normal", frameworks)
    assert result["metrics_source"].split()[0] == AUTO.get(case.script, case.backend), result
    assert (result["status"], result["verdict"]) == VERDICTS["normal"]


def finished(lab: Lab, case: Case, ending: str, python: str) -> dict[str, Any]:
    """Run the script under a daemon of its own; its result."""
    shutil.copy(SCRIPTS / "ending.py", lab.project)
    lab.environment |= {"PATH": f"{Path(python).parent}:{lab.environment['PATH']}", "MATRIX_ENDING": ending}
    lab.environment["OMP_NUM_THREADS"] = "1"  # models this small only lose time by more
    lab.environment.pop("PYTHONPATH")  # the daemon's own; what a person has is none
    lab.start(PYTHONPATH=str(Path(__file__).parents[2]))
    lab.init((SCRIPTS / f"{case.script}.py").read_text(), primary_metric=case.metric)
    settings: dict[str, Any] = {} if case.path is None else {"metric_path": case.path}
    lab.session(seconds=LIMIT_S, startup=STARTUP_S, metrics=case.backend, settle=5, **settings)
    run_id = lab.submit()["run_id"]
    while (answer := lab.wait(run_id, timeout=20)).get("result") is None:
        pass  # a connection waits a minute at most, and the test has its own limit
    found: dict[str, Any] = answer["result"]
    return found


def truth(lab: Lab) -> list[tuple[int, float]]:
    """Step and value of each row that the script had given to its framework."""
    lines = (lab.folder / "runs/r0001/job/told.jsonl").read_text().splitlines()
    return [(step, value) for step, value in map(json.loads, lines)]


def curve(lab: Lab) -> list[float]:
    """The values of the primary metric that the daemon has read."""
    found = next(iter((lab.folder / "runs/r0001").glob("**/curve.jsonl")), None)
    return [] if found is None else [json.loads(line)["value"] for line in found.read_text().splitlines()]


def compared(rows: list[tuple[int, float]], read: list[float], result: dict[str, Any]) -> tuple[str, str]:
    """Whether all, some or none of the rows were read, and the same for a reader of the table."""
    if not read:
        return "none", "nothing"
    assert len(read) <= len(rows)
    expected = [value for _, value in rows[: len(read)]]
    assert all(math.isclose(one, other, rel_tol=1e-5) for one, other in zip(read, expected, strict=True))
    assert math.isclose(result["primary"]["value"], expected[-1], rel_tol=1e-5)
    return ("all", f"all {len(rows)}") if len(read) == len(rows) else ("some", f"{len(read)} of {len(rows)}")


def foreign_libraries(pid: int) -> set[str]:
    """The host project's libraries that a process has loaded; the daemon has none."""
    names = {line.split("/")[-1] for line in (into(pid) / "maps").read_text().splitlines() if "/" in line}
    return {name for name in names if name.startswith(("libtorch", "libarrow", "libprotobuf"))}
