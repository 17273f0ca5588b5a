import trackio
from ending import end, rows, told

trackio.init(project="matrix")
for step, value in rows():
    trackio.log({"val/loss": value}, step=step)
    told(step, value)
end()
trackio.finish()
