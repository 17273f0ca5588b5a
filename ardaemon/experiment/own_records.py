"""A run's record (run.json) as this user's daemon writes it: signed, so that no other is believed.

The record names what is done when the job has ended: the metric command and the checks that are run, the
checkpoint that is copied, the earlier ones that are removed. It lies in the project, where a pull can change
it while no daemon looks. So each record is signed with the key by which the user's sessions are signed, and a
daemon that starts again believes it only with that signature. Which record it must be stands in the run's
active entry, in the state folder: the one of this submit.
"""

import hmac
import shlex
from typing import Any

import msgspec
from msgspec.structs import replace

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState
from ardaemon.core.layout import Run
from ardaemon.core.run_record import Active, Queued, RunRecord
from ardaemon.host import state


class Records:
    """Records as they stand, for whoever has no key: no daemon believes one that he writes."""

    def signed(self, record: RunRecord) -> RunRecord:
        """Return the record as it is to be written."""
        return record

    def read(self, run: Run) -> RunRecord | None:
        """Return the record that stands there; None if there is none that is believed."""
        return state.read(run.record, RunRecord)


PLAIN = Records()


class OwnRecords(Records):
    """The records that this user's daemon has written, on any machine that shares the state folder."""

    def __init__(self, key: bytes, made: bool) -> None:
        """Take the key; `made` says that it was made just now, so that no record can have its signature."""
        self._key, self._made = key, made

    def signed(self, record: RunRecord) -> RunRecord:
        """Return the record with the signature of all its other fields."""
        return replace(record, signature=self._signature(msgspec.json.encode(record)))

    def read(self, run: Run) -> RunRecord | None:
        """Return the record that stands there; None if there is none, or one that is not ours."""
        found = _content(run)
        return found[1] if found is not None and self._is_signed(*found) else None

    def of_entry(self, run: Run, entry: Active) -> RunRecord | None:
        """Return the record of a run that is taken up; None if there is none.

        Raises CorruptState if it is not the one that the daemon has written. An entry without a submit id is
        an earlier version's, which signed no record: it is read as before. Where the key was lost or broken,
        the daemon that makes a new one believes the records of its entries once more, and signs them.
        """
        found = _content(run)
        if found is None:
            return None
        data, record = found
        if not entry.submit_id:
            return record
        if self._made:
            record = self.signed(record)
            state.write(run.record, record)
            return record
        mine = self._is_signed(data, record) or _was_never_launched(run, record)
        if mine and record.submit_id == entry.submit_id:
            return record
        raise CorruptState(
            f"{run.record} is not as the daemon wrote it: it was changed from outside",
            f"put it back as it was; or give the run up: {shlex.join(['rm', '-r', str(run.folder)])}",
            {"path": str(run.record)},
        )

    def _is_signed(self, data: bytes, record: RunRecord) -> bool:
        try:
            signature = self._signature(data)
        except state.UNREADABLE:  # a field that this version does not know: the record was made without it
            return False
        return hmac.compare_digest(record.signature.encode(), signature.encode())

    def _signature(self, data: bytes) -> str:
        # Of the file's own fields and not of the record's: a later version has more of these.
        facts: dict[str, Any] = msgspec.json.decode(data)
        facts.pop("signature", None)
        return hmac.digest(self._key, msgspec.json.encode(facts), "sha256").hex()


def _content(run: Run) -> tuple[bytes, RunRecord] | None:
    """Read the file once: what is looked at is what is believed."""
    with state.reading(run.record):
        try:
            data = files.read(run.record, file_kinds.STATE)
        except FileNotFoundError:
            return None
    return data, state.decode(data, RunRecord, run.record)


def _was_never_launched(run: Run, record: RunRecord) -> bool:
    """Tell whether nothing is believed of the record yet: a launch takes its settings from the session."""
    return isinstance(record.state, Queued) and not run.attempt(1).folder.exists()
