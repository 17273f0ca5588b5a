"""A save that was cut short is told from a whole one by what its format says."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ardaemon.checkpoints import whole
from tests.support.checkpoints import cut, safetensors_file, torch_file


@pytest.mark.parametrize(
    "name", ["tmp-checkpoint-500", "best.pt.tmp", "x.partial", "7.orbax-checkpoint-tmp-1"]
)
def test_by_its_name_it_is_not_finished(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"weights")
    assert whole.fault(path) == "its name says that it is not finished"


@pytest.mark.parametrize("name", ["attempt-1", "party-3.pt", "template.pt", "checkpoint-10"])
def test_a_name_that_only_looks_like_it_is_no_reason(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"weights")
    assert whole.fault(path) is None


@pytest.mark.parametrize(("name", "make"), [("best.pt", torch_file), ("model.safetensors", safetensors_file)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_told(
    tmp_path: Path, name: str, make: Callable[[Path], Path], share: float
) -> None:
    path = make(tmp_path / name)
    assert whole.fault(path) is None
    cut(path, share)
    assert whole.fault(path) is not None


HOSTILE = (
    b'{"a":' + b"[" * 100_000,
    b'{"\xff": {}}',
    b'{"a": {"data_offsets": [0, ' + b"9" * 100_000 + b"]}}",
)


@pytest.mark.parametrize("text", HOSTILE, ids=["nested", "no UTF-8", "digits"])
def test_an_index_or_a_header_that_no_parser_reads_is_a_fault(tmp_path: Path, text: bytes) -> None:
    """Two of them were an internal error, and the run was never judged."""
    header = tmp_path / "model.safetensors"
    header.write_bytes(len(text).to_bytes(8, "little") + text)
    assert whole.fault(header) == "its header cannot be read"
    header.unlink()
    (tmp_path / "model.index.json").write_bytes(
        text.replace(b'"a"', b'"weight_map"').replace(b'"\xff"', b'"weight_map": {"\xff": "b"}, "a"')
    )
    assert whole.fault(tmp_path) == "model.index.json: it is not whole JSON"


def test_an_empty_file_of_weights_and_an_empty_folder_are_none(tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    (tmp_path / "checkpoint-1").mkdir()
    assert whole.fault(tmp_path / "best.pt") == "it is empty"
    assert whole.fault(tmp_path / "checkpoint-1") == "it is empty"


def test_bytes_of_no_known_format_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "weights.npy").write_bytes(b"\x93NUMPY" + bytes(100))
    (tmp_path / "marker").touch()
    assert whole.fault(tmp_path / "weights.npy") is None
    assert whole.fault(tmp_path / "marker") is None
    assert whole.fault(tmp_path) is None


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint as the Trainer of transformers writes it, sharded."""
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for shard in shards:
        safetensors_file(folder / shard)
    index = {"metadata": {"total_size": 2048}, "weight_map": dict(zip("ab", shards, strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    torch_file(folder / "optimizer.pt")
    torch_file(folder / "training_args.bin")
    (folder / "trainer_state.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("trainer_state.json", "its trainer_state.json is missing"),
        ("model-00002-of-00002.safetensors", "1 of 2 files model-*.safetensors"),
    ],
)
def test_a_folder_that_lacks_what_is_written_last_is_told(trained: Path, missing: str, why: str) -> None:
    assert whole.fault(trained) is None
    (trained / missing).unlink()
    assert whole.fault(trained) == why


def test_a_torn_file_in_a_folder_is_named(trained: Path) -> None:
    cut(trained / "optimizer.pt")
    assert whole.fault(trained) == "optimizer.pt: it was cut off"


def test_a_shard_that_only_the_index_knows_is_missed(trained: Path) -> None:
    (trained / "model.safetensors.index.json").write_text('{"weight_map": {"c": "other.safetensors"}}')
    assert whole.fault(trained) == "other.safetensors is missing"


def test_a_distributed_checkpoint_without_its_metadata_is_told(tmp_path: Path) -> None:
    (tmp_path / "__0_0.distcp").write_bytes(b"part")
    assert whole.fault(tmp_path) == "its .metadata is missing"
    (tmp_path / ".metadata").write_bytes(b"whole")
    assert whole.fault(tmp_path) is None


def test_a_rank_that_did_not_save_its_part_is_missed(tmp_path: Path) -> None:
    torch_file(tmp_path / "rank0-of-2.pt")
    assert whole.fault(tmp_path) == "1 of 2 files rank*.pt"
    torch_file(tmp_path / "rank1-of-2.pt")
    assert whole.fault(tmp_path) is None
