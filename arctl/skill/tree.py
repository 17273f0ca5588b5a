"""What is to lie in an installed folder, made from the skill as it comes with us. Pure."""

import json
import os

from arctl.skill import front
from arctl.skill.folder import Tree, skills
from arctl.skill.places import PLUGIN, Copy, portable_name

SERVERS = ".mcp.json"  # a plugin's MCP servers
SERVER = "ardaemon"


def wanted(copy: Copy, source: Tree, python: str, server: str | None) -> Tree:
    """Return the files of a copy: path inside its folder -> content.

    `python` runs the guards. `server` is the program of the MCP server; None: the plugin brings none.
    """
    if copy.part == PLUGIN:
        return _plugin(copy.folder, source, python, server)
    return _portable(source, copy.part)


def _plugin(folder: str, source: Tree, python: str, server: str | None) -> Tree:
    tree = dict(source)
    # Absolute paths: a hook in a skill's front matter is told of no folder by the agent.
    guard = [python, "-I", "-S", os.path.join(folder, "hooks", "guard.py")]
    for part in skills(source):
        name = f"skills/{part}/SKILL.md"
        text = front.for_claude(source[name].decode(), part, guard if part == "run" else None)
        tree[name] = text.encode()
    servers = tree.pop(SERVERS, None)
    if server is not None and servers is not None:
        tree[SERVERS] = _with_program(servers, server)
    return tree


def _with_program(servers: bytes, program: str) -> bytes:
    """Return the servers with the program's full path: an agent may have another PATH than a shell."""
    settings = json.loads(servers)
    settings["mcpServers"][SERVER]["command"] = program
    return (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode()


def _portable(source: Tree, part: str) -> Tree:
    above = f"skills/{part}/"
    tree = {name.removeprefix(above): data for name, data in source.items() if name.startswith(above)}
    text = front.portable(tree["SKILL.md"].decode(), portable_name(part))
    return {**tree, "SKILL.md": text.encode()}
