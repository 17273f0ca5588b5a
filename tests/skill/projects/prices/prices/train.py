"""Trains the model: python -m prices.train --lr 0.1 --epochs 20."""

import argparse
import csv
import json
import random
from pathlib import Path

from prices.data import Flat, load
from prices.model import Model


def step_size(lr: float, epoch: int, epochs: int) -> float:
    return lr


def fit(model: Model, flats: list[Flat], lr: float) -> None:
    for area, floor, price in flats:
        error = model.price(area, floor) - price
        for at, value in enumerate(model.inputs(area, floor)):
            model.weights[at] -= lr * error * value


def loss(model: Model, flats: list[Flat]) -> float:
    return sum((model.price(area, floor) - price) ** 2 for area, floor, price in flats) / len(flats)


def train(lr: float = 0.01, epochs: int = 20, seed: int = 0) -> float:
    """Train, and return the loss on the flats that are held out."""
    random.seed(seed)
    flats, held_out = load(200, seed=1), load(50, seed=2)
    model = Model()
    Path("logs").mkdir(exist_ok=True)
    Path("checkpoints").mkdir(exist_ok=True)
    with open("logs/metrics.csv", "w") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", "train_loss", "val_loss"])
        for epoch in range(1, epochs + 1):
            random.shuffle(flats)
            fit(model, flats, step_size(lr, epoch, epochs))
            rows.writerow([epoch, loss(model, flats), loss(model, held_out)])
            if epoch % 5 == 0:
                Path(f"checkpoints/model-{epoch:03}.json").write_text(json.dumps(model.weights))
    print(f"after {epochs} epochs the loss on held-out flats is {loss(model, held_out):.4f}")
    return loss(model, held_out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.lr, arguments.epochs, arguments.seed)


if __name__ == "__main__":
    main()
