"""The checkpoints that this daemon's audits need, on a disk that answers too late."""

import threading
from pathlib import Path

import anyio
import pytest

from ardaemon.checkpoints import kept
from ardaemon.host import disk
from ardaemon.pipeline.kept_checkpoints import KeptCheckpoints
from tests.support.lab import wait_until


def _is_free(folder: Path) -> bool:
    with kept.free(folder) as free:
        return free


def test_a_checkpoint_whose_disk_answers_too_late_is_kept_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that hangs there keeps it when the disk answers, and nobody waits for that any more."""
    folder = tmp_path / "p/.autoresearch/x/.ckpt/r0001"
    folder.mkdir(parents=True)
    disks, answers, tried = disk.Disks(), threading.Event(), threading.Event()
    keep = kept.keep

    def late(checkpoint: str) -> object:
        answers.wait()
        try:
            return keep(checkpoint)
        finally:
            tried.set()

    async def main() -> None:
        await KeptCheckpoints(lambda: [("a", str(folder))], disks).keep()
        assert _is_free(folder)
        answers.set()
        assert await anyio.to_thread.run_sync(tried.wait, 30.0)
        await anyio.to_thread.run_sync(wait_until, lambda: _is_free(folder), "nobody to keep it")

    monkeypatch.setattr(disk, "ANSWER_S", 0.1)
    monkeypatch.setattr(kept, "keep", late)
    try:
        anyio.run(main)
    finally:
        answers.set()  # else its thread would keep this process
