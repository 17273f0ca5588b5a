"""Says how to get the MCP SDK, which is an extra: no other command needs it (standard library alone)."""

import os
import shlex
import sys
from importlib import metadata, util

from ardaemon.core.errors import Refused

SDK = "mcp>=2.3,<3"  # of the extra in pyproject.toml; a test compares them
PIPX = "/pipx/venvs/"


class NoSdk(Refused):
    """The MCP SDK is not installed, or another version than is needed."""


def require_sdk() -> None:
    """Raise NoSdk, with the command that installs the SDK, if it cannot be imported."""
    try:
        from mcp.server import MCPServer  # noqa: F401
    except ImportError as error:
        raise NoSdk(f"arctl mcp needs {SDK}: {_found(error)}", how_to_install()) from error


def _found(error: ImportError) -> str:
    try:
        return f"version {metadata.version('mcp')} is installed ({error})"
    except metadata.PackageNotFoundError:
        return "it is not installed"


def how_to_install() -> str:
    """Return the command that puts the SDK beside this arctl, however that was installed."""
    prefix = sys.prefix
    if PIPX in prefix:
        return shlex.join(["pipx", "inject", os.path.basename(prefix), SDK])
    if util.find_spec("pip") is None:  # as in an environment that uv has made
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, SDK])
    return shlex.join([sys.executable, "-m", "pip", "install", SDK])
