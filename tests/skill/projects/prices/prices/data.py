"""Made-up flats: area and floor, from 0 to 1, and the price."""

import random

Flat = tuple[float, float, float]


def load(count: int, seed: int) -> list[Flat]:
    """Return flats whose price follows a rule, with some noise."""
    source = random.Random(seed)
    flats = []
    for _ in range(count):
        area, floor = source.random(), source.random()
        flats.append((area, floor, 3 * area + floor + 0.2 * source.random()))
    return flats
