"""A network with one hidden layer on handwritten digits, in plain numpy. This is the file to edit."""

import os

# One thread, set before numpy is imported: sums in one order, so the same seed gives the same loss.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

from pathlib import Path

import numpy as np
import prepare
from prepare import Floats, Labels

RUN_NOTE = "baseline"

HIDDEN = 16
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.0
BATCH = 32
EPOCHS = 60

State = dict[str, Floats]


def new_state(rng: np.random.Generator, inputs: int) -> State:
    return {
        "w1": rng.normal(0.0, np.sqrt(2.0 / inputs), (inputs, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(0.0, np.sqrt(1.0 / HIDDEN), (HIDDEN, prepare.CLASSES)),
        "b2": np.zeros(prepare.CLASSES),
    }


def forward(state: State, x: Floats) -> tuple[Floats, Floats]:
    """The hidden layer's output, and the class probabilities."""
    hidden = np.maximum(x @ state["w1"] + state["b1"], 0.0)
    logits = hidden @ state["w2"] + state["b2"]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def gradients(state: State, x: Floats, y: Labels) -> State:
    """The gradient of the mean cross-entropy of one batch."""
    hidden, probabilities = forward(state, x)
    error = (probabilities - np.eye(prepare.CLASSES)[y]) / len(y)
    back = (error @ state["w2"].T) * (hidden > 0.0)
    return {"w1": x.T @ back, "b1": back.sum(axis=0), "w2": hidden.T @ error, "b2": error.sum(axis=0)}


def train_epoch(state: State, x: Floats, y: Labels, rng: np.random.Generator) -> None:
    order = rng.permutation(len(y))
    for start in range(0, len(y), BATCH):
        batch = order[start : start + BATCH]
        for key, gradient in gradients(state, x[batch], y[batch]).items():
            state[key] -= LEARNING_RATE * (gradient + WEIGHT_DECAY * state[key])


def main() -> None:
    run_dir = os.environ.get("AR_RUN_DIR")
    rng = np.random.default_rng(int(os.environ.get("AR_SEED", "0")))
    x, y, val_x, val_y = prepare.load()
    state = new_state(rng, x.shape[1])
    if run_dir:
        (Path(run_dir) / "ready").touch()  # the session's time limit starts here, not at the imports

    for epoch in range(1, EPOCHS + 1):
        train_epoch(state, x, y, rng)
        if epoch % 10 == 0:
            train_loss = prepare.evaluate(forward(state, x)[1], y)["val/loss"]
            val_loss = prepare.evaluate(forward(state, val_x)[1], val_y)["val/loss"]
            print(f"epoch={epoch} train/loss={train_loss:.4f} val/loss={val_loss:.4f}", flush=True)

    if run_dir:
        np.savez(Path(run_dir) / "state.npz", allow_pickle=False, **state)
    metrics = prepare.evaluate(forward(state, val_x)[1], val_y)
    print(f"val/loss: {metrics['val/loss']:.4f}")
    print(f"val/acc: {metrics['val/acc']:.4f}")


if __name__ == "__main__":
    main()
