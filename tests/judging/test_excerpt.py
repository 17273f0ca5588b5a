"""The end of a log as an agent reads it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.judging.excerpt import BYTES_MAX, LINES_MAX, MARKER, READ_BYTES, excerpt, tail_text


def written(folder: Path, data: str | bytes) -> Path:
    log = folder / "run.log"
    log.write_bytes(data.encode() if isinstance(data, str) else data)
    return log


def test_the_last_lines_are_shown_and_progress_in_its_last_state(tmp_path: Path) -> None:
    log = written(tmp_path, "one\r\n 10%\r 50%\r\x1b[32m100%\x1b[0m\r\ntwo\tthree\n\rstep 1\rstep 2")
    assert excerpt(log, 80, 8192) == "one\n100%\ntwo three\nstep 2"
    assert excerpt(log, 2, 8192) == "two three\nstep 2"


def test_the_traceback_comes_first_and_is_not_shown_twice(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import atexit\natexit.register(print, 'bye')\nprint('step 1', flush=True)\n1 / 0\n")
    with (tmp_path / "run.log").open("wb") as log:
        subprocess.run([sys.executable, str(script)], stdout=log, stderr=log, check=False)
    shown = excerpt(tmp_path / "run.log", 80, 8192).split("\n")
    assert shown[0] == "Traceback (most recent call last):"
    assert shown[shown.index(MARKER) - 1] == "ZeroDivisionError: division by zero"
    assert shown[shown.index(MARKER) + 1 :] == ["step 1", "bye"]


def test_of_a_long_traceback_its_end_is_kept_beside_the_logs_end(tmp_path: Path) -> None:
    frames = "".join(f'  File "f{i}.py", line 1, in f\n    g()\n' for i in range(200))
    log = written(
        tmp_path, f"before\nTraceback (most recent call last):\n{frames}ValueError: bad\n" + "after\n" * 50
    )
    shown = excerpt(log, 30, 8192).split("\n")
    assert len(shown) == 30
    assert shown[0] == "…"
    assert shown[19:21] == ["ValueError: bad", MARKER]
    assert shown[21:] == ["after"] * 9
    assert excerpt(log, 1, 8192) == "ValueError: bad"


def test_a_launchers_report_does_not_hide_the_scripts_traceback(tmp_path: Path) -> None:
    own = 'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\nValueError: own\n'
    report = 'Traceback (most recent call last):\n  File "l.py", line 1, in <module>\na.b.ChildFailedError:\n'
    shown = excerpt(written(tmp_path, own + report), 80, 8192)
    assert shown.startswith(own + MARKER)


def test_no_limit_passes_the_largest_one(tmp_path: Path) -> None:
    log = written(tmp_path, "".join(f"{i} {'é' * 100}\n" for i in range(1000)))
    text = excerpt(log, 10_000, 10_000_000)
    assert len(text.encode()) <= BYTES_MAX
    assert text.endswith("999 " + "é" * 100)
    assert excerpt(written(tmp_path, "a\n" * 1000), 10_000, 10_000_000).count("\n") == LINES_MAX - 1


def test_one_dumped_line_does_not_fill_the_excerpt(tmp_path: Path) -> None:
    shown = excerpt(written(tmp_path, f"first\n  {'9 ' * 50_000}\nlast\n"), 80, 8192).split("\n")
    assert (shown[0], shown[2]) == ("first", "last")
    assert shown[1].startswith("  9 9")
    assert shown[1].endswith("…")
    assert len(shown[1]) <= 400


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_log_of_progress_alone_shows_its_last_state(tmp_path: Path, end: str) -> None:
    """Far more than is read, without one line feed before the end."""
    states = "".join(f"\rstep {i:07} loss 0.5" for i in range(2 * READ_BYTES // 20))
    assert excerpt(written(tmp_path, states + end), 80, 8192) == states.rpartition("\r")[2]


def test_a_log_that_is_absent_empty_or_a_hole_gives_little(tmp_path: Path) -> None:
    assert excerpt(tmp_path / "gone" / "run.log", 80, 8192) == ""
    assert excerpt(tmp_path, 80, 8192) == ""
    assert excerpt(written(tmp_path, ""), 80, 8192) == ""
    assert excerpt(written(tmp_path, b"\0" * 10_000_000 + b"end"), 80, 8192) == "end"


def test_the_raw_tail_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = written(tmp_path, "first line\nsecond \xff line\nthird\n".encode("latin-1"))
    assert tail_text(log, 1000) == "first line\nsecond \ufffd line\nthird\n"
    assert tail_text(log, 10) == "third\n"
    assert tail_text(log, 3) == "rd\n"
    assert tail_text(tmp_path / "gone", 10) == ""


PIECES = st.one_of(
    st.sampled_from(
        [
            *(
                "Traceback (most recent call last):\n",
                '  File "a.py", line 1, in b\n',
                "    c()\n",
                "ValueError: d\n",
            ),
            *(
                "\n",
                "\r",
                "\r\n",
                "é" * 30 + "\n",
                "x" * 500 + "\n",
                "\x1b[31m",
                "\x1b]0;",
                "  | ",
                "[rank1]: ",
            ),
            *(
                "  + Exception Group Traceback (most recent call last):\n",
                "    +---------------- 2 ----------------\n",
            ),
        ]
    ),
    st.text(max_size=20),
)


@pytest.mark.parametrize("most_bytes", [60, 100, 300, 1000, 3000])
def test_traceback_and_log_share_the_bytes(tmp_path: Path, most_bytes: int) -> None:
    """Each has far more than its share; the error itself is always there."""
    frames = '  File "f.py", line 1, in f\n' * 500
    traceback = f"Traceback (most recent call last):\n{frames}ValueError: bad\n"
    text = excerpt(written(tmp_path, traceback + "after\n" * 5000), 80, most_bytes)
    assert most_bytes - 60 < len(text.encode()) <= most_bytes or len(text.splitlines()) == 80
    assert "ValueError: bad\n" + MARKER + "\nafter" in text


@given(st.lists(PIECES, max_size=40), st.integers(0, 90), st.integers(0, 9000))
def test_no_log_passes_the_limits(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], lines: int, most_bytes: int
) -> None:
    log = tmp_path_factory.getbasetemp() / "excerpt.log"
    log.write_bytes("".join(pieces).encode("utf-8", "replace"))
    text = excerpt(log, lines, most_bytes)
    assert len(text.encode()) <= most_bytes
    assert text == "" or len(text.splitlines()) <= lines
    assert "\x1b" not in text
    assert "\r" not in text
