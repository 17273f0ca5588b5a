"""The project of the skill's examples: a small descent whose values are the same on each machine."""

from pathlib import Path

from tests.support.lab import Lab
from tests.support.shell import Shell

SLUG = "261122-lr"
METRIC = "val/loss"
# The host project's own module, which no experiment edits.
SCHEDULE = '''"""The learning rate's schedule."""


def rate(step: int, steps: int) -> float:
    """A constant rate."""
    return 1.0
'''
PREPARE = '''"""Data and metric."""


def gradient(weight: float) -> float:
    return 0.02 * (weight - 3.0)


def loss(weight: float) -> float:
    return 0.8 + 0.05 * (weight - 3.0) ** 2
'''
TRAIN = '''"""Train one weight."""

import os

import prepare
import schedule

RUN_NOTE = "baseline"
lr = 0.1
steps = 100

weight = 0.0
for step in range(steps):
    weight -= lr * schedule.rate(step, steps) * prepare.gradient(weight)
with open(os.path.join(os.environ["AR_RUN_DIR"], "state.pt"), "w") as file:
    file.write(str(weight))
print(f"val/loss: {prepare.loss(weight):.4f}")
'''


def make(lab: Lab, slug: str = SLUG, text: str = TRAIN) -> Path:
    """Write the project, and create its experiment as a person does; the experiment's folder."""
    for name, content in (("train.py", text), ("prepare.py", PREPARE), ("schedule.py", SCHEDULE)):
        (lab.project / name).write_text(content)
    given = ("--primary-metric", METRIC, "--primary-direction", "min", "--goal", "lower val/loss")
    Shell(lab)("init", slug, "--train", "train.py", "--prepare", "prepare.py", *given)
    return lab.project / ".autoresearch" / slug
