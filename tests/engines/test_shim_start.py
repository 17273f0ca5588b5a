"""The shim's start is cheap, and what it writes without the json module is JSON."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ardaemon
from ardaemon.shim import handover, records

ROOT = Path(ardaemon.__file__).parent.parent
# Each is slower to import than all modules of the shim's own together, or imports one that is.
SLOW = {"collections", "contextlib", "dataclasses", "enum", "functools", "json", "re", "signal", "typing"}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    # No surrogates: they are no text.
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_shim_imports_nothing_that_is_slow() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import ardaemon.shim.supervisor; print(*sys.modules)"
    )
    asked = [sys.executable, "-I", "-S", "-c", program]
    loaded = subprocess.run(
        asked, env={}, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert "ardaemon.shim.supervisor" in loaded
    assert not SLOW & set(loaded)


@given(VALUES)
def test_what_a_shim_writes_is_json(value: object) -> None:
    assert msgspec.json.decode(records.encode(value)) == value


def test_what_is_no_text_becomes_a_question_mark() -> None:
    assert msgspec.json.decode(records.encode("a\udcffb")) == "a?b"


def test_what_a_shim_never_writes_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes is not written"):
        records.encode({"name": b"bytes"})


def test_orders_arrive_as_they_were_given(tmp_path: Path) -> None:
    spec: dict[str, object] = {
        "argv": ("python", "a\udcffb"),
        "limit": 1.5,
        "startup": None,
        "environment": {"A": "ä"},
    }
    file = tmp_path / "orders"
    file.write_bytes(handover.dump(spec))
    assert handover.load(os.open(file, os.O_RDONLY)) == spec
