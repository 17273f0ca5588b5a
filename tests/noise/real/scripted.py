"""The edits of a night on real training: a fixed list for each example, sensible ones and bad ones. Pure.

They are never chosen by what came of them.
"""

import random
import re
from collections.abc import Callable, Sequence
from functools import partial

from tests.noise.real.edits import (
    Edit,
    before,
    comment,
    constant,
    instead,
    new_luck,
    same_luck,
    scaled,
)
from tests.noise.real.records import Kind

# --- digits ---


def _moved(text: str) -> str:
    """Draw the second layer's weights before the first's."""
    return re.sub(r'^( *"w1".*\n)( *"b1".*\n)( *"w2".*\n)', r"\3\1\2", text, count=1, flags=re.M)


_EPOCH, _ORDER, _STATE = "train_epoch(state, x, y, rng)", "for start in range(", "state = new_state("
_ACTIVE = 'np.maximum(x @ state["w1"] + state["b1"], 0.0)'
DIGITS = (
    scaled("LEARNING_RATE", 2),
    scaled("HIDDEN", 1.5),
    constant("WEIGHT_DECAY", "0.0001"),
    before("unused draw", _STATE, "rng.random(5)"),
    scaled("BATCH", 0.5),
    scaled("LEARNING_RATE", 0.7),
    before("centred inputs", _STATE, "x, val_x = x - 0.5, val_x - 0.5"),
    instead("second layer begins half as large", '"w2": rng', '"w2": 0.5 * rng'),
    scaled("LEARNING_RATE", 1.5),
    constant("WEIGHT_DECAY", "0.01"),
    before("rate decays by 2% an epoch", _EPOCH, 'globals()["LEARNING_RATE"] *= 0.98'),
    instead("prints more often", "epoch % 10 == 0", "epoch % 5 == 0"),
    scaled("HIDDEN", 2),
    before("noise on the images", _ORDER, "x = x + 0.05 * rng.normal(size=x.shape)"),
    scaled("BATCH", 1.5),
    instead("first layer begins larger", '"w1": rng', '"w1": 1.5 * rng'),
    scaled("LEARNING_RATE", 1.2),
    Edit("draws the second layer first", _moved),
    instead("smoothed labels", "np.eye(prepare.CLASSES)[y]", "(0.98 * np.eye(prepare.CLASSES)[y] + 0.002)"),
    scaled("HIDDEN", 0.75),
    Edit(
        "momentum 0.8",
        lambda text: text.replace(
            "            state[key] -= LEARNING_RATE * (gradient + WEIGHT_DECAY * state[key])",
            "            STEPS[key] = 0.8 * STEPS.get(key, 0.0) + gradient + WEIGHT_DECAY * state[key]\n"
            "            state[key] -= LEARNING_RATE * STEPS[key]",
        ).replace("State = dict[str, Floats]\n", "State = dict[str, Floats]\nSTEPS: State = {}\n"),
    ),
    scaled("LEARNING_RATE", 0.9),
    before("5% of the pixels left out", _ORDER, "x = x * (rng.random(x.shape) > 0.05)"),
    constant("WEIGHT_DECAY", "0.001"),
    instead("biases begin at 0.1", '"b1": np.zeros(HIDDEN)', '"b1": np.full(HIDDEN, 0.1)'),
    scaled("BATCH", 0.75),
    before(
        "images shifted by a pixel",
        _ORDER,
        "x = np.roll(x.reshape(-1, 8, 8), rng.integers(-1, 2), axis=2).reshape(len(x), -1)",
    ),
    instead(
        "clip instead of maximum", _ACTIVE, _ACTIVE.replace("maximum", "clip").replace(", 0.0", ", 0.0, None")
    ),
    scaled("LEARNING_RATE", 5),
    instead("clipped gradients", "gradient + WEIGHT_DECAY", "np.clip(gradient, -0.1, 0.1) + WEIGHT_DECAY"),
    before("inputs half as large again", _STATE, "x, val_x = 1.5 * x, 1.5 * val_x"),
    scaled("HIDDEN", 1.25),
    instead("biases do not decay", "WEIGHT_DECAY * state", 'WEIGHT_DECAY * (key[0] == "w") * state'),
    before("rate falls to zero", _EPOCH, 'globals()["LEARNING_RATE"] *= 1 - 1 / (EPOCHS + 2 - epoch)'),
    scaled("LEARNING_RATE", 1.3),
    before("another unused draw", _STATE, "rng.random(3)"),
    scaled("BATCH", 4),
    instead("second layer begins larger", '"w2": ', '"w2": 2.0 * '),
    constant("WEIGHT_DECAY", "0.0003"),
    scaled("LEARNING_RATE", 0.5),
)

# --- plain-pytorch ---

_BUILT, _STEP = "optimizer = torch.optim", "optimizer.step()"


