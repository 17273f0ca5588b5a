"""Reads a `.wandb` file: the rows of the history, the summary, the run's id and its exit code.

The file has seven bytes of header (`:W&B`, 0xBEE1, version), then records (metrics/formats/leveldb_log.py),
each a protobuf message `Record`. Source: wandb/proto/wandb_internal.proto, wandb 0.19 to 0.31. Since 0.31 a
value stands in a field for its type (3 to 8) in place of JSON text (16). Both are read, whatever version
wrote the file.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ardaemon.core import file_kinds, files
from ardaemon.core.config import NAME_MAX
from ardaemon.metrics.formats.json_numbers import numbers, parsed
from ardaemon.metrics.formats.leveldb_log import LogReader
from ardaemon.metrics.formats.protobuf import Buffer, ProtobufError, double, fields, int64, sint64

HEADER = struct.Struct("<4sHB")
IDENT, MAGIC = b":W&B", 0xBEE1
VERSIONS = (0, 1)
HISTORY, SUMMARY, METRIC, RUN, EXIT = 2, 3, 12, 17, 18  # fields of Record
_INTEGER, _NUMBER, _JSON, _VALUE_JSON = 5, 6, 8, 16  # fields of HistoryItem; the others hold no number
# The bytes before the fields of an item: field number and wire type.
_KEY, _NESTED_KEY, _NUMBER_KEY, _JSON_KEY = 0x0A, 0x12, 0x31, b"\x82\x01"
NAMES_MAX = 10_000  # names, and definitions of steps, that are remembered of one file
# Steps that trainers log beside their metrics, for where define_metric names none; `_step` only counts calls
# of log().
STEPS = ("train/global_step", "trainer/global_step", "global_step")


class HistoryRow(Struct, frozen=True):
    """One call of log(): the numbers by name, wandb's own count of calls, the time (seconds since 1970)."""

    values: dict[str, float]
    count: int | None = None
    wall: float | None = None


class WandbState(Struct, frozen=True):
    """How far one file has been read, and what is known of it there."""

    position: int
    damaged: int
    too_long: int
    run_id: str | None
    exit_code: int | None
    summary: dict[str, float]
    count: int
    strange: int
    steps: dict[str, str]
    globs: dict[str, str]
    media: list[str]


