"""Put aside what an attempt left, before the next one is made."""

from ardaemon.core.layout import Run
from ardaemon.host import durable, operations, state

# What an attempt leaves in the run's folder that the next one would take for its own.
LEFT = ("ready", "state.pt", "state")


def put_aside(run: Run, attempt: int) -> None:
    """At the next launch: what the attempt before left for this one to find goes into its own folder."""
    folder = run.attempt(attempt).folder
    paths = [run.folder / name for name in LEFT]
    # A link is to a file of the experiment that has that name.
    found = [path.name for path in paths if path.exists() and not path.is_symlink()]
    with state.storage("put aside", folder):
        for name in found:
            operations.rename(run.folder / name, folder / name)
        if found:
            durable.sync_folder(folder)  # the run's own folder is synced with run.json
