"""The csv backend: a table with a header, as Lightning's CSVLogger and Keras' write it.

Cells may be empty (each row of Lightning's metrics.csv has the columns that were logged together), and the
header may change on the way: a row without any number is one. Comma, semicolon or tab, as in the header.
"""

import csv

from ardaemon.metrics.rows import Row, RowsBackend, step_of, wall_of

DELIMITERS = ",;\t"


class CsvParser:
    """One file's rows under the header that stands above them."""

    def __init__(self) -> None:
        self.bad = 0
        self._names: list[str] = []
        self._delimiter = ","

    def row(self, line: str) -> Row | None:
        """The row's numbers; None for a header and an empty line."""
        line = line.lstrip("\ufeff")  # as spreadsheets begin a file
        if not line.strip():
            return None
        cells = self._cells(line)
        if cells is None or len(cells) != len(self._names):
            self._header(line)
            return None
        numbers = [_number(cell) for cell in cells]
        if all(number is None for number in numbers):
            if all(cells):
                self._header(line)
            return None
        values = {name: value for name, value in zip(self._names, numbers, strict=True) if value is not None}
        return Row(values, step_of(values), wall_of(values))

    def _cells(self, line: str) -> list[str] | None:
        if '"' not in line:
            return line.split(self._delimiter)
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True))
        except csv.Error:  # a quote that is not closed
            return None

    def _header(self, line: str) -> None:
        """Take a line as the names of what follows; one with numbers in it is none, and is counted."""
        delimiter = max(DELIMITERS, key=line.count)
        before, self._delimiter = self._delimiter, delimiter
        cells = self._cells(line) or []
        names = [cell.strip().strip("'") for cell in cells]
        if names and all(name and _number(name) is None for name in names):
            self._names = names
        else:
            self._delimiter = before
            self.bad += 1


def _number(cell: str) -> float | None:
    """nan and infinities are numbers, an empty cell is none."""
    try:
        return float(cell)
    except ValueError:
        return None


CSV = RowsBackend("csv", "{run_dir}/**/metrics.csv", "*.[ct]sv", CsvParser)