def _activation(name: str) -> Edit:
    return Edit(f"nn.{name}", lambda text: re.sub(r"nn\.(ReLU|SiLU|GELU|Tanh|ELU)\(", f"nn.{name}(", text))


def _optimizer(name: str, value: str) -> Edit:
    """Give the optimizer another argument, or one that it has another value."""

    def made(text: str) -> str:
        without = re.sub(rf", {name}=(\([^)]*\)|[\w.-]+)", "", text)
        return without.replace("lr=LEARNING_RATE", f"lr=LEARNING_RATE, {name}={value}")

    return Edit(f"{name}={value}", made)


def _rate(note: str, share: str) -> Edit:
    """Set the learning rate at the beginning of each epoch."""
    line, anchor = f'optimizer.param_groups[0]["lr"] = LEARNING_RATE * {share}', "for batch in torch.randperm"
    added = before(note, anchor, line)
    return Edit(
        note, lambda text: added.made(re.sub(r"^ *optimizer\.param_groups.*\n", "", text, flags=re.M))
    )


PLAIN_PYTORCH = (
    scaled("LEARNING_RATE", 2),
    scaled("WIDTH", 1.5),
    _optimizer("weight_decay", "1e-4"),
    before("unused draw", "model = nn", "torch.rand(5)"),
    scaled("BATCH", 0.5),
    scaled("LEARNING_RATE", 0.7),
    _activation("SiLU"),
    _rate("rate falls to zero", "(1 - (epoch - 1) / EPOCHS)"),
    scaled("LEARNING_RATE", 1.5),
    _optimizer("betas", "(0.9, 0.95)"),
    instead(
        "one more layer", "nn.Linear(WIDTH, 1)", "nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)"
    ),
    instead("prints more often", "epoch % 10 == 0", "epoch % 5 == 0"),
    scaled("WIDTH", 2),
    before("clipped gradients", _STEP, "nn.utils.clip_grad_norm_(model.parameters(), 1.0)"),
    scaled("BATCH", 1.5),
    before("last layer begins at zero", _BUILT, "nn.init.zeros_(model[-1].weight)"),
    scaled("LEARNING_RATE", 1.2),
    _activation("Tanh"),
    instead("another loss", "nn.functional.mse_loss", "nn.functional.smooth_l1_loss"),
    scaled("WIDTH", 0.75),
    _optimizer("weight_decay", "1e-2"),
    scaled("LEARNING_RATE", 0.9),
    before("inputs twice as large", "model = nn", "x, val_x = 2 * x, 2 * val_x"),
    instead("inference mode", "torch.no_grad()", "torch.inference_mode()"),
    _activation("GELU"),
    scaled("BATCH", 0.75),
    instead("noise on the points", "model(x[batch])", "model(x[batch] + 0.01 * torch.randn(len(batch), 2))"),
    _rate("rate falls by a cosine", "0.5 * (1 + torch.tensor(3.1416 * epoch / EPOCHS).cos().item())"),
    scaled("LEARNING_RATE", 5),
    before("first layer begins larger", _BUILT, "model[0].weight.data.mul_(2.0)"),
    _optimizer("betas", "(0.8, 0.99)"),
    scaled("WIDTH", 1.25),
    instead("AdamW", "torch.optim.Adam(", "torch.optim.AdamW("),
    _rate("rate begins low", "min(1.0, epoch / 5)"),
    scaled("LEARNING_RATE", 1.3),
    before("another unused draw", "model = nn", "torch.rand(3)"),
    scaled("BATCH", 4),
    _activation("ELU"),
    _optimizer("eps", "1e-6"),
    scaled("LEARNING_RATE", 0.5),
)

SCRIPTED: dict[str, Sequence[Edit]] = {"digits": DIGITS, "plain-pytorch": PLAIN_PYTORCH}


# Edits whose luck is compared with their parent's, seed by seed.
KEEPING = {
    "digits": (
        scaled("LEARNING_RATE", 1.3),
        scaled("BATCH", 1.5),
        constant("WEIGHT_DECAY", "0.001"),
        scaled("HIDDEN", 1.25),
        new_luck("digits", 1),
    ),
    "plain-pytorch": (
        scaled("LEARNING_RATE", 1.3),
        scaled("BATCH", 1.5),
        scaled("WIDTH", 1.25),
        new_luck("plain-pytorch", 1),
    ),
}


def of_a_night(example: str, kind: Kind, number: int, most: int) -> Sequence[Edit]:
    """Return the edits of a night: in the first round in the order of the list, later in another."""
    if kind == "scripted":
        made = list(SCRIPTED[example])
        if number > 1:
            random.Random(number).shuffle(made)
        return made[:most]
    no_ops: dict[Kind, Callable[[int], Edit]] = {
        "comment": comment,
        "same luck": same_luck,
        "new luck": partial(new_luck, example),
    }
    return [no_ops[kind](n) for n in range(1, most + 1)]
