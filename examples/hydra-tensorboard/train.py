"""A small network on two spirals, configured by Hydra, logged to TensorBoard in Hydra's own output folder."""

import os
from pathlib import Path

import hydra
import prepare
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn
from torch.utils.tensorboard import SummaryWriter


def new_model(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, width),
        nn.Tanh(),
        nn.Linear(width, width),
        nn.Tanh(),
        nn.Linear(width, 2),
    )


def new_optimizer(model: nn.Module, config: DictConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=config.learning_rate)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    torch.manual_seed(int(os.environ.get("AR_SEED", config.seed)))  # of the daemon; by hand the config's
    torch.set_num_threads(1)  # sums in one order; more would not be faster here
    output = Path(HydraConfig.get().runtime.output_dir)  # outputs/DATE/TIME
    (output / "checkpoints").mkdir()
    x, y, val_x, val_y = prepare.load()
    model = new_model(config.width)
    optimizer = new_optimizer(model, config)
    best = float("inf")
    with SummaryWriter(output / "tensorboard") as writer:
        for epoch in range(1, config.epochs + 1):
            for batch in torch.randperm(len(y)).split(config.batch):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                metrics = prepare.evaluate(model(val_x), val_y)
            for name, value in metrics.items():
                writer.add_scalar(name, value, epoch)
            if metrics["val/loss"] < best:
                best = metrics["val/loss"]
                torch.save(model.state_dict(), output / "checkpoints" / "best.pt")


if __name__ == "__main__":
    main()
