"""What Codex needs beside the skills: the MCP server in config.toml, and a rule for its sandbox."""

import os
from collections.abc import Iterator, Sequence

from arctl.sandbox import CODEX_RULE
from arctl.skill import settings
from arctl.skill.places import codex_home
from arctl.skill.record import Entry
from arctl.skill.settings import Change
from ardaemon.core import toml
from ardaemon.core.errors import Refused

TABLE = "mcp_servers"
SERVER = "ardaemon"
START_S = 30  # Codex's own limit is 10 s, which a slow disk may pass
TOOL_S = 86_400  # a wait may last a day
WAIT_S = 86_000  # what the server waits at most: less than the limit above, so that it can still answer
# Codex starts a server with few variables. These find the daemon, and what a training script's shell has.
VARIABLES = (
    "XDG_RUNTIME_DIR XDG_STATE_HOME XDG_CONFIG_HOME DBUS_SESSION_BUS_ADDRESS AR_EXPR AR_NONINTERACTIVE"
    " VIRTUAL_ENV CONDA_PREFIX PYTHONPATH LD_LIBRARY_PATH CUDA_HOME CUDA_VISIBLE_DEVICES HF_HOME HF_TOKEN"
    " TORCH_HOME WANDB_API_KEY WANDB_MODE WANDB_PROJECT"
).split()
RULE = f"{CODEX_RULE}\n"
APPROVED = 'default_tools_approval_mode = "approve"'


def entry(program: str, project: str | None, approved: bool) -> str:
    """Return the server's table as text. `approved`: its tools are called without a question."""
    lines = [
        f"[{TABLE}.{SERVER}]",
        f"command = {toml.string(program)}",
        f'args = ["mcp", "--wait-max", "{WAIT_S}"]',
        *([] if project is None else [f"cwd = {toml.string(project)}"]),
        f"env_vars = [{', '.join(map(toml.string, VARIABLES))}]",
        f"startup_timeout_sec = {START_S}",
        f"tool_timeout_sec = {TOOL_S}",
        *([APPROVED] if approved else []),
    ]
    return "\n".join(lines) + "\n"


def server(program: str, project: str | None, approved: bool, ours: Sequence[Entry]) -> Change | None:
    """Plan the entry of the MCP server. None: it is there, or a person has one of his own.

    `ours` is what earlier installations added: their entry is replaced. What a person has approved with it
    stays approved.
    """
    file = os.path.join(codex_home(project), "config.toml")
    before = settings.read(file)
    old = next((one.item for one in ours if one.file == file and one.item in (before or "")), None)
    was_approved = old is not None and APPROVED in old
    text, table = before or "", entry(program, project, approved or was_approved)
    if old is None and _has_server(file, text):
        return None
    rest = text if old is None else text.replace(old, "", 1)
    item = (_gap(rest) if old is None else old[: old.index("[")]) + table
    after = f"{rest}{item}" if old is None else text.replace(old, item, 1)
    _require(file, rest, after, item)
    if after == text:
        return None
    widens = approved and not was_approved
    why = "Codex starts arctl mcp outside its sandbox"
    why += ", and calls its tools without a question" if widens else ""
    added = Entry(file=file, path=(), item=item, made=0, new=before is None)
    return Change(file=file, why=why, before=before, after=after, entries=(added,), widens=widens)


def _gap(text: str) -> str:
    """Return the line ends between a text and a table that follows it."""
    if not text.strip() or text.endswith("\n\n"):
        return ""
    return "\n" if text.endswith("\n") else "\n\n"


def _has_server(file: str, text: str) -> bool:
    return SERVER in _servers(_parsed(file, text))


def _servers(tables: dict[str, object]) -> dict[str, object]:
    servers = tables.get(TABLE)
    return servers if isinstance(servers, dict) else {}


def _parsed(file: str, text: str) -> dict[str, object]:
    try:
        return toml.parse(text)
    except ValueError as error:
        raise settings.broken(file, str(error)) from error


def _require(file: str, before: str, after: str, item: str) -> None:
    """Raise Refused unless the text means what it meant before, and the new entry."""
    try:
        tables, added = toml.parse(after), toml.parse(item)[TABLE][SERVER]
    except ValueError:
        tables, added = {}, None
    expected = _parsed(file, before)
    if tables != {**expected, TABLE: {**_servers(expected), SERVER: added}}:
        raise Refused(
            f"{file} writes {TABLE} in a form to which nothing can be added", f"add to it by hand:\n{item}"
        )


def rule(project: str | None) -> Change | None:
    """Plan the rule by which plain arctl commands run outside the sandbox. None: it is there."""
    file = os.path.join(codex_home(project), "rules", "default.rules")
    why = "Codex runs plain arctl commands outside its sandbox, without a question"
    if RULE.strip() in map(str.strip, (settings.read(file) or "").splitlines()):
        return None
    return settings.with_text(file, why, RULE)


def changes(
    program: str | None, project: str | None, approved: bool, ours: Sequence[Entry]
) -> Iterator[Change]:
    """Plan both."""
    both = (None if program is None else server(program, project, approved, ours), rule(project))
    yield from (change for change in both if change is not None)
