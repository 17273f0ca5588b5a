"""`arctl config show | check`: the settings of config.toml. Both read the file, and start no daemon."""

import json
import os
import shlex
import shutil
from typing import Any

import click

from arctl.base import complain, json_option, say, say_json
from arctl.connection import Connection, ConnectionLost
from arctl.dial import Answer, Busy, NotRunning
from arctl.starter import dial_running
from ardaemon.core import config_file, places
from ardaemon.core.config_file import Loaded, Setting
from ardaemon.core.errors import ArdaemonError

COLUMN_MAX = 40  # characters of a setting before its source: a long list moves its own source alone


@click.group()
def config() -> None:
    """Show the settings of config.toml and where each comes from, or check the file."""


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Show each setting with its value, and where the value comes from."""
    state = _daemon()
    if state.get("fault"):
        complain("warning: the daemon goes on with the settings of before the fault")
    path, loaded = _load(state.get("variables"))
    held = state.get("held") or {}
    if as_json:
        settings = [{**_facts(s), "until_restart": _held(s, held)} for s in loaded.settings]
        say_json({"file": path, "daemon": bool(state), "settings": settings})
        return
    wide = min(max(len(_assignment(setting)) for setting in loaded.settings), COLUMN_MAX)
    for setting in loaded.settings:
        say(f"{_assignment(setting):{wide}}  # {_where(setting, path)}{_until(setting, held)}")


@config.command()
@json_option
def check(as_json: bool) -> None:
    """Check config.toml: exit code 64 with file, line and fault where something is wrong."""
    path, loaded = _load(None)
    set_here = [setting.name for setting in loaded.settings if setting.where == "file"]
    if as_json:
        say_json({"file": path, "exists": os.path.isfile(path), "settings": set_here})
    elif not os.path.isfile(path):
        absent = f"{path} leads to no file" if os.path.islink(path) else f"there is no file {path}"
        say(f"{absent}: the defaults hold")
    else:
        say(f"{path} is right: {', '.join(set_here) or 'it sets nothing'}")
    if loaded.config.on_event is not None and not _is_found(loaded.config.on_event):
        complain(
            f"warning: on_event: {_program(loaded.config.on_event)!r} is no program that this shell finds"
        )


def _is_found(command: str) -> bool:
    return shutil.which(_program(command)) is not None


def _program(command: str) -> str:
    """Return the program of a command, as the daemon starts it."""
    return os.path.expanduser(shlex.split(command)[0])


def _daemon() -> Answer:
    """Return how the daemon stands to the file; {} where none runs, or it cannot be asked from here."""
    try:
        with dial_running(check=False) as sock:
            return Connection(sock).call("daemon.info").get("config") or {}
    except (NotRunning, Busy, ConnectionLost, ArdaemonError):
        return {}


def _load(variables: dict[str, str] | None) -> tuple[str, Loaded]:
    """Read the file. `variables`: those of the daemon, if it runs; else those of this command."""
    path = places.config_file()
    return path, config_file.load(path, os.environ if variables is None else variables)


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


def _held(setting: Setting, held: dict[str, str]) -> Any:
    """Return the value that holds until the daemon's restart; None where the setting holds by now."""
    return json.loads(held[setting.name]) if setting.name in held else None


def _until(setting: Setting, held: dict[str, str]) -> str:
    if setting.name not in held:
        return ""
    now = held[setting.name]
    return f"; runs keep {'the default' if now == 'null' else now} until: arctl daemon restart"
