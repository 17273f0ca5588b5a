"""Constants read from a source that is never run."""

import time
from pathlib import Path

import pytest

from ardaemon.core.literals import SOURCE_MAX, STATEMENT_MAX, literal
from tests.support.every import every


@every(
    "source, value",
    [
        (b'RUN_NOTE = "lr 2e-4"\n', "lr 2e-4"),
        (b'RUN_NOTE: str = "typed"\n', "typed"),
        (b'A = RUN_NOTE = "two names"\n', "two names"),
        (b'RUN_NOTE = ("joined "\n  "text")\n', "joined text"),
        (b"RUN_NOTE = {'metric': ['a', -1.5, None], 'n': 3}\n", {"metric": ["a", -1.5, None], "n": 3}),
        (b"RUN_NOTE = 'first'\nimport os\nRUN_NOTE = 'last'\n", "last"),
        ("# -*- coding: latin-1 -*-\nRUN_NOTE = 'é'\n".encode("latin-1"), "é"),
        ("\ufeffRUN_NOTE = 'mark'\r\n".encode(), "mark"),
        (b"print('\\d')\nRUN_NOTE = '\\d'\n", "\\d"),
        (b"RUN_NOTE = \\\n    'on the next line'\n", "on the next line"),
        (b"RUN_NOTE = (  # a comment with (\n  'a ) in a string'\n)\nx = f(\n", "a ) in a string"),
        (b"def f():\n  '''It's\nRUN_NOTE = 1\n'''\nRUN_NOTE = 2; x = 3\nif RUN_NOTE == 2:\n", 2),
        (
            b"RUN_NOTE = 'before a line that does not parse'\ndef broken(\n\x00",
            "before a line that does not parse",
        ),
    ],
)
def test_the_last_top_level_literal_is_read(source: bytes, value: object) -> None:
    assert literal(source, "RUN_NOTE") == value


@every(
    "source",
    [
        b"",
        b"OTHER = 1\n# RUN_NOTE\n",
        b"RUN_NOTE: str\n",
        b"RUN_NOTE = make()\n",
        b"RUN_NOTE = f'{x}'\n",
        b"RUN_NOTE = 'a'\nRUN_NOTE = make()\n",
        b"RUN_NOTE = 'a'\nRUN_NOTE += 'b'\n",
        b"if True:\n    RUN_NOTE = 'nested'\n",
        b"def f():\n    RUN_NOTE = 'local'\n",
        b"x.RUN_NOTE = 'attribute'\n",
        b"RUN_NOTE = {[]: 1}\n",
        b'TEXT = """\nRUN_NOTE = 1\n"""\n',
        b"RUN_NOTE == 'a'\n",
        b"RUN_NOTE = 'first'\nRUN_NOTE = '" + b"long" * (STATEMENT_MAX // 4) + b"'\n",
        b"RUN_NOTE = 'a'\n" + b"#" * SOURCE_MAX,
        b"RUN_NOTE = '\xff'\n",
        b"# coding: no-such-codec\nRUN_NOTE = 'a'\n",
        b"RUN_NOTE = " + b"-" * 100_000 + b"1\n",
        b"RUN_NOTE = " + b"(" * 100_000,
        b"RUN_NOTE = a" + b".b" * 100_000,
        b"RUN_NOTE = 1" + b"+1" * 100_000,
        b"RUN_NOTE = " + b"9" * 100_000,
    ],
    ids=lambda source: source[:40].decode("latin-1"),
)
def test_what_is_no_literal_or_does_not_parse_gives_none(source: bytes) -> None:
    assert literal(source, "RUN_NOTE") is None


def test_the_source_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    source = f"open({str(mark)!r}, 'w').close()\nRUN_NOTE = 'a'\n".encode()
    assert literal(source, "RUN_NOTE") == "a"
    assert not mark.exists()


@pytest.mark.parametrize(
    "unit",
    [
        b"{a}",
        b'""',
        b'"""a\n',
        b"\"\"\"a\n'''b\n",
        b"\\",
        b'"\\',
        b"(",
        b"a=",
        b"RUN_NOTE = 1\n",
        b"RUN_NOTE ",
        b"# coding",
    ],
)
def test_no_source_takes_long_to_look_through(unit: bytes) -> None:
    """The parser of Python takes a minute for the first one, and nobody else is served meanwhile."""
    source = b'x = f"' + unit * ((SOURCE_MAX - 64) // len(unit)) + b'"\nRUN_NOTE = "found"\n'
    began = time.thread_time()
    assert literal(source, "RUN_NOTE") in ("found", None)
    assert time.thread_time() - began < 1  # 0.05 s where nothing else is at work


def test_the_longest_statement_that_is_read_takes_no_long_parsing() -> None:
    source = b'RUN_NOTE = f"' + b"{a}" * ((STATEMENT_MAX - 20) // 3) + b'"\n'
    began = time.thread_time()
    assert literal(source, "RUN_NOTE") is None
    assert time.thread_time() - began < 1  # 0.04 s
