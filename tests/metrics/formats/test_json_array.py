"""An array of a JSON file, read element by element: what is yielded, refused, and held in memory."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ardaemon.metrics.formats import json_array
from ardaemon.metrics.formats.json_array import BLOCK, VALUE_MAX, elements
from tests.support.every import every


def read(path: Path, text: str) -> list[Any]:
    path.write_text(text)
    with path.open("rb") as file:
        return list(elements(file, "rows"))


@pytest.mark.parametrize("indent", [None, 2])
def test_elements_are_those_that_the_whole_text_has(tmp_path: Path, indent: int | None) -> None:
    pick = random.Random(1)
    rows = [{"é" * pick.randrange(9): [pick.random(), None, "]}"]} for _ in range(BLOCK // 20)]
    text = json.dumps({"a": {"rows": [1]}, "rows": rows, "z": "end"}, ensure_ascii=False, indent=indent)
    assert len(text) > 2 * BLOCK
    assert read(tmp_path / "f", f" {text}\n") == rows


@pytest.mark.parametrize("text", ['{"rows": []}', '{ "rows" : [ ] , "b": 1 }'])
def test_an_array_may_be_empty(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "f", text) == []


@every(
    "text, fault",
    [
        ("", "torn"),
        ("{}", "has no rows"),
        ('{"rows": 3}', "has no rows"),
        ('{"rows": [1, 2', "torn"),
        ('{"rows": [1 2]}', "torn"),
        ('{"rows": [1,]}', "torn"),
        ('{"rows": [1]', "torn"),
        ('{"rows": [1]} more', "torn"),
        ('{"rows": [' + "[" * 200_000, "torn"),
        ('{"rows": [' + "9" * 20_000 + "]}", "torn"),
        ('{"rows": ["' + "a" * (BLOCK + VALUE_MAX) + '"]}', "torn"),
        ('{"rows": [' + "1" * 4_000 + "]" + " " * BLOCK, "torn"),
    ],
)
def test_what_is_torn_no_json_or_too_large_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read(tmp_path / "f", text)


def test_too_many_elements_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "ELEMENTS_MAX", 3)
    assert read(tmp_path / "f", '{"rows": [1, 2, 3]}') == [1, 2, 3]
    with pytest.raises(ValueError, match="more than 3 entries"):
        read(tmp_path / "f", '{"rows": [1, 2, 3, 4]}')


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('{"rows": [' + "[[{}]]," * 50_000 + "1]}")
    with path.open("rb") as file:
        tracemalloc.start()
        try:
            assert sum(1 for _ in elements(file, "rows")) == 50_001
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
