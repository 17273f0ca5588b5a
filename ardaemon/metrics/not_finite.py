"""Counts the values of the primary metric in a row that are nan or infinite: such a run has diverged."""

import math

from msgspec import Struct


class NotFinite(Struct):
    """The values that are not finite since the last finite one, of a run that is still at work.

    A progress bar paints one value again and again, and two handlers of a logger print one value twice. So a
    value from the same place as the one before it, a line or a step, is that one.
    """

    in_a_row: int = 0
    was_finite: bool = False  # at least once
    _places: tuple[int | None, ...] = ()

    def take(self, value: float | None, *places: int | None) -> None:
        """Take the next value; None: one that could not be read, and that may be finite.

        A place of None is an unknown one.
        """
        if value is None or math.isfinite(value):
            self.in_a_row, self.was_finite = 0, self.was_finite or value is not None
            return
        if self.in_a_row == 0 or not any(
            here is not None and here == before for here, before in zip(places, self._places, strict=False)
        ):
            self.in_a_row += 1
        self._places = places
