"""Options that stand in a list, as `["--lr", "0.1", "model.width=64"]`. The standard library alone."""

import ast
import re
from collections.abc import Iterator
from itertools import zip_longest

_FLAG = re.compile(r"--?([A-Za-z][\w.-]*)")
_SETTING = re.compile(r"(?:--?|\+{1,2})?([A-Za-z][\w./-]*)=.*", re.DOTALL)  # argparse's, Hydra's


def options(items: list[ast.expr]) -> Iterator[tuple[str, ast.expr]]:
    """Yield each option with its value: `"--lr", "0.1"`, or in one item `"--lr=0.1"`, `"optim.lr=0.1"`.

    The value of the latter is the whole item.
    """
    for item, after in zip_longest(items, items[1:]):
        text = _text(item)
        if setting := _SETTING.fullmatch(text):
            yield _name(setting[1]), item
        elif (flag := _FLAG.fullmatch(text)) and _is_value(after):
            yield _name(flag[1]), after


def _is_value(item: ast.expr | None) -> bool:
    if item is None or isinstance(item, ast.Starred):
        return False
    return not any(kind.fullmatch(_text(item)) for kind in (_FLAG, _SETTING))


def _name(option: str) -> str:
    """Return the name as it would stand in Python, without the groups before it."""
    return re.split(r"[./]", option)[-1].replace("-", "_")


def _text(item: ast.expr | None) -> str:
    return item.value if isinstance(item, ast.Constant) and isinstance(item.value, str) else ""
