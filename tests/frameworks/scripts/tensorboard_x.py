from ending import end, rows, told
from tensorboardX import SummaryWriter

with SummaryWriter("runs/matrix") as writer:
    for step, value in rows():
        writer.add_scalar("val/loss", value, step)
        told(step, value)
    end()
