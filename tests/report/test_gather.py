"""The runs are taken in by pieces, so that nobody waits for a long history; what is torn is passed over."""

from pathlib import Path

import msgspec

from ardaemon.core.layout import Experiment, Project
from ardaemon.report.gather import PIECE, Pass
from tests.support.histories import history


def with_facts(project: Path, data: bytes) -> Experiment:
    experiment = Project(project).experiment("261122-lr")
    experiment.folder.mkdir(parents=True)
    experiment.facts.write_bytes(data)
    return experiment


def test_each_step_takes_in_a_piece_and_all_steps_everything(tmp_path: Path) -> None:
    runs = list(history(5 * PIECE + 7))
    experiment = with_facts(tmp_path, b"".join(msgspec.json.encode(run) + b"\n" for run in runs))
    taken: list[str] = []
    work, sizes = Pass(experiment, lambda run: taken.append(run.run_id)), [0]
    while work.step():
        sizes.append(len(taken))
    assert sizes == [PIECE * n for n in range(6)]
    assert taken == [run.run_id for run in runs]
    assert not work.step(), "asked once more it has nothing more"


def test_a_torn_line_and_no_file_are_no_fault(tmp_path: Path) -> None:
    (run,) = history(1)
    line = msgspec.json.encode(run)
    experiment = with_facts(tmp_path, b"{broken\n" + line + b"\n" + line[:40])
    taken: list[str] = []
    assert not Pass(experiment, lambda run: taken.append(run.run_id)).step()
    assert taken == ["r0001"]
    experiment.facts.unlink()
    assert not Pass(experiment, lambda run: taken.append(run.run_id)).step()
