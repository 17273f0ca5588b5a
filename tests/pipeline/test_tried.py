"""A train.py is compared with the runs that wait: of thousands with those alone that have the same text."""

from pathlib import Path

import pytest

from ardaemon.core.errors import UnderWay
from ardaemon.core.model import Contract
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import same, seal
from ardaemon.experiment.same import Version
from ardaemon.experiment.state import load
from ardaemon.pipeline import tried
from tests.support import folders

WAITING = 50


def test_the_conditions_of_a_run_that_waits_are_worked_out_only_if_its_text_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = load(folders.experiment(tmp_path))
    sealed = seal.fingerprint(current.contract)
    records = [
        folders.record(
            f"r{n:04d}", sha256=f"text {n}", normal=f"normal {n}", environment_sha256="env", seal=sealed
        )
        for n in range(1, WAITING + 1)
    ]
    conditions = seal.conditions(records[0].settings, current.contract)
    compared: list[str] = []
    work_out = same.conditions

    def counted(record: RunRecord, contract: Contract) -> str:
        compared.append(record.run_id)
        return work_out(record, contract)

    monkeypatch.setattr(same, "conditions", counted)
    tried._require_none_under_way(current, Version("new", "new", conditions, "env"), records)
    tried._require_none_under_way(current, Version("text 7", "normal 7", conditions, "other env"), records)
    tried._require_none_under_way(current, Version("text 7", "normal 7", "other conditions", "env"), records)
    assert compared == ["r0007"]
    for version in (Version("text 7", "", conditions, "env"), Version("new", "normal 9", conditions, "env")):
        with pytest.raises(UnderWay):
            tried._require_none_under_way(current, version, records)
    assert compared == ["r0007", "r0007", "r0009"]
