"""Makes the parameters of `chain.init`: absolute paths, and the id by which it may be sent again."""

import hashlib
import json
import os
from typing import Any

from arctl.dial import Answer
from ardaemon.core.errors import UsageError


def wire(project: str, params: dict[str, Any], given: dict[str, Any]) -> Answer:
    """Return the parameters as the daemon wants them, but for the environment.

    `given` are the session's settings that are not as in the parent. The same request has the same submit id:
    after a lost answer it may be made again.
    """
    checkpoint, train = params["parent_ckpt"], params["train"]
    none = checkpoint == "none"
    if checkpoint == "":  # as of a variable that is not set: not the current folder
        raise UsageError("--parent-ckpt is empty", "name a path, or none, or leave the option out")
    return _identified(
        {
            **params,
            "project": project,
            "given": given,
            "train": None if train is None else os.path.abspath(train),
            "parent_ckpt": None if none or checkpoint is None else os.path.abspath(checkpoint),
            "no_checkpoint": none,
        }
    )


def _identified(params: Answer) -> Answer:
    text = json.dumps(params, sort_keys=True)
    return {**params, "submit_id": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
