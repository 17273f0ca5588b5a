"""Data and metric of the plain-pytorch example: sealed, so that every run is measured in the same way."""

import torch
from torch import Tensor

# Read by the daemon without running this file; it goes into batch_contract.json.
CONTRACT = {
    "data": "made here: a curved surface over a square, with a little noise",
    "train": 1000,
    "validation": 500,
    "metrics": {"val_loss": "mean squared error"},
}
NOISE = 0.05


def surface(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points of the square, and the height at each."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(count, 2, generator=generator) - 1
    y = torch.sin(4 * x[:, :1]) * torch.cos(3 * x[:, 1:])
    return x, y + NOISE * torch.randn(count, 1, generator=generator)


def load() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points and heights to learn from, then those for validation."""
    return *surface(1000, seed=1), *surface(500, seed=2)


def evaluate(predicted: Tensor, y: Tensor) -> float:
    """The metric of the contract."""
    return torch.mean((predicted - y) ** 2).item()
