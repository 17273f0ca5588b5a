"""A run's record (run.json), changed as only this user's daemon, an earlier version or a reboot could."""

import json
from collections.abc import Callable
from typing import Any

from ardaemon.experiment.own_records import OwnRecords
from tests.support.lab import Lab

Change = Callable[[dict[str, Any]], object]
OTHER_BOOT = "00000000-0000-0000-0000-000000000000"


def changed(lab: Lab, run_id: str, change: Change) -> None:
    """The record as it would be if the daemon had written this: with its signature."""
    path = lab.folder / f"runs/{run_id}/run.json"
    facts = json.loads(path.read_bytes())
    change(facts)
    records = OwnRecords((lab.home.parent / "session.key").read_bytes(), made=False)
    facts["signature"] = records._signature(json.dumps(facts).encode())
    path.write_text(json.dumps(facts))


def of_another_boot(lab: Lab, run_id: str, boot: str = OTHER_BOOT) -> None:
    """The record as a reboot makes it look: its boot is not the one of now."""
    changed(lab, run_id, lambda facts: facts["state"]["handle"]["place"].update(boot_id=boot))


def of_an_earlier_version(lab: Lab, run_id: str, change: Change = lambda facts: None) -> None:
    """Record and active entry as a version left them that signed no record."""
    entry = next((lab.home / "active").glob(f"*-{run_id}.json"))
    for path, name in ((entry, "submit_id"), (lab.folder / f"runs/{run_id}/run.json", "signature")):
        facts = json.loads(path.read_bytes())
        del facts[name]
        if path != entry:
            change(facts)
        path.write_text(json.dumps(facts))
