"""`arctl config show | check`: the settings of config.toml. Both read the file, and start no daemon."""

import json
import os
from typing import Any

import click

from arctl.base import json_option, say, say_json
from ardaemon.core import config_file, places
from ardaemon.core.config_file import Loaded, Setting


@click.group()
def config() -> None:
    """Show the settings of config.toml and where each comes from, or check the file."""


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Show each setting with its value, and where the value comes from."""
    path, loaded = _load()
    if as_json:
        say_json({"file": path, "settings": [_facts(setting) for setting in loaded.settings]})
        return
    wide = max(len(_assignment(setting)) for setting in loaded.settings)
    for setting in loaded.settings:
        say(f"{_assignment(setting):{min(wide, 40)}}  # {_where(setting, path)}")


@config.command()
@json_option
def check(as_json: bool) -> None:
    """Check config.toml: exit code 64 with file, line and fault where something is wrong."""
    path, loaded = _load()
    set_here = [setting.name for setting in loaded.settings if setting.where == "file"]
    if as_json:
        say_json({"file": path, "exists": os.path.isfile(path), "settings": set_here})
    elif not os.path.isfile(path):
        say(f"there is no file {path}: the defaults hold")
    else:
        say(f"{path} is right: {', '.join(set_here) or 'it sets nothing'}")


def _load() -> tuple[str, Loaded]:
    path = places.config_file()
    return path, config_file.load(path, os.environ)


def _facts(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "value": setting.value,
        "from": setting.where,
        "line": setting.line,
        "variable": setting.variable,
    }


def _assignment(setting: Setting) -> str:
    """Return the setting as a line of TOML, which has no word for a value that is not set."""
    if setting.value is None:
        return f"# {setting.name} is not set"
    return f"{setting.name} = {json.dumps(setting.value, ensure_ascii=False)}"


def _where(setting: Setting, path: str) -> str:
    match setting.where:
        case "file":
            return f"{path}:{setting.line}"
        case "environment":
            return f"environment variable {setting.variable}"
        case "default":
            return "default"
