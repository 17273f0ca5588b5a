"""What is started: the runner's command line and the environment of one attempt."""

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping

from ardaemon.core.config import Config, denied
from ardaemon.core.errors import RunnerNotFound, UsageError
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Settings
from ardaemon.metrics import registry
from ardaemon.pipeline import capture

SCRIPTS = ("train.py", "{train}")


def split_runner(template: str) -> list[str]:
    """The template's arguments. Raises UsageError unless exactly one of them is the script."""
    try:
        argv = shlex.split(template)
    except ValueError as error:
        raise UsageError(f"--runner {template!r} cannot be split: {error}", "check its quotes") from error
    count = sum(argument in SCRIPTS for argument in argv)
    if count != 1 or argv[0] in SCRIPTS:
        raise UsageError(
            f"--runner {template!r} must name train.py (or {{train}}) once, after the program; found {count}",
            'for example: --runner "python train.py"',
        )
    return argv


def program(template: str, environment: Mapping[str, str], cwd: str) -> str:
    """The runner's program as an absolute path. Raises RunnerNotFound."""
    name = split_runner(template)[0]
    if os.sep in name:
        path = os.path.join(cwd, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        raise RunnerNotFound(
            f"the runner {name!r} is not an executable file (looked at {path})", "check --runner's path"
        )
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    # Relative to the project, where the job runs, not to where the daemon happens to be.
    found = shutil.which(name, path=os.pathsep.join(os.path.join(cwd, folder) for folder in folders))
    if found is None:
        raise RunnerNotFound(
            f"the runner's program {name!r} is not on PATH",
            "activate the project's environment, or give --runner an absolute path",
        )
    return found


def command(
    settings: Settings, environment: Mapping[str, str], experiment: Experiment, run: Run
) -> tuple[str, ...]:
    """The whole command line: the script's path put in, {run_dir} replaced, no shell."""
    cwd = str(experiment.project)
    script = str(experiment.train if settings.exec == "live" else run.train)
    argv = [
        script if argument in SCRIPTS else argument.replace("{run_dir}", str(run.folder))
        for argument in split_runner(settings.runner)
    ]
    return (program(settings.runner, environment, cwd), *argv[1:])


def filtered(environment: Mapping[str, str], config: Config) -> dict[str, str]:
    """The client's environment less agents' credentials and the tags of an outer run."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("AR_")
        and not denied(name, config)
        and "=" not in name
        and "\0" not in name + value
    }


def fingerprint(environment: Mapping[str, str]) -> str:
    """A hash by which two runs' environments can be compared; the values stay off the disk."""
    return hashlib.sha256(json.dumps(sorted(environment.items())).encode()).hexdigest()


# What tells a job where promoted checkpoints are: they stay while it is at work.
CHECKPOINTS = ("AR_BEST_CKPT", "AR_PARENT_CKPT")


def reads(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The promoted checkpoints that a job with this environment may read, links resolved."""
    found = {os.path.realpath(environment[name]) for name in CHECKPOINTS if environment.get(name)}
    return tuple(sorted(found))


def visible(devices: tuple[str, ...] | None) -> dict[str, str]:
    """What makes the run's GPUs the only ones that it sees; nothing on a machine without the driver.

    Integers, in the order of nvidia-smi: UUIDs break some frameworks (vLLM #13815), but for MIG instances,
    which have no other name.
    """
    if devices is None:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(devices)}


def environment_of(
    base: Mapping[str, str], settings: Settings, experiment: Experiment, run: Run, attempt: int
) -> dict[str, str]:
    """The job's environment."""
    paths = [str(experiment.folder), base.get("PYTHONPATH", ""), str(experiment.project)]
    added = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        # What was printed before a kill is in the log then, and a stall is a stall.
        "PYTHONUNBUFFERED": base.get("PYTHONUNBUFFERED", "1"),
        "AR_RUN_ID": run.run_id,
        "AR_RUN_DIR": str(run.folder),
        "AR_EXPR_DIR": str(experiment.folder),
        "AR_SECONDS": f"{settings.seconds:g}",
        "AR_ATTEMPT": str(attempt),
        "AR_SEED": "0",
    }
    # Only where the caller has not said otherwise.
    bound = registry.environment(run.folder, f"{run.run_id}-a{attempt}")
    if experiment.best_checkpoint.exists():
        # Not the link, which may lead elsewhere before the job is done reading (see prune.py).
        added["AR_BEST_CKPT"] = os.path.realpath(experiment.best_checkpoint)
    added |= capture.environment(experiment, run, settings, added)
    return {**bound, **base, **added}
