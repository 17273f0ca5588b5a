from dataclasses import dataclass

import hydra
from ending import end, rows, told
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from torch.utils.tensorboard import SummaryWriter


@dataclass
class Config:
    learning_rate: float = 0.1


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config: Config) -> None:
    with SummaryWriter(HydraConfig.get().runtime.output_dir) as writer:
        for step, value in rows():
            writer.add_scalar("val/loss", value, step)
            told(step, value)
        end()


if __name__ == "__main__":
    main()
