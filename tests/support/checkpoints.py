"""Runs that leave checkpoints, without a daemon: the same files that a real one has."""

import json
import struct
import zipfile
from pathlib import Path

from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.host import state
from ardaemon.pipeline.ended import Ended
from tests.pipeline.test_apply import ended

GLOB = Settings(seconds=1, checkpoint_glob="{run_dir}/ckpt-*")


def over(made: Experiment, number: int, value: float, settings: Settings = GLOB) -> Ended:
    """A run with a folder for checkpoints that is over; before.json says what is there now."""
    given = ended(made, number, value)
    record = replace(given.record, settings=settings)
    state.write(given.run.record, record)
    checkpoint.note(made, given.run, given.run.attempt(1), settings)
    return replace(given, record=record)


def saved(folder: Path, name: str = "ckpt-1", weights: bytes = b"weights") -> Path:
    """A checkpoint of two files, one of them in a folder of its own."""
    path = folder / name
    (path / "optimizer").mkdir(parents=True, exist_ok=True)
    (path / "weights").write_bytes(weights)
    (path / "optimizer/state").write_bytes(b"state")
    return path


def torch_file(path: Path) -> Path:
    """What torch.save writes is a ZIP archive of stored entries."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", bytes(4096))
    return path


def safetensors_file(path: Path) -> Path:
    """One tensor of 1024 bytes, as the format's own description has it."""
    tensors = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [256], "data_offsets": [0, 1024]},
    }
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(1024))
    return path


def cut(path: Path, share: float = 0.6) -> None:
    """As a save that was killed leaves a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
