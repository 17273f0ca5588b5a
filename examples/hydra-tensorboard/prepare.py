"""Data and metric of the hydra-tensorboard example: sealed, so that every run is measured in the same way."""

import math

import torch
from torch import Tensor, nn

# Read by the daemon without running this file; it goes into batch_contract.json.
CONTRACT = {
    "data": "made here: two spirals in the plane, with a little noise",
    "train": 800,
    "validation": 400,
    "metrics": {"val/loss": "mean cross-entropy in nats", "val/acc": "share of points classified right"},
}
TURNS = 1.0
NOISE = 0.03


def spirals(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points of the plane, and which of the two spirals each is on."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    radius = torch.rand(count, generator=generator).sqrt()
    angle = math.tau * TURNS * radius + math.pi * labels
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return points + NOISE * torch.randn(count, 2, generator=generator), labels


def load() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points and labels to learn from, then those for validation."""
    return *spirals(800, seed=1), *spirals(400, seed=2)


def evaluate(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The metrics of the contract."""
    loss = nn.functional.cross_entropy(logits, labels)
    return {"val/loss": loss.item(), "val/acc": (logits.argmax(dim=1) == labels).float().mean().item()}
