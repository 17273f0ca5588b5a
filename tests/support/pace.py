"""Bounds in CPU seconds, on a machine that is slow at the moment.

A core that others share takes twice as long for the same instructions, and its CPU time says so too.
"""

import time
from collections.abc import Callable

# CPU seconds for `_work`: whoever takes longer is given as much more time. 3.4 ms were measured where a
# decision that is bound to 20 ms took 15 to 27.
REFERENCE_S = 0.0020
ROUNDS = 3  # the best of them counts, as other work on the machine only ever adds time


def _work() -> int:
    """What decisions and readers are made of: small tuples, a dictionary, a sort."""
    table: dict[int, tuple[int, object]] = {}
    for number in range(20_000):
        table[number & 1023] = (number, table.get(number & 511))
        if number % 5_000 == 0:
            table.clear()
    return sorted(value[0] for value in table.values())[0]


def spent(do: Callable[[], object]) -> float:
    """CPU seconds of this thread for that."""
    begun = time.thread_time()
    do()
    return time.thread_time() - begun


def slower() -> float:
    """How many times as long as that this machine takes at the moment; 1 where it takes no longer."""
    return max(1.0, min(spent(_work) for _ in range(ROUNDS)) / REFERENCE_S)
