"""The tables of docs/configuration.md, made from the code: `make configuration` writes them."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ardaemon.core import config
from ardaemon.core.config import Config
from ardaemon.core.config_file import VARIABLES
from ardaemon.core.model import OF_A_NEW_SESSION, Settings
from ardaemon.core.size import written
from tests.support.page import DOCS, Page

SOURCE = Path(config.__file__)
PATH = DOCS / "configuration.md"


def _page(name: str) -> Page:
    return Page(PATH, f"<!-- {name}: make configuration writes this table -->", f"<!-- end of {name} -->")


SETTINGS, OPTIONS, LIMITS = map(_page, ("settings", "options", "limits"))


def settings() -> list[str]:
    """Each setting of config.toml: its default, its variable, and the comment before its field."""
    comments = dict(_comments(SOURCE.read_text(encoding="utf-8").splitlines()))
    rows = [
        f"| `{field.name}` | {_value(field.default)} | {_variable(field.name)} | {comments[field.name]} |"
        for field in msgspec.structs.fields(Config)
    ]
    return ["| setting | default | variable | |", "|---|---|---|---|", *rows]


def options() -> list[str]:
    """Each setting of a session: its option, its default, and the option's help."""
    from arctl.commands.session import start
    from arctl.session_options import SETTINGS as NAMES

    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    helps = {param.name: (param.opts[0], getattr(param, "help", "")) for param in start.params}
    rows = [
        f"| `{helps[name][0]}` | {_default(name, defaults[name])} | {_cell(helps[name][1])} |"
        for name in NAMES
    ]
    return ["| option | default | |", "|---|---|---|", *rows]


def _default(name: str, value: Any) -> str:
    """The default of an option; the runner's is looked for."""
    if name == "runner":
        return "found at the start"
    return written(OF_A_NEW_SESSION[name]) if name in OF_A_NEW_SESSION else _value(value)


def limits() -> list[str]:
    """Each constant of core/config.py, with the comment beside or before it."""
    text = SOURCE.read_text(encoding="utf-8")
    lines = text.splitlines()
    rows = [
        f"| `{name}` | {getattr(config, name):,} | {_reason(lines, node)} |"
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        for name in [node.targets[0].id]
        if isinstance(getattr(config, name), int | float)
    ]
    return ["| limit | value | |", "|---|---|---|", *rows]


def _comments(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The whole-line comments before each field of Config."""
    above: list[str] = []
    for line in lines[next(i for i, line in enumerate(lines) if line.startswith("class Config")) :]:
        if match := re.match(r"    # (.*)", line):
            above.append(match[1])
        else:
            if (match := re.match(r"    (\w+): ", line)) and above:
                yield match[1], _cell(" ".join(above))
            above = []


def _reason(lines: list[str], node: ast.Assign) -> str:
    """The comment beside a constant; else the lines of comment right above it."""
    _, beside, text = lines[node.lineno - 1].partition("  # ")
    if beside:
        return _cell(text)
    above: list[str] = []
    at = node.lineno - 2
    while lines[at].startswith("# ") and not lines[at].startswith("# ---"):
        above.insert(0, lines[at][2:])
        at -= 1
    return _cell(" ".join(above))


def _value(value: Any) -> str:
    if value is msgspec.NODEFAULT:
        return "must be given"
    return "not set" if value in (None, ()) else f"`{json.dumps(value)}`"


def _variable(name: str) -> str:
    return f"`{VARIABLES[name]}`" if name in VARIABLES else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").strip()


TABLES: Mapping[Page, Any] = {SETTINGS: settings, OPTIONS: options, LIMITS: limits}

if __name__ == "__main__":
    for page, rows in TABLES.items():
        page.write("\n".join(rows()))
