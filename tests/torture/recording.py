"""The operations of a story, with edits of train.py and what jobs wrote: power cuts are made of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.lab import Lab
from tests.torture import disk
from tests.torture.points import PROGRAM
from tests.torture.story import Story


def recorded_whole(lab: Lab, story: Story, saved: Mapping[str, str]) -> list[dict[str, Any]]:
    """Tell the story to a daemon of its own; its operations in their order.

    `saved`: what the job of each candidate has saved, by the candidate's name.
    """
    log = lab.root / "operations"

    def edited(path: Path, text: str) -> None:
        with log.open("a") as file:
            file.write(json.dumps({"name": "edited", "who": "", "paths": [str(path)], "data": text}) + "\n")
        path.write_text(text)

    story.edited = edited
    lab.start(PROGRAM, FAULT_PLAN=json.dumps({"record": str(log), "root": str(lab.root)}))
    story.tell().settled()
    lab.stop()
    by_run = {story.runs[name]: text for name, text in saved.items()}
    operations = [json.loads(line) for line in log.read_text().splitlines()]
    return list(disk.with_jobs(lab.folder, by_run, operations))


def empty_disk(lab: Lab) -> disk.Disk:
    """The disk before the story: it has the project's own files."""
    model = disk.Disk(str(lab.root), str(lab.runtime))
    for name in ("train.py", "prepare.py"):
        model.edited(str(lab.project / name), (lab.project / name).read_text())
    return model
