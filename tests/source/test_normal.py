"""Two versions of train.py are the same if their syntax trees are, less RUN_NOTE and all positions."""

import pytest

from ardaemon.source.normal import AST, RAW, normal, parsed, raw
from tests.support.every import every


def form(source: str | bytes) -> str:
    data = source.encode() if isinstance(source, str) else source
    return normal(data, parsed(data))


@pytest.mark.parametrize(
    "other",
    [
        "lr = 1e-3\nprint(lr)\n",
        "# tuned by hand\nlr   =   0.001  # the best so far\n\n\nprint( lr )",
        "lr = 1e-3; print(lr)",
        "(lr) = (1e-3)\r\nprint(lr,)\r\n",
        'RUN_NOTE = "lower rate"\nlr = 1e-3\nprint(lr)\n',
        "lr = 1e-3\nRUN_NOTE: str = 'a' 'b'\nprint(lr)\n",
        "\ufefflr = 1e-3\nprint(lr)\n",
    ],
)
def test_versions_that_do_the_same_have_the_same_form(other: str) -> None:
    assert form(other) == form("lr = 1e-3\nprint(lr)\n")


@every(
    "one, other",
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = 'None'"),
        ("x = ...", "x = 'Ellipsis'"),
        ("x = 1", "y = 1"),
        ("f(a, b)", "f(a, (b,))"),
        ("f(a=b)", "f(b, a)"),
        ("return_ = 1", "return_: int = 1"),
        ("def f(): return", "def f(): return None"),
        ("{**a, 'b': 1}", "{'b': 1, **a}"),
        ("[x for x in y]", "[x async for x in y]"),
        ("from . import a", "from .. import a"),
        ("f'{x}'", "f'{x!r}'"),
        ("a < b", "a <= b"),
        ("if a:\n if b:\n  c\n else:\n  d", "if a:\n if b:\n  c\nelse:\n d"),
        ("RUN_NOTE = note()", "RUN_NOTE = other()"),
        ("A = RUN_NOTE = 'a'", "A = RUN_NOTE = 'b'"),
        ("def f():\n RUN_NOTE = 'a'", "def f():\n RUN_NOTE = 'b'"),
        ("x = 0x1", "x = 0x" + "f" * 9000),
    ],
)
def test_versions_that_may_do_something_else_have_another(one: str, other: str) -> None:
    assert form(one) != form(other)
    assert form(one).startswith(AST)
    assert form(other).startswith(AST)


@pytest.mark.parametrize(
    "source", [b"if x:\n", b"x = \xff", b"(" * 5000, b"-" * 5000 + b"1", b"x = 1\0", b"x = " + b"9" * 5000]
)
def test_what_this_python_cannot_parse_is_known_by_its_bytes(source: bytes) -> None:
    assert form(source) == raw(source)
    assert form(source) != form(source + b" ")
    assert form(source).startswith(RAW)


def test_the_form_stays_the_same_from_version_to_version() -> None:
    """It stands in run.json and in facts.jsonl: a change of it would make no run equal to an earlier one."""
    source = "import torch\n@torch.no_grad()\ndef f(*a, lr=0x10, **k):\n    return {'x': [1, 2.5]}, None\n"
    assert form(source) == "ast-acf1a18af148f6d2c991a3b4b0fc5a61"
