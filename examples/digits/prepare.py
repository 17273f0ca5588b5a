"""Data and metric of the digits example: sealed, so that every run is measured in the same way."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

# Read by the daemon without running this file; it goes into batch_contract.json.
CONTRACT = {
    "data": "sklearn.datasets.load_digits: 1797 images of 8 x 8 pixels, 10 classes",
    "train": 1437,
    "validation": 360,
    "split_seed": 0,
    "metrics": {"val/loss": "mean cross-entropy in nats", "val/acc": "share of images classified right"},
}
CLASSES = 10
PIXEL_MAX = 16.0
# A probability of zero would make one image's loss infinite.
PROBABILITY_MIN = 1e-12

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def load() -> tuple[Floats, Labels, Floats, Labels]:
    """Training images and labels, then those for validation; pixels from 0 to 1."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = digits.data[order] / PIXEL_MAX
    y = digits.target[order].astype(np.int64)
    split = 1437
    return x[:split], y[:split], x[split:], y[split:]


def evaluate(probabilities: Floats, labels: Labels) -> dict[str, float]:
    """The metrics of the contract, from one row of class probabilities per image."""
    right = np.clip(probabilities[np.arange(len(labels)), labels], PROBABILITY_MIN, 1.0)
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    return {"val/loss": float(-np.log(right).mean()), "val/acc": float(accuracy)}
