"""results.tsv, the ledger: one row per run, append-only, read from its end and never whole."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState
from ardaemon.core.model import Result
from ardaemon.core.words import told_verdict
from ardaemon.host import durable
from ardaemon.host.state import reading, storage

COLUMNS = (
    "run_id",
    "ended_at",
    "status",
    "verdict",
    "primary",
    "delta",
    "seconds",
    "peak_vram_mb",
    "sha256",
    "base",
    "note",
)
HEADER = ("\t".join(COLUMNS) + "\n").encode()
ROW_MAX = 1024  # bytes of a row: the note is 200 characters, the rest is numbers
CHECKED = 8 * ROW_MAX  # bytes at the end in which a damaged table is told
BLOCK = 1 << 16


def row(result: Result, sha256: str) -> str:
    """Return the row of one result, without its newline."""
    primary = result.primary
    values = (
        result.run_id,
        result.ended_at or "",
        result.status,
        told_verdict(result.verdict, result.measure),
        _number(primary.value),
        _number(primary.delta),
        _number(result.seconds),
        _number(result.peak_vram_mb),
        sha256[:12],
        result.base or "",
        result.note,
    )
    return "\t".join(str(value).replace("\t", " ").replace("\n", " ") for value in values)


def line(row: dict[str, str]) -> str:
    """Return a row that was read as its line, without its newline."""
    return "\t".join(row[column] for column in COLUMNS)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def add(path: Path, line: str) -> None:
    """Append a row, if it is not the last one already. A torn last line is cut off first."""
    repair(path)
    if not path.exists():
        with storage("write", path):
            durable.write(path, HEADER, folder=False)
    if last(path, 1)[-1:] != [_parse(line)]:
        with storage("append to", path):
            durable.append(path, line.encode() + b"\n")


def rebuild(path: Path, lines: list[str]) -> None:
    """Replace the whole table by these rows, in one durable write."""
    with storage("write", path):
        durable.write(path, HEADER + "".join(f"{line}\n" for line in lines).encode())


def check(path: Path) -> bytes:
    """Return the file's last bytes, some rows. Raises CorruptState if this is not a ledger of ardaemon's."""
    with reading(path):
        try:
            head, tail = files.ends(path, len(HEADER), CHECKED, file_kinds.LEDGER)
        except FileNotFoundError:
            return b""
    torn_header = HEADER.startswith(head) and len(head) < len(HEADER)
    if not torn_header and (head != HEADER or b"\0" in tail or b"\n" not in tail):
        raise CorruptState(f"{path} is not a results table of ardaemon", "", {"path": str(path)})
    return tail


def _opened(path: Path) -> BinaryIO | None:
    """Open the table; None if there is none. Raises CorruptState if something else stands there."""
    with reading(path):
        try:
            return files.opened(path, file_kinds.LEDGER)
        except FileNotFoundError:
            return None


def size(path: Path) -> int:
    """Return the file's size in bytes; 0 if there is no file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def repair(path: Path) -> None:
    """Cut off a torn last line. Raises CorruptState if this is not a ledger of ardaemon's."""
    tail = check(path)
    if tail.endswith(b"\n") or not path.exists():
        return
    if len(tail) < len(HEADER):  # torn in its header: no row was ever there
        with storage("write", path):
            durable.write(path, HEADER)
        return
    with storage("repair", path):
        durable.truncate(path, path.stat().st_size - (len(tail) - (tail.rfind(b"\n") + 1)))


def last(path: Path, count: int) -> list[dict[str, str]]:
    """Return the last `count` rows, oldest first, each as column -> text; a torn last line is passed over."""
    if count <= 0:
        return []
    blocks: list[bytes] = []
    ends = 0  # of rows; of one more than is wanted, for the beginning of the first may be missing
    block_size = min(BLOCK, (count + 1) * ROW_MAX)  # mostly one is enough, also with a torn line
    most = 2 * (count + 1) * ROW_MAX + BLOCK  # a table that needs more for so few rows is none of ours
    for block in islice(_backwards(path, block_size), most // block_size):
        blocks.append(block)
        ends += sum(map(bool, block.split(b"\n")[:-1]))
        if ends > count:
            break
    lines = b"".join(reversed(blocks)).split(b"\n")[1:-1]
    rows = (line for line in reversed(lines) if line and not HEADER.startswith(line))
    return [_parse(line.decode(errors="replace")) for line in islice(rows, count)][::-1]


def _backwards(path: Path, block_size: int) -> Iterator[bytes]:
    """Yield the file's blocks of `block_size` bytes, the last first; a newline leads the first line."""
    file = _opened(path)
    if file is None:
        return
    with file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - block_size)
            file.seek(start)
            block = file.read(end - start)
            yield block if start else b"\n" + block
            end = start


def end_of(path: Path, run_id: str) -> int | None:
    """Return where the last row of that run ends, in bytes from the beginning; None if it has no row."""
    mark = f"\n{run_id}\t".encode()  # the header is before the first row
    file = _opened(path)
    if file is None:
        return None
    with file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            block = file.read(end - start + ROW_MAX)  # a row may go on in the block after
            if (found := block.rfind(mark)) >= 0:
                row_end = block.find(b"\n", found + 1)
                return start + row_end + 1 if row_end >= 0 else None
            end = start
    return None


def rows_from(path: Path, offset: int, count: int) -> list[tuple[int, dict[str, str]]]:
    """Return the first `count` rows from `offset` on, each with the place where it ends.

    A torn last row is left out.
    """
    file = _opened(path)
    if file is None:
        return []
    found: list[tuple[int, dict[str, str]]] = []
    with file:
        end = file.seek(offset)
        while len(found) < count and (line := file.readline(ROW_MAX * 8)).endswith(b"\n"):
            end += len(line)
            if line.strip():
                found.append((end, _parse(line[:-1].decode(errors="replace"))))
    return found


def _parse(line: str) -> dict[str, str]:
    values = line.split("\t", len(COLUMNS) - 1)
    return dict(zip(COLUMNS, values + [""] * (len(COLUMNS) - len(values)), strict=True))
