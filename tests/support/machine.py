"""A lab's machine: its daemon's settings, and GPUs of its own (the stand-in's), which no other test sees."""

from pathlib import Path

from tests.support.lab import Lab
from tests.support.nvml import FakeGpus


def config_of(lab: Lab) -> Path:
    """Where its daemon's own settings are."""
    return lab.root / "h/.config/ardaemon/config.toml"


def configured(lab: Lab, text: str) -> None:
    """Save config.toml at one stroke: a daemon that runs may look at any moment, and finds no half of it."""
    path = config_of(lab)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name("saved").write_text(text)
    path.with_name("saved").replace(path)


def with_gpus(lab: Lab, count: int) -> FakeGpus:
    """So many GPUs of 80 GiB for the daemon that starts next."""
    fake = FakeGpus(lab.root / "gpus")
    for index in range(count):
        fake.gpu(index)
    fake.write()
    lab.environment |= fake.environment
    lease_in(lab, lab.root / "leases")
    return fake


def lease_in(lab: Lab, folder: Path) -> None:
    """Have its daemon keep its leases there."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o1777)
    configured(lab, f'lease_folder = "{folder}"\n')
