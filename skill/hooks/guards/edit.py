"""The edit guard: a session that runs the loop edits train.py, and nothing else of its project."""

import json
import os
import sys

from guards import table, transcript, writes
from guards.event import Event, Unclear, shown, text
from guards.place import Place
from guards.shell import Shell

REFUSED = 2  # the only exit code with which an agent does not make the call
PATHS = {"Edit": "file_path", "Write": "file_path", "MultiEdit": "file_path", "NotebookEdit": "notebook_path"}


def main(event: Event) -> int:
    """Judge one call of a tool; a refusal is one line on stderr."""
    why = refusal(event)
    if why is None:
        if transcript.is_compacted(event.get("transcript_path")):
            _put_back(event)
        return 0
    print(f"autoresearch: {why}", file=sys.stderr)
    return REFUSED


def _put_back(event: Event) -> None:
    """Give the state to an agent that has not got it since its context was compacted, with this call."""
    from guards import compact

    state = compact.state_text(event)
    if state:
        output = {"hookEventName": "PreToolUse", "additionalContext": state}
        print(json.dumps({"hookSpecificOutput": output}))


def refusal(event: Event) -> str | None:
    """Return why the call is refused; None if it may be made. Raises Unclear if it cannot be judged."""
    tool, given = text(event, "tool_name"), event.get("tool_input")
    if tool != "Bash" and tool not in PATHS:
        return None
    if not isinstance(given, dict):
        raise Unclear("the event has no tool_input")
    folder = text(event, "cwd")
    place = Place([folder, *filter(None, [os.environ.get("CLAUDE_PROJECT_DIR")])])
    if tool != "Bash":
        return place.refusal(os.path.join(folder, text(given, PATHS[tool])))
    return _of_command(text(given, "command"), folder, place)


def _of_change(change: writes.Change, place: Place) -> str | None:
    if isinstance(change, writes.GitChange):
        if change.folder is not None and not place.inside(change.folder):
            return None
        return f"git {shown(change.subcommand)} changes the project: {table.GIT_WHY}"
    if isinstance(change, writes.PersonAlone):
        return f"arctl {change.command} is a decision of the person, who calls it in a shell of their own"
    if change.path is None:
        raise Unclear("where this command writes cannot be told: write the path out")
    return place.refusal(change.path, change.removing)


def _of_command(command: str, folder: str, place: Place) -> str | None:
    if not place.roots and not place.above:
        return None  # there is no experiment here: nothing is to be guarded yet
    for simple in Shell(command, folder).read():
        for change in writes.of(simple):
            why = _of_change(change, place)
            if why is not None:
                return why
    return None
