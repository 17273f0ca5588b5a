"""A lab whose daemon a fault strikes at one known operation: it is held or killed there, or refused."""

import json
from pathlib import Path
from typing import Any

from ardaemon.core import places
from tests.support.lab import SLUG, Lab


def start_at_best(lab: Lab, do: str = "wait", **settings: Any) -> Path:
    """Start a daemon and a session; a fault strikes when the first best.json is put in place.

    `do` is as in tests/support/faulty.py. Return the flag: it is there from that moment on.
    """
    return _start(lab, _rename(f"~/p/.autoresearch/{SLUG}", ".best.json.tmp -> best.json", 1), do, settings)


def start_at_wish(lab: Lab, run_id: str, do: str | int = "wait", **settings: Any) -> Path:
    """Do as start_at_best, but strike when the first wish for that run is put into its active entry.

    That is the entry's second write.
    """
    return _start(lab, _entry(lab, run_id, 2), do, settings)


def start_at_entry(lab: Lab, run_id: str, do: str | int = "wait", **settings: Any) -> Path:
    """Do as start_at_best, but strike when the active entry of that run is put in place."""
    return _start(lab, _entry(lab, run_id, 1), do, settings)


def start_at_copy(lab: Lab, name: str, do: str | int = "wait", **settings: Any) -> Path:
    """Do as start_at_best, but strike when that checkpoint of the first run is copied for its promotion."""
    folder = f"~/p/.autoresearch/{SLUG}"
    subject = f"{folder}/runs/r0001/job/{name} -> {folder}/.ckpt/.r0001.partial/{name}"
    return _start(lab, ["daemon", "copy", subject, 1], do, settings)


def start_at_signal(lab: Lab, do: str | int = "wait", **settings: Any) -> Path:
    """Do as start_at_best, but strike when the daemon sends its first signal, the one that ends a run."""
    return _start(lab, ["daemon", "signal", "", 1], do, settings)


def _entry(lab: Lab, run_id: str, nth: int) -> list[str | int]:
    """Make the point of the nth write of that run's active entry."""
    folder = f"~/{lab.state_home.name}/ardaemon/{places.machine_id()}/active"
    return _rename(folder, f".HASH-{run_id}.json.tmp -> HASH-{run_id}.json", nth)


def _rename(folder: str, names: str, nth: int) -> list[str | int]:
    """Make the point of the nth rename between those two names of the folder."""
    subject = " -> ".join(f"{folder}/{name}" for name in names.split(" -> "))
    return ["daemon", "rename", subject, nth]


def _start(lab: Lab, at: list[str | int], do: str | int, settings: dict[str, Any]) -> Path:
    flag = lab.root / "flag"
    plan = {"at": at, "do": do, "flag": str(flag), "root": str(lab.root)}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    lab.init()
    lab.session(**settings)
    return flag
