"""Ten epochs of a linear model, logged by Lightning to CSV and to TensorBoard."""

import lightning
import torch
from ending import ROWS, end, told
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, index):
        x, y = batch
        return nn.functional.mse_loss(self.layer(x), y)

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val/loss", nn.functional.mse_loss(self.layer(x), y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Ending(lightning.Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == ROWS:
            end()

    def on_train_epoch_end(self, trainer, module):
        told(trainer.global_step - 1, trainer.callback_metrics["val/loss"].item())


torch.manual_seed(0)
x = torch.linspace(-1, 1, 32).unsqueeze(1)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 2 * x), batch_size=16)
trainer = lightning.Trainer(
    max_epochs=ROWS + 1,
    accelerator="cpu",
    logger=[CSVLogger("."), TensorBoardLogger(".")],
    callbacks=[Ending()],
    log_every_n_steps=1,
    num_sanity_val_steps=0,
)
trainer.fit(Line(), data, data)
