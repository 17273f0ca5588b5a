"""The environment of a job: the client's, less what is secret, and what tells the job who and where it is."""

import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ardaemon.core.config import Config, denied
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Settings
from ardaemon.core.own_variables import OWN
from ardaemon.experiment import runner, script_place
from ardaemon.metrics import registry
from ardaemon.pipeline.flight import Flight

# The variable that tells a job where a promoted checkpoint is: that stays while the job is at work.
CHECKPOINTS = ("AR_BEST_CKPT",)
# What shells, terminals and logins set by themselves. It differs from one shell to the next, also of one
# agent, and no training depends on it: with it the same edit would seldom be recognised.
OF_A_SHELL = frozenset(
    "_ OLDPWD PWD SHLVL COLUMNS LINES TERM COLORTERM TERM_PROGRAM TERM_PROGRAM_VERSION TERM_SESSION_ID"
    " WINDOWID GPG_TTY STY WINDOW TMUX TMUX_PANE SSH_CLIENT SSH_CONNECTION SSH_TTY XDG_SESSION_ID"
    " INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID".split()
)
# Where there is no terminal, rich and its like fold what they print at 80 columns, and a number comes off its
# name. This is wide enough for a line of metrics; forty lines filled up to it still fit `arctl tail`.
COLUMNS = "200"
# Folders of their own: nothing else of ours can be imported from them by the job's interpreter.
JOB = Path(__file__).resolve().parents[1] / "job"
CAPTURE, AUTO = JOB / "capture", JOB / "auto"


def filtered(environment: Mapping[str, str], config: Config) -> dict[str, str]:
    """Return the client's environment less agents' credentials and the tags of an outer run."""
    return {
        name: value
        for name, value in environment.items()
        if name not in OWN and not denied(name, config) and "=" not in name and "\0" not in name + value
    }


def fingerprint(environment: Mapping[str, str], key: bytes) -> str:
    """Hash an environment, so that two runs' can be compared; the values stay off the disk.

    What a shell sets by itself (OF_A_SHELL) is left out.

    Who may read the project reads the hash. Without the key, which is not in the project, no guess of a value
    can be tried against it (RFC 2104).
    """
    compared = sorted((name, value) for name, value in environment.items() if name not in OF_A_SHELL)
    return hmac.digest(key, json.dumps(compared).encode(), "sha256").hex()


def reads(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the promoted checkpoints that a job with this environment may read, links resolved."""
    paths = {os.path.realpath(environment[name]) for name in CHECKPOINTS if environment.get(name)}
    return tuple(sorted(paths))


def visible(devices: tuple[str, ...] | None) -> dict[str, str]:
    """Return what makes the run's GPUs the only ones that it sees; nothing on a machine without the driver.

    Integers, in the order of nvidia-smi: UUIDs break some frameworks (vLLM #13815), but for MIG instances,
    which have no other name.
    """
    if devices is None:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(devices)}


def of_attempt(flight: Flight, attempt: int, settings: Settings) -> dict[str, str]:
    """Return the environment of a flight's attempt under these settings of its session."""
    given, origin = flight.active.environment, flight.record.origin
    return environment_of(given, settings, flight.experiment, flight.run, attempt, flight.seed, origin)


def environment_of(
    base: Mapping[str, str],
    settings: Settings,
    experiment: Experiment,
    run: Run,
    attempt: int,
    seed: int = 0,
    origin: str | None = None,
) -> dict[str, str]:
    """Return the job's environment: `base` is the client's, already filtered."""
    base = {**base, **runner.variables(settings.runner, base)}
    project = str(experiment.project)
    # ar_capture comes last, so that it hides nothing; our sitecustomize first, or Python would take another.
    at_start = _at_start(base, settings)
    first = [str(AUTO)] if at_start else []
    inherited = base.get("PYTHONPATH", "")
    # By hand the root is not on the path of a script in src/: a calendar.py there would hide Python's.
    own = [_on_path(str(folder), project) for folder in (experiment.folder, experiment.project)]
    root = "" if script_place.in_subfolder(origin) else own[1]
    paths = [*first, own[0], inherited, root, str(CAPTURE)]
    added = {
        "PWD": project,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        # What was printed before a kill is in the log then, and a stall is a stall.
        "PYTHONUNBUFFERED": base.get("PYTHONUNBUFFERED", "1"),
        "COLUMNS": base.get("COLUMNS", COLUMNS),
        **({"AR_AT_START": at_start} if at_start else {}),
        "AR_RUN_ID": run.run_id,
        "AR_RUN_DIR": str(run.job),
        "AR_EXPR_DIR": str(experiment.folder),
        "AR_SECONDS": f"{settings.seconds:g}",
        "AR_ATTEMPT": str(attempt),
        "AR_SEED": str(seed),
    }
    # Only where the caller has not said otherwise.
    bound = registry.environment(run.job, f"{run.run_id}-a{attempt}")
    if origin is not None and settings.exec == "snapshot":
        # uv 0.13 looks for the project from the script's folder up: in the copy's place it would make each
        # run an environment of its own, and a uv.lock.
        bound["UV_PROJECT"] = str(script_place.folder(experiment, origin))
    if experiment.best_checkpoint.exists():
        # Not the link, which may lead elsewhere before the job is done reading (see prune.py).
        added["AR_BEST_CKPT"] = os.path.realpath(experiment.best_checkpoint)
    if experiment.parent_checkpoint.exists():
        added["AR_PARENT_CKPT"] = str(experiment.parent_checkpoint)
    return {**bound, **base, **added}


def _at_start(base: Mapping[str, str], settings: Settings) -> str:
    """Return what our sitecustomize does in the job, in words; "" for nothing."""
    lines = [] if "PYTHONUNBUFFERED" in base else ["lines"]  # the caller's own choice stands
    return " ".join([*lines, *(["capture"] if settings.capture == "auto" else [])])


def _on_path(folder: str, project: str) -> str:
    """Return how a folder of the project stands on PYTHONPATH.

    A colon would make two entries of it. The interpreter begins a relative entry at its working folder, which
    is the project, and makes it absolute at its start (module site).
    """
    return os.path.relpath(folder, project) if os.pathsep in folder else folder
