"""The csv backend: a table with a header, as the CSVLoggers of Lightning and Keras write it.

Cells may be empty: each row of Lightning's metrics.csv fills the columns that were logged together. The
header may change on the way: a row without any number is a new header. The header also tells the delimiter:
comma, semicolon or tab.
"""

import csv

from ardaemon.metrics.rows import Row, RowsBackend, step_of, wall_of

DELIMITERS = ",;\t"


class CsvParser:
    """Parses the rows of one file by the header that stands above them."""

    def __init__(self) -> None:
        self.bad = 0
        self._names: list[str] = []
        self._delimiter = ","

    def row(self, line: str) -> Row | None:
        """Return the row's numbers; None for a header or an empty line."""
        line = line.lstrip("\ufeff")  # spreadsheets begin a file with it
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
        """Take the line as the names of the columns that follow.

        A line with a number in it is no header: it is counted as bad, and the header before it stays.
        """
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
    """Return a cell's number, which may be nan or infinite; None if it holds none, as an empty cell."""
    try:
        return float(cell)
    except ValueError:
        return None


CSV = RowsBackend("csv", "{run_dir}/**/metrics.csv", "*.[ct]sv", CsvParser)
