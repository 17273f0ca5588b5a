"""What of a run's record is believed: the whole of it as this user's daemon wrote it, or nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import CorruptState
from ardaemon.core.layout import Run
from ardaemon.core.model import Settings
from ardaemon.core.run_record import Active, Handle, Launching, Queued, RunRecord
from ardaemon.experiment.own_records import OwnRecords
from ardaemon.host import state
from tests.support.folders import record as submitted

OWN = OwnRecords(b"key", made=False)
ENTRY = Active(folder="/p/.autoresearch/261122-a", run_id="r0001", seq=1, submit_id="s", environment={})
HANDLE = Handle(engine="local", attempt=1, folder="/p/a1", place={"shim_lock": "/p/s", "boot_id": "b"})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    found = Run(tmp_path / "r0001")
    found.attempt(1).folder.mkdir(parents=True)
    return found


def written(run: Run, **fields: Any) -> RunRecord:
    given: dict[str, Any] = {"settings": Settings(seconds=5), "state": Launching(handle=HANDLE), **fields}
    found = OWN.signed(submitted("r0001", **given))
    state.write(run.record, found)
    return found


def changed(run: Run, *way: str, value: Any) -> None:
    facts = json.loads(run.record.read_bytes())
    *above, last = way
    inner = facts
    for name in above:
        inner = inner[name]
    inner[last] = value
    run.record.write_text(json.dumps(facts))


def believed(run: Run, entry: Active = ENTRY) -> bool:
    try:
        return OWN.of_entry(run, entry) is not None
    except CorruptState:
        return False


@pytest.mark.parametrize("value", [b'"\xff"', b"1e999", b"[" * 400 + b"]" * 400])
def test_a_field_that_cannot_be_read_makes_a_record_none_of_ours(run: Run, value: bytes) -> None:
    written(run)
    whole = run.record.read_bytes().rstrip().removesuffix(b"}")
    run.record.write_bytes(whole + b', "of_a_later_version": ' + value + b"}")
    assert not believed(run)
    assert OWN.read(run) is None


def test_a_record_is_believed_as_it_was_written_however_it_is_laid_out_and_with_what_a_later_version_adds(
    run: Run,
) -> None:
    record = written(run, note="1e-3 → 3e-4", settings=Settings(seconds=7, threshold=1e-300))
    assert OWN.of_entry(run, ENTRY) == OWN.read(run) == record
    facts = {**json.loads(run.record.read_bytes()), "of_a_later_version": [1.5, {"a": None}]}
    later = OWN._signature(json.dumps(facts).encode())
    run.record.write_text(json.dumps({**facts, "signature": later}))
    assert believed(run)
    changed(run, "of_a_later_version", value=[])
    assert not believed(run)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("settings", "metric_command"), "sh -c true"),
        (("settings", "seconds"), 6),
        (("state", "handle", "place", "shim_lock"), "/etc/passwd"),
        (("state", "job"), "../../.."),
        (("state",), {"state": "queued"}),
        (("sha256",), "ab"),
        (("signature",), ""),
        (("signature",), "é"),
    ],
)
def test_a_record_in_which_anything_was_changed_is_not_believed(
    run: Run, way: tuple[str, ...], value: Any
) -> None:
    written(run)
    changed(run, *way, value=value)
    with pytest.raises(CorruptState, match=f"{run.record} is not as the daemon wrote it") as caught:
        OWN.of_entry(run, ENTRY)
    assert f"rm -r {run.folder}" in caught.value.mend
    assert OWN.read(run) is None


def test_a_record_of_another_submit_or_with_the_signature_of_another_key_is_not_believed(run: Run) -> None:
    written(run, submit_id="another")
    assert not believed(run)
    state.write(run.record, OwnRecords(b"another", made=False).signed(submitted("r0001")))
    assert not believed(run)


def test_a_run_that_was_never_launched_needs_no_signature_for_nothing_of_its_record_is_believed_yet(
    run: Run,
) -> None:
    run.attempt(1).folder.rmdir()
    state.write(run.record, submitted("r0001", state=Queued()))
    assert believed(run)
    assert OWN.read(run) is None


def test_what_an_earlier_version_recorded_is_read_as_before_for_an_entry_of_its_own_alone(run: Run) -> None:
    state.write(run.record, submitted("r0001", state=Launching(handle=HANDLE)))
    earlier = Active(folder=ENTRY.folder, run_id="r0001", seq=1, environment={})
    assert believed(run, earlier)
    assert not believed(run)
