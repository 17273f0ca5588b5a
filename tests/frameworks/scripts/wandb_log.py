import wandb
from ending import end, rows, told

with wandb.init(project="matrix") as run:
    for step, value in rows():
        run.log({"val/loss": value, "trainer/step": step})
        told(step, value)
    end()
