"""Many runs that wait, laid out as their submits do, but for the copies: no daemon needs an hour for them."""

from collections.abc import Mapping
from pathlib import Path

from ardaemon.core.layout import Experiment, run_name
from ardaemon.core.model import Settings
from ardaemon.core.run_record import Active
from ardaemon.host import state
from ardaemon.pipeline.submit import entry_path
from tests.support.folders import record

TEXT = 'print("val/loss: 1.0")\n'


def lay_out(
    made: Experiment, entries: Path, numbers: range, environment: Mapping[str, str], **fields: object
) -> list[Path]:
    """Lay out runs of these numbers, in their order, and return their active entries."""
    paths = []
    settings = Settings(seconds=20, runner="python train.py")
    for number in numbers:
        run = made.run(run_name(number))
        run.folder.mkdir()
        run.train.write_text(TEXT)
        given = {"submit_id": run.run_id, "settings": settings, **fields}
        run.record.write_bytes(state.encode(record(run.run_id, **given)))
        active = Active(
            folder=str(made.folder),
            run_id=run.run_id,
            seq=number,
            submit_id=run.run_id,
            environment=dict(environment),
        )
        paths.append(entry_path(entries, made, run.run_id))
        paths[-1].write_bytes(state.encode(active))
        paths[-1].chmod(0o600)
    return paths
