"""The answers of the tools: their types, whose schemas clients see, and their limits.

Clients show a model the text, or the structure alone (as Claude Code does), or both. So each says all that a
loop needs, and of `run` and `wait` each has at most 1 KiB.
"""

import json
from typing import Any

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.text import clean, cut_bytes

TEXT_MAX = 1024  # bytes of what `run`, `wait`, `result` and `cancel` say
ERROR_MAX = 1024
WARNING_MAX = 200  # bytes of one warning
WARNINGS_MAX = 2  # of one answer: more are in the daemon's log


class Outcome(BaseModel):
    """A run as it stands. `next` says what to do now."""

    expr: str
    run_id: str
    state: str = Field(
        description="queued, launching, running, exited, judged; committed: the verdict stands"
    )
    next: str = Field(description="wait, continue, chain: …, stop: … or leave: …")
    status: str | None = Field(default=None, description="how the run ended")
    verdict: str | None = Field(
        default=None,
        description="advance: kept; else train.py is the best again; measure: the best once more",
    )
    value: float | None = Field(default=None, description="of the metric")
    best_run: str | None = Field(default=None, description="after this run")
    best_value: float | None = None
    train_py: str | None = Field(default=None, description="kept, restored, updated, edited_since")
    text: str = Field(default="", description="what became of it, and why")
    feedback: str = Field(default="", description="what a person's command says of it")
    warnings: list[str] = []


class Status(BaseModel):
    """An experiment as it stands."""

    expr: str
    project: str
    train_py: str = Field(description="path of the file to edit")
    metric: str
    direction: str
    best_run: str | None = None
    best_value: float | None = None
    session: str = Field(description="live; or why runs are refused now")
    active: list[str] = Field(default=[], description="runs that wait or are at work")
    chain_remaining: int | None = None
    text: str = Field(description="counts, limits, what train.py holds, what is the matter")
    warnings: list[str] = []


class Log(BaseModel):
    """The end of a run's log."""

    expr: str
    run_id: str
    state: str
    text: str
    warnings: list[str] = []


class Line(BaseModel):
    """One run that answers the question."""

    run_id: str
    verdict: str
    measure: bool = False
    value: float | None = None
    note: str = ""
    why: str = ""


class History(BaseModel):
    """What has been tried."""

    expr: str
    metric: str
    direction: str
    found: int
    lines: list[Line]
    hint: str = ""
    warnings: list[str] = []


class Report(BaseModel):
    """What all runs have shown, as Markdown."""

    expr: str
    text: str
    warnings: list[str] = []


class Child(BaseModel):
    """The experiment that follows in the chain; its session is live."""

    expr: str
    parent: str
    train_py: str = Field(description="path of the file to edit")
    next: str = Field(description="continue: edit it, and run it")
    chain_remaining: int | None = Field(default=None, description="null: no limit")
    warnings: list[str] = []


def answer(text: str, content: BaseModel, most: int | None = None) -> CallToolResult:
    """Make the answer of a tool from its text and its structure, both cleaned and each of `most` bytes."""
    lines = [text, *(f"warning: {warning}" for warning in getattr(content, "warnings", ()))]
    shown = clean("\n".join(lines)).rstrip("\n")
    shown = shown if most is None else cut_bytes(shown, most)
    structure = _fitted(cleaned(content.model_dump(mode="json", exclude_defaults=True)), most)
    return CallToolResult(content=[TextContent(type="text", text=shown)], structured_content=structure)


def _fitted(structure: dict[str, Any], most: int | None) -> dict[str, Any]:
    """Return a structure that is too long, as of signs that JSON escapes, less what it can do without."""
    for name in ("feedback", "text", "warnings"):
        if most is not None and len(json.dumps(structure, ensure_ascii=False).encode()) > most:
            structure.pop(name, None)
    return structure


def cleaned(value: Any) -> Any:
    """Return a structure with every string in it made safe for a context window."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    return {key: cleaned(each) for key, each in value.items()} if isinstance(value, dict) else value


def refusal(error: ArdaemonError, before: str = "") -> CallToolResult:
    """Make the answer of a tool that failed: what is wrong, and what to do now."""
    return failure("\n→ ".join(filter(None, (f"{before}{error.message}", error.mend))))


def failure(text: str) -> CallToolResult:
    """Make the answer of a tool that failed, from its text."""
    shown = cut_bytes(clean(text), ERROR_MAX)
    return CallToolResult(content=[TextContent(type="text", text=shown)], is_error=True)
