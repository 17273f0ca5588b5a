"""Constants read from a source that is never run."""

from pathlib import Path

import pytest

from ardaemon.core.literals import literal


@pytest.mark.parametrize(
    ("source", "value"),
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
    ],
)
def test_the_last_top_level_literal_is_read(source: bytes, value: object) -> None:
    assert literal(source, "RUN_NOTE") == value


@pytest.mark.parametrize(
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
        b"RUN_NOTE = 'a'\ndef broken(\n",
        b"RUN_NOTE = 'a'\n\x00",
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
