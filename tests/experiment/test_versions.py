"""What is put back into train.py is what was judged, whatever somebody has made of the snapshots in runs/."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from ardaemon.core.errors import Refused, StorageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Placed
from ardaemon.experiment import placing, state, versions
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.train_file import sha256
from tests.support.folders import TRAIN, experiment
from tests.support.runs import start, tried

pytestmark = pytest.mark.promise("rewritten")

BEST, WORSE = 'print("val/loss: 0.5")  # judged\n', 'print("val/loss: 0.9")\n'
OTHER = "raise SystemExit('nobody has judged this')\n"


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """r0001 is the best."""
    found = experiment(tmp_path)
    start(found)
    tried(found, 0.5, BEST)
    return found


def rewritten(path: Path) -> None:
    """As a formatter does it: a new file under the old name."""
    new = path.with_suffix(".new")
    new.write_text(OTHER)
    new.rename(path)


def in_place(path: Path) -> None:
    path.chmod(0o644)
    path.write_text(OTHER)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "cache").touch()


def link(path: Path) -> None:
    path.rename(path.with_name("kept"))
    path.symlink_to("kept")


CHANGES = [rewritten, in_place, Path.unlink, folder, link]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("run_id", ["r0000", "r0001"])
def test_a_snapshot_that_was_changed_is_put_back_as_it_was_submitted(
    made: Experiment, run_id: str, change: Callable[[Path], object]
) -> None:
    snapshot = made.run(run_id).train
    before = snapshot.read_bytes()
    change(snapshot)
    assert placing.kept(made, run_id) == Placed(run_id, sha256(before))
    assert snapshot.read_bytes() == before
    assert not snapshot.is_symlink()


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_revert_train_py_is_what_was_judged_though_the_best_was_changed(
    made: Experiment, change: Callable[[Path], object]
) -> None:
    change(made.run("r0001").train)
    assert tried(made, 0.9, WORSE).train_py == "restored"
    assert made.train.read_text() == BEST
    best = load_or_repair(made).best
    assert best is not None
    assert (best.run_id, best.value) == ("r0001", 0.5)


def test_the_original_comes_back_as_it_was_though_its_snapshot_was_changed(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    start(made)
    in_place(made.run("r0000").train)
    made.train.write_text(WORSE)
    start_again = load_or_repair(made).session
    assert start_again.placed is not None
    assert placing.place(made, placing.kept(made, "r0000"), {sha256(WORSE.encode())}, None) == "restored"
    assert made.train.read_text() == TRAIN


def test_what_stood_in_the_snapshots_place_is_kept_beside_it(made: Experiment) -> None:
    in_place(made.run("r0001").train)
    warnings = load_or_repair(made).warnings
    assert warnings == ["runs/r0001/train.py was not the version that was judged: put back"]
    assert [path.read_text() for path in made.run("r0001").folder.glob("train.py.broken-*")] == [OTHER]
    assert load_or_repair(made).warnings == []


def test_without_any_copy_nothing_is_put_back_that_was_not_judged(made: Experiment) -> None:
    """As where an earlier version submitted the run; the best before it is found, if there is one."""
    tried(made, 0.4, BEST.replace("0.5", "0.4"))
    for run_id in ("r0001", "r0002"):
        made.version(run_id).unlink()
    in_place(made.run("r0002").train)
    best = load_or_repair(made).best
    assert best is not None
    assert best.run_id == "r0001"
    made.train.write_text(WORSE)
    with pytest.raises(StorageError, match=r"runs/r0002/train\.py is not the version that was judged"):
        placing.place(made, Placed("r0002", "00" * 32), {sha256(WORSE.encode())}, None)
    assert made.train.read_text() == WORSE


@pytest.mark.parametrize(
    "packed",
    [b"", b"no gzip", gzip.compress(OTHER.encode()), gzip.compress(b"#" * (64 << 20))],
    ids=["empty", "no gzip", "another version", "without end"],
)
def test_a_copy_is_believed_by_its_hash_alone(made: Experiment, packed: bytes) -> None:
    copy = made.version("r0001")
    copy.chmod(0o644)
    copy.write_bytes(packed)
    in_place(made.run("r0001").train)
    assert not versions.put_right(made, "r0001", sha256(BEST.encode()))
    assert made.run("r0001").train.read_text() == OTHER


@pytest.mark.parametrize("packed", [None, gzip.compress(OTHER.encode())], ids=["removed", "another version"])
def test_a_run_whose_every_copy_a_job_has_changed_gives_no_other_version(
    made: Experiment, packed: bytes | None
) -> None:
    """As `arctl restore r0001` asks for it."""
    made.version("r0001").unlink()
    if packed is not None:
        made.version("r0001").write_bytes(packed)
    assert placing.kept(made, "r0001") == Placed("r0001", sha256(BEST.encode())), "its snapshot is there"
    in_place(made.run("r0001").train)
    with pytest.raises(StorageError, match=r"runs/r0001/train\.py is not the version that was judged"):
        placing.kept(made, "r0001")
    assert made.train.read_text() == BEST


def test_the_folder_of_a_run_that_somebody_removed_is_not_made_again(made: Experiment) -> None:
    snapshot = made.run("r0001").train
    snapshot.parent.rename(made.project / "away")
    assert not versions.put_right(made, "r0001", sha256(BEST.encode()))
    assert not snapshot.parent.exists()


def test_where_no_version_that_advanced_is_left_no_best_is_made_up(made: Experiment) -> None:
    """A person goes on without a best; then the original is placed, as it was."""
    made.version("r0001").unlink()
    in_place(made.run("r0001").train)
    before = made.best.read_bytes()
    with pytest.raises(Refused, match=r"has lost its best: best\.json names r0001") as caught:
        load_or_repair(made)
    assert "arctl session start --resume continue" in caught.value.mend
    assert made.best.read_bytes() == before, "a refusal leaves nothing behind"
    assert load_or_repair(made, without_results=True).best is None


def test_the_original_is_known_by_its_hash_when_a_job_has_changed_every_copy(made: Experiment) -> None:
    copy = made.version("r0000")
    copy.chmod(0o644)
    copy.write_bytes(gzip.compress(OTHER.encode()))
    assert placing.original(made, made.run("r0000").train).decode() == TRAIN
    in_place(made.run("r0000").train)
    with pytest.raises(StorageError, match=r"runs/r0000/train\.py is not the version"):
        placing.kept(made, "r0000")


def test_a_half_written_copy_of_a_killed_daemon_is_swept_and_the_whole_ones_stay(made: Experiment) -> None:
    kept = set(made.versions.iterdir())
    (made.versions / ".r0002.gz.999999999-1.0.tmp").write_bytes(b"half")  # no pid is that high (pid_max)
    state.sweep(made)
    assert set(made.versions.iterdir()) == kept