class WandbFile:
    """Reads one file; each rows() goes on where the last one ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = LogReader(path, HEADER.size)
        self.run_id: str | None = None
        self.exit_code: int | None = None  # None: there is no such record, because wandb did not finish
        self.summary: dict[str, float] = {}
        self.count = 0  # rows
        self.strange = 0  # records that cannot be read as a message
        self.problem: str | None = None
        self._names: dict[bytes, str] = {}
        self._steps = Steps()
        self._media: list[str] = []  # the beginnings of names of media in the row under way

    def state(self) -> WandbState:
        """Return how far it has been read, where all its rows up to there are taken."""
        return WandbState(
            self.log.position,
            self.log.damaged,
            self.log.too_long,
            self.run_id,
            self.exit_code,
            self.summary,
            self.count,
            self.strange,
            self._steps.names,
            self._steps.globs,
            self._media,
        )

    def go_on(self, state: WandbState) -> None:
        """Go on where an earlier reading was."""
        self.log.position, self.log.damaged, self.log.too_long = state.position, state.damaged, state.too_long
        self.run_id, self.exit_code, self.summary = state.run_id, state.exit_code, state.summary
        self.count, self.strange = state.count, state.strange
        self._steps.names, self._steps.globs, self._media = state.steps, state.globs, state.media

    def rows(self) -> Iterator[HistoryRow]:
        """Yield the rows that were added since the last call. Raises OSError."""
        self.problem = _header_problem(self.path)
        if self.problem is not None:
            return
        for record in self.log.records():
            try:
                row = self._take(record)
            except ProtobufError:
                self.strange += 1
                continue
            if row is not None:
                self.count += 1
                yield row

    def step(self, name: str, row: HistoryRow) -> int | None:
        """Return the training step at which the row has the metric `name`, else wandb's own count."""
        for key in (self._steps.of(name), *STEPS):
            if key is not None and (value := row.values.get(key)) is not None and math.isfinite(value):
                return int(value)
        return row.count

    def _take(self, record: bytes) -> HistoryRow | None:
        for number, _, value in fields(record):
            if isinstance(value, int):
                continue
            if number == HISTORY:
                return self._row(value)
            if number == SUMMARY:
                for at, _, item in fields(value):
                    if at == 1 and not isinstance(item, int):
                        self.summary |= self._numbers(item)
                self._drop_media(self.summary)
            elif number == METRIC:
                self._steps.define(value)
            elif number == RUN:
                self.run_id = _text(value, 1) or self.run_id
            elif number == EXIT:
                self.exit_code = _number(value, 1) or 0
        return None

    def _row(self, message: Buffer) -> HistoryRow:
        values: dict[str, float] = {}
        count = None
        for number, _, value in fields(message):
            if isinstance(value, int):
                continue
            if number == 1:
                quick = self._quick(bytes(value))
                if quick is None:
                    values |= self._numbers(value)
                else:
                    values[quick[0]] = quick[1]
            elif number == 2:
                count = _number(value, 1)
        self._drop_media(values)
        step, wall = values.pop("_step", None), values.pop("_timestamp", None)
        values.pop("_runtime", None)
        if step is not None and math.isfinite(step):
            count = int(step)
        return HistoryRow(values, count, wall)

    def _quick(self, item: bytes) -> tuple[str, float] | None:
        """Decode an item of the common shape fast: a short name, a number, typed or as JSON. Else None."""
        if len(item) < 4 or item[0] not in (_KEY, _NESTED_KEY) or item[1] > 0x7F:
            return None
        end = 2 + item[1]
        try:
            if item[end] == _NUMBER_KEY and len(item) == end + 9:
                value = double(item[end + 1 :])
            elif item[end : end + 2] == _JSON_KEY and len(item) == end + 3 + item[end + 2]:
                value = float(item[end + 3 :])
            else:
                return None
        except (IndexError, ValueError):
            return None
        name = self._names.get(item[2:end])
        if name is None:
            name = str(item[2:end], "utf-8", "replace")
            if len(self._names) < NAMES_MAX and len(name) <= NAME_MAX:
                self._names[item[2:end]] = name
        return name, value

    def _drop_media(self, values: dict[str, float]) -> None:
        """Remove the parts of a histogram, image or table, which come as single numbers beside a `_type`."""
        for begin in self._media:
            for name in [name for name in values if name.startswith(begin)]:
                del values[name]
        self._media.clear()

    def _numbers(self, item: Buffer) -> dict[str, float]:
        """Return the numbers of a HistoryItem or SummaryItem; those in nested dicts have joined names."""
        key, nested = "", []
        content: Any = None
        for number, _, value in fields(item):
            if number == 1 and not isinstance(value, int):
                key = str(value, "utf-8", "replace")
            elif number == 2 and not isinstance(value, int):
                nested.append(str(value, "utf-8", "replace"))
            elif number == _INTEGER and isinstance(value, int):
                content = sint64(value)
            elif number == _NUMBER and not isinstance(value, int):
                content = double(value)
            elif number in (_JSON, _VALUE_JSON) and not isinstance(value, int):
                content = parsed(bytes(value))
        name = ".".join(nested) or key
        if name.endswith("._type"):
            self._media.append(name.removesuffix("_type"))
        return dict(numbers(name, content))


class Steps:
    """The steps of metrics, as the script set them with define_metric()."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.globs: dict[str, str] = {}  # steps by the part of the glob before its `*`

    def define(self, record: Buffer) -> None:
        """Take one MetricRecord: name = 1, glob_name = 2, step_metric = 4."""
        step = _text(record, 4)
        if not step or len(self.names) + len(self.globs) >= NAMES_MAX:
            return
        if name := _text(record, 1):
            self.names[name] = step
        elif glob := _text(record, 2):
            self.globs[glob.removesuffix("*")] = step

    def of(self, name: str) -> str | None:
        """Return the name of the metric that is this metric's step; None if none was set."""
        if name in self.names:
            return self.names[name]
        fitting = [begin for begin in self.globs if name.startswith(begin)]
        return self.globs[max(fitting, key=len)] if fitting else None


def _header_problem(path: Path) -> str | None:
    with files.opened(path, file_kinds.METRICS) as file:
        header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return "is empty: the run ended before wandb wrote anything to it"
    ident, magic, version = HEADER.unpack(header)
    if (ident, magic) != (IDENT, MAGIC):
        return "is not a file of wandb's"
    return None if version in VERSIONS else f"has the format's version {version}; {VERSIONS} can be read"


def _text(message: Buffer, wanted: int) -> str:
    for number, _, value in fields(message):
        if number == wanted and not isinstance(value, int):
            return str(value, "utf-8", "replace")
    return ""


def _number(message: Buffer, wanted: int) -> int | None:
    return next(
        (int64(value) for number, _, value in fields(message) if number == wanted and isinstance(value, int)),
        None,
    )
