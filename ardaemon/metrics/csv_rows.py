"""The csv backend: a table with a header, as the CSVLoggers of Lightning and Keras write it.

Cells may be empty: each row of Lightning's metrics.csv fills the columns that were logged together. A header
may stand in the middle again, also with other columns; so may lines of text, and comments that begin with #.
The header also tells the delimiter: comma, semicolon or tab.

A line that says nothing certain about the primary metric is told (`Row.unread`), because an earlier row must
not stand in for it: a row with more or fewer cells than the header, a quote that is never closed, a cell that
holds something else than a number.
"""

from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct, field

from ardaemon.core.config import NAME_MAX
from ardaemon.core.spelling import one_spelling
from ardaemon.core.text import one_line
from ardaemon.metrics.formats.cells import OpenQuote, Unread, delimiter_of, split, value
from ardaemon.metrics.formats.names import is_qualifier, is_split
from ardaemon.metrics.parts import Parts
from ardaemon.metrics.rows import RowsBackend
from ardaemon.metrics.rows_file import STEP_NAMES, Row, step_of, wall_of

# Of a row with quoted cells over several lines: its characters, and how often one of its lines may end it. A
# quote that is still open then is a slip.
HELD_MAX = 64 << 10
TRIES_MAX = 64
SHOWN_MAX = 40  # characters of a cell that a reason shows
# Names of a first column that counts rows; "" is an index without a name.
COUNTS = frozenset((*STEP_NAMES, "", "#", "epoch", "epochs", "batch", "fold", "index"))
# Of a row below the others that speaks of all of them, in a column whose other cells are numbers.
SUMS = frozenset("mean avg average std total sum min max median best overall all".split())
_EXCEL = "sep="  # a first line that tells spreadsheets the delimiter


