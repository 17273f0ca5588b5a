"""Data and metric of the hf-trainer example: sealed, so that every run is measured in the same way."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

# Read by the daemon without running this file; it goes into batch_contract.json.
CONTRACT = {
    "data": "made here: sequences of 32 tokens, each following from the one before, one in ten at random",
    "train": 512,
    "validation": 128,
    "metrics": {"eval/loss": "mean cross-entropy of the next token in nats, as the Trainer computes it"},
}
VOCABULARY = 32
LENGTH = 32
NOISE = 0.1  # share of tokens that nothing foretells


class Sequences(Dataset[dict[str, Tensor]]):
    """What the Trainer takes: the tokens, and the same tokens as labels."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(VOCABULARY, (count, LENGTH), generator=generator)
        noisy = torch.rand(count, LENGTH, generator=generator) < NOISE
        for at in range(1, LENGTH):
            follows = (5 * tokens[:, at - 1] + 3) % VOCABULARY
            tokens[:, at] = torch.where(noisy[:, at], tokens[:, at], follows)
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


def load() -> tuple[Sequences, Sequences]:
    """Sequences to learn from, then those for validation."""
    return Sequences(512, seed=1), Sequences(128, seed=2)
