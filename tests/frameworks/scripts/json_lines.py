import json

from ending import end, rows, told

with open("metrics.jsonl", "a", buffering=1) as file:
    for step, value in rows():
        file.write(json.dumps({"step": step, "val/loss": value}) + "\n")
        told(step, value)
    end()