class CsvParser(Struct):
    """Parses the rows of one file by the header that stands above them."""

    shows_cut: ClassVar[bool] = False

    primary: str = ""
    bad: int = 0
    is_cell: bool = False  # the primary's name is a cell of a row: the table has a row for each metric
    _primary: str = ""
    _names: list[str] = field(default_factory=list)
    _delimiter: str = ","
    _held: list[str] = field(default_factory=list)  # the lines of a row whose quoted cell goes on
    _size: int = 0  # their characters
    _tries: int = 0  # how often they were looked at
    _text: list[str] = field(default_factory=list)  # the cells of a line without numbers: perhaps a header
    _is_numbered: bool = False  # rows of this header begin with a number: one with a word sums them up
    _counted: set[str] = field(default_factory=set)  # the columns that have had numbers alone
    _parts: Parts = field(default_factory=Parts)
    _count: float | None = None  # of the last row with the primary metric, where the first column counts
    _is_doubted: bool = False  # rows below it were refused, for nobody knows whether it is one

    def __post_init__(self) -> None:
        self._primary = one_spelling(self.primary)

    def rows(self, line: str) -> Iterator[Row]:
        """Yield what the line reports: nothing for a header, a comment, or a part of a row."""
        may_close = not self._held or '"' in line
        self._held.append(line)
        self._size += len(line) + 1
        row = None
        try:
            row = self._row("\n".join(self._held)) if may_close else None
        except OpenQuote:
            may_close, self._tries = False, self._tries + 1
        if may_close:
            self._held, self._size, self._tries = [], 0, 0
        elif self._size > HELD_MAX or self._tries > TRIES_MAX:
            yield from self._give_up()
        if row is not None:
            yield row

    def end(self) -> Iterator[Row]:
        """Yield what is left at the file's end, where a quote was never closed: the lines behind it count."""
        if self._held:
            yield from self._give_up()
        if len(self._text) == len(self._names) > 1 and not self._is_doubted:
            yield from self._bad("has no number")

    def _give_up(self) -> Iterator[Row]:
        """Yield what the lines report that follow the one with the quote, each by itself."""
        lines, self._held, self._size, self._tries = self._held, [], 0, 0
        for line in lines:
            try:
                row = self._row(line)
            except OpenQuote:
                yield from self._bad("has a quote that is never closed")
                continue
            if row is not None:
                yield row

    def _row(self, text: str) -> Row | None:
        """Return the numbers of one row; None for a header or an empty line. Raises OpenQuote."""
        line = text.lstrip("\ufeff").strip("\0")  # spreadsheets begin with the first, holes are of the second
        if not line.strip() or self._is_remark(line):
            return None
        cells = split(line, self._delimiter)
        if cells is None:
            return next(self._bad("is not written as a row"), None)
        values = [value(cell) for cell in cells]
        numeric = any(
            isinstance(one, float) or _has_digit_first(one, cell)
            for one, cell in zip(values, cells, strict=True)
        )
        if not numeric or not self._names or self._primary in one_spelling(line):
            names, delimiter = _as_names(line)
            if self._is_header(names, values, numeric):
                self._take(names, delimiter)
                return None
            if not numeric:
                self._note_text(names, cells)
                return None
        return self._numbers(cells, values)

    def _is_remark(self, line: str) -> bool:
        """Pass over a comment, but for one with the header in it, as numpy.savetxt writes it."""
        if line.lower().startswith(_EXCEL) and len(line) == len(_EXCEL) + 1 and not self._names:
            return True
        if not line.startswith("#"):
            return False
        names, delimiter = _as_names(line.removeprefix("#").lstrip())
        if self._is_primary_in(names):
            self._take(names, delimiter)
        return True

    def _is_header(self, names: list[str], values: list[float | Unread | None], numeric: bool) -> bool:
        """Return whether a line is a header: the first line with a word, and one with the primary's name.

        Some columns are numbers, one for each class. In a table with a row for each metric, the primary's
        name is a cell of a row, and no column.
        """
        if self._is_primary_in(names):
            self.is_cell = numeric and bool(self._names) and not self._has_column
            return not numeric or not self._names or (self._has_column and not self._is_row(values))
        if not self._names:
            return any(name and not isinstance(value(name), float) for name in names)
        return names == self._names

    def _is_row(self, values: list[float | Unread | None]) -> bool:
        """Return whether the primary's column has a number here."""
        at = self._names.index(self._primary)
        return len(values) == len(self._names) and isinstance(values[at], float)

    def _is_primary_in(self, names: list[str]) -> bool:
        return bool(self._primary) and self._primary in names

    @property
    def _has_column(self) -> bool:
        return self._is_primary_in(self._names)

    def _take(self, names: list[str], delimiter: str) -> None:
        self._names, self._delimiter, self._text = names, delimiter, []
        self._is_doubted = self._is_numbered = False
        self._count = None
        self._counted, self._parts = set(), Parts()

    def _note_text(self, names: list[str], cells: list[str]) -> None:
        """Keep a line without numbers: the row below it tells whether it was a header or text."""
        is_empty = not any(sign.isalnum() for cell in cells if value(cell) is not None for sign in cell)
        is_prose = any(" " in name for name in names) and not any(" " in name for name in self._names)
        if not is_empty:
            self._text = [] if is_prose or len(names) == 1 < len(self._names) else names
            self._is_doubted = False

    def _numbers(self, cells: list[str], values: list[float | Unread | None]) -> Row | None:
        if self._text and (problem := self._settle_text(len(cells))):
            return next(self._bad(problem), None)
        more = len(cells) - len(self._names)
        if more == 1 and not cells[-1].strip():  # a comma at the end of rows, and none in the header
            cells, values = cells[:-1], values[:-1]
        elif more == -1 and self._names[-1] == "":  # the other way round
            cells, values = [*cells, ""], [*values, None]
        if len(cells) != len(self._names):
            return next(self._bad(f"has {len(cells)} cells, and its header {len(self._names)}"), None)
        found, unread = {}, None
        for name, cell, one in zip(self._names, cells, values, strict=True):
            if isinstance(one, float) and name:
                found[name] = one
            elif isinstance(one, Unread) and name == self._primary:
                unread = f"has {one_line(cell, SHOWN_MAX)!r}, {one}"
        if self._primary in found:
            unread = unread or self._other_kind(cells, values)
        if isinstance(values[0], float):
            self._is_numbered = self._names[0].casefold() in COUNTS
        elif isinstance(values[0], Unread) and self._is_numbered and self._primary in found:
            unread = f"begins with {one_line(cells[0], SHOWN_MAX)!r}, where rows before it have a number"
        if self._has_column and self._names.count(self._primary) > 1:
            unread = f"has {self._names.count(self._primary)} columns of that name above it"
        if unread is not None:
            found.pop(self._primary, None)
        return Row(found, step_of(found), wall_of(found), unread)

    def _other_kind(self, cells: list[str], values: list[float | Unread | None]) -> str | None:
        """Say why the row is of another kind than those before it: it sums them up, or is of other data."""
        goes_back = self._goes_back(values[0])
        words = [
            (name, cell.strip().strip("\"'").casefold())
            for name, cell, one in zip(self._names, cells, values, strict=True)
            if not isinstance(one, float)
        ]
        for name, word in words:
            if name in self._counted and word in SUMS:
                return f"has {word!r}, where rows before it have a number"
            if goes_back and is_qualifier(word) and not is_split(word):
                return f"has {word!r}, and a count that does not go on: it may repeat an earlier row"
        self._counted.update(set(self._names).difference(name for name, _ in words))
        return self._parts.fault(word for _, word in words)

    def _goes_back(self, first: float | Unread | None) -> bool:
        """Take the next row's count, and return whether it is not above the one before."""
        if not isinstance(first, float) or self._names[0].casefold() not in COUNTS:
            return False
        before, self._count = self._count, first
        return before is not None and first <= before

    def _settle_text(self, count: int) -> str | None:
        """Take the line without numbers above a row of `count` cells as header or as text; or say why not."""
        text, self._text = self._text, []
        if len(text) != count:
            return None
        if count != len(self._names) or set(text) & set(self._names):
            self._names, self._is_numbered = text, False
            return None
        self._text, self._is_doubted = text, True  # the rows below it are as unclear as this one
        return f"stands below {one_line(','.join(text), SHOWN_MAX)!r}, which may be a header"

    def _bad(self, why: str) -> Iterator[Row]:
        self.bad += 1
        if self._has_column:
            yield Row({}, unread=why)


def _has_digit_first(found: float | Unread | None, cell: str) -> bool:
    """Return whether a cell that has no number was to have one, as 0,5 and 12ms."""
    return isinstance(found, Unread) and cell.strip().lstrip("+-.")[:1].isdigit()


def _as_names(line: str) -> tuple[list[str], str]:
    """Return a line as names of columns, with its own delimiter. Raises OpenQuote."""
    delimiter = delimiter_of(line)
    cells = split(line, delimiter) or []
    return [one_spelling(one_line(cell.strip().strip("'"), NAME_MAX + 1)) for cell in cells], delimiter


CSV = RowsBackend("csv", ("{run_dir}/**/metrics.csv",), "*.[ct]sv", CsvParser)
