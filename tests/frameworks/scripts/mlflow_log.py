import mlflow
from ending import end, rows, told

with mlflow.start_run():
    for step, value in rows():
        mlflow.log_metric("val/loss", value, step=step)
        told(step, value)
    end()
