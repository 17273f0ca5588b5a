"""A small network that learns a curved surface, in plain PyTorch: it prints its loss and saves nothing."""

import os

import prepare
import torch
from torch import nn

LEARNING_RATE = 1e-3
WIDTH = 32
BATCH = 50
EPOCHS = 40


def main() -> None:
    torch.manual_seed(int(os.environ.get("AR_SEED", "0")))  # of the daemon; by hand 0
    torch.set_num_threads(1)  # sums in one order; more would not be faster here
    x, y, val_x, val_y = prepare.load()
    model = nn.Sequential(
        nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            with torch.no_grad():
                val_loss = prepare.evaluate(model(val_x), val_y)
            print(f"epoch {epoch}: train_loss={loss.item():.5f} val_loss={val_loss:.5f}")


if __name__ == "__main__":
    main()
