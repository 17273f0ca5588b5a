"""Somebody else's SQLite file: what a killed writer committed is read, and nothing of it is touched."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.metrics import sqlite_file
from ardaemon.metrics.sqlite_file import Unreadable, columns, reading

# A writer that is killed: argv[2] chooses its journal; a transaction is under way, larger than its cache.
KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("PRAGMA cache_size = 1")
connection.execute("CREATE TABLE t(x)")
connection.execute("INSERT INTO t VALUES ('committed')")
connection.commit()
connection.executemany("INSERT INTO t VALUES (?)", (("x" * 3000,) for _ in range(50)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path: Path, journal: str) -> None:
    subprocess.run([sys.executable, "-S", "-c", KILLED, str(path), journal], check=False)


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything there, and when it was written."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def rows(path: Path) -> list[str]:
    with reading(path) as connection:
        return [x for (x,) in connection.execute("SELECT x FROM t")]


@pytest.mark.parametrize("journal", ["DELETE", "WAL", "TRUNCATE", "PERSIST"])
def test_what_a_killed_writer_committed_is_read_and_left_as_it_is(tmp_path: Path, journal: str) -> None:
    killed(tmp_path / "a.db", journal)
    before = content(tmp_path)
    assert len(before) > 1, "it left something beside the database"
    assert rows(tmp_path / "a.db") == ["committed"]
    assert content(tmp_path) == before


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_closed_file_is_read_in_place_and_nothing_is_made_beside_it(tmp_path: Path, journal: str) -> None:
    with closing(sqlite3.connect(tmp_path / "a ?#%.db")) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE t(x)")
        connection.execute("INSERT INTO t VALUES ('committed')")
        connection.commit()
    before = content(tmp_path)
    assert list(before) == ["a ?#%.db"]
    with reading(tmp_path / "a ?#%.db") as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [("committed",)]
        assert content(tmp_path) == before
    assert content(tmp_path) == before


def test_a_writer_that_goes_on_is_not_disturbed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t(x)")
        for n in range(3):
            writer.execute("INSERT INTO t VALUES (?)", (str(n),))
            assert rows(tmp_path / "a.db") == [str(k) for k in range(n + 1)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_a_file_in_a_folder_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    killed(tmp_path / "a.db", "WAL")
    tmp_path.chmod(0o500)
    try:
        assert rows(tmp_path / "a.db") == ["committed"]
    finally:
        tmp_path.chmod(0o700)


def test_a_locked_file_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as writer:
        writer.execute("CREATE TABLE t(x)")
        writer.execute("BEGIN EXCLUSIVE")  # no journal yet: nothing is written
        with pytest.raises(Unreadable, match=r"a\.db: database is locked"):
            rows(tmp_path / "a.db")


def test_a_question_without_an_end_is_stopped(tmp_path: Path) -> None:
    """A view can be anything: the file is the training script's."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        endless = (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n WHERE x < 0"
        )
        connection.execute(f"CREATE VIEW t AS {endless}")
    with (
        pytest.raises(Unreadable, match="took too long"),
        reading(tmp_path / "a.db", seconds=0.05) as connection,
    ):
        connection.execute("SELECT x FROM t").fetchall()


def test_a_large_file_that_was_left_open_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tmp_path / "a.db", "WAL")
    monkeypatch.setattr(sqlite_file, "COPY_MAX", 1 << 10)
    with pytest.raises(Unreadable, match="was left open"):
        rows(tmp_path / "a.db")


@pytest.mark.parametrize(
    "data", [b"", b"SQLite format 3\0", b"no database at all, but longer than a header" * 9]
)
def test_what_is_no_database_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.db").write_bytes(data)
    with pytest.raises(Unreadable, match=r"a\.db"):
        rows(tmp_path / "a.db")
    with pytest.raises(Unreadable, match="cannot be read"):
        rows(tmp_path / "missing.db")


def test_a_table_that_is_not_there_has_no_columns(tmp_path: Path) -> None:
    killed(tmp_path / "a.db", "WAL")
    with reading(tmp_path / "a.db") as connection:
        assert columns(connection, "t") == {"x"}
        assert columns(connection, "u") == set()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damage_anywhere_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("w")
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        connection.execute("CREATE TABLE t(x)")
        connection.executemany("INSERT INTO t VALUES (?)", ((str(n),) for n in range(200)))
        connection.commit()
    whole = bytearray((folder / "a.db").read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "a.db").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        rows(folder / "a.db")
    except Unreadable:
        pass
    assert os.listdir(folder) == ["a.db"]
