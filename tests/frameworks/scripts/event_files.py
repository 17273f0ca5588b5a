"""Event files by the real writers, and what the real reader finds: `event_files.py write|read FOLDER`."""

import json
import sys
from pathlib import Path

import numpy
from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator
from tensorboard.util import tensor_util


def write(folder: Path) -> None:
    """One sub-folder for each way to write."""
    _torch(folder / "torch")
    _tensorboard_x(folder / "tensorboardX")
    _tensors(folder / "tensors")


def _torch(folder: Path) -> None:
    import torch
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder)
    for step in range(300):
        writer.add_scalar("val/loss", 1 / (step + 1), step)
        writer.add_scalar("new", 2 / (step + 1), step, new_style=True)
        writer.add_scalar("double", 3 / (step + 1), step, new_style=True, double_precision=True)
        writer.add_scalars("pair", {"train": step, "val": -step}, step)
    writer.add_scalar("odd", float("inf"), 3)
    writer.add_histogram("weights", torch.arange(100.0), 7)
    writer.add_image("image", torch.zeros(3, 64, 64), 7)
    writer.add_text("text", "words", 7)
    writer.add_hparams({"lr": 0.5}, {"hparam/accuracy": 0.75})
    writer.close()
    again = SummaryWriter(folder, purge_step=200, filename_suffix=".again")
    for step in range(200, 250):
        again.add_scalar("val/loss", -1.0 * step, step)
    again.add_scalar("far", 0.0, 1 << 40)
    again.close()


def _tensorboard_x(folder: Path) -> None:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder))
    for step in range(300):
        writer.add_scalar("val/loss", 1 / (step + 1), step)
        writer.add_scalar("shown", 1.5, step, display_name="a name", summary_description="words")
    writer.close()


def _tensors(folder: Path) -> None:
    """One number of every type, as TensorFlow 2 writes scalars."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.scalar import metadata
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    # Without uint32 and uint64: TensorBoard writes them and cannot read them.
    types = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 bool".split()
    for name in types:
        for at, value in enumerate((1, 0, numpy.array([1]), numpy.array([1, 0]))):
            proto = tensor_util.make_tensor_proto(numpy.array(value, dtype=name))
            kind = metadata.create_summary_metadata("", "")
            summary = Summary(value=[Summary.Value(tag=f"{name}-{at}", tensor=proto, metadata=kind)])
            writer.add_event(Event(wall_time=1.5, step=at, summary=summary))
    writer.close()


def read(folder: Path) -> dict[str, dict[str, list[tuple[int, float, float]]]]:
    """By folder and tag: step, wall time, value of every scalar in either encoding."""
    folders = sorted({path.parent for path in folder.rglob("*tfevents*")})
    return {str(path.relative_to(folder)): _read(path) for path in folders}


def _read(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    found = EventAccumulator(str(folder), size_guidance={SCALARS: 0, TENSORS: 0})
    found.Reload()
    tags = {
        tag: [(event.step, event.wall_time, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()[SCALARS]
    }
    for tag in found.Tags()[TENSORS]:
        events = [
            (event.step, event.wall_time, tensor_util.make_ndarray(event.tensor_proto))
            for event in found.Tensors(tag)
        ]
        if all(array.size == 1 and array.dtype.kind in "fiub" for _, _, array in events):
            tags[tag] = [(step, wall, float(array.reshape(())[()])) for step, wall, array in events]
    return tags


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        print(json.dumps(read(Path(sys.argv[2]))))
