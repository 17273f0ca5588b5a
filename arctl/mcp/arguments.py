"""The arguments of the tools: their types and limits, with what a client shows of each."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ardaemon.core.duration import seconds
from ardaemon.core.errors import UsageError

TIMEOUT_S = 50.0  # the shortest limit that a client has for a call by default is 60 s
TEXT_MAX = 100_000  # characters of a goal or a rationale: the daemon takes less, and says so
SOURCE_MAX = 1 << 20  # characters: core/file_kinds.py takes no larger train.py
NAME_MAX = 200  # characters of a name, and of a text to look for
AMOUNT_MAX = 64  # characters of a time
PATH_MAX = 4096  # PATH_MAX of Linux
LINES = 40
LINES_MAX = 80  # DESIGN §9
LIST_MAX = 64  # entries

Project = Annotated[
    str | None,
    Field(max_length=PATH_MAX, description="Absolute path of the project. Default: the server's folder."),
]
Expr = Annotated[
    str | None,
    Field(max_length=NAME_MAX, description="Slug of the experiment. Default: the live or the newest one."),
]
RunId = Annotated[str | None, Field(max_length=NAME_MAX, description="As r0043. Default: the latest run.")]
Note = Annotated[
    str | None, Field(max_length=TEXT_MAX, description="What was tried. Default: RUN_NOTE in train.py.")
]


def _seconds(value: object) -> object:
    """Return a time that is written with its unit in seconds. Raises ValueError, as pydantic wants it."""
    if not isinstance(value, str):
        return value
    try:
        return seconds(value[:AMOUNT_MAX], "timeout_s", zero=True)
    except UsageError as error:
        raise ValueError(error.line) from error


Timeout = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=float | str),
    Field(
        ge=0,
        allow_inf_nan=False,
        description='Answer after so many seconds, or "10m", at the latest; the run goes on.',
    ),
]
Source = Annotated[
    str | None,
    Field(
        max_length=SOURCE_MAX,
        description="The whole of train.py, written before the run: only if you cannot edit that file.",
    ),
]
Lines = Annotated[int, Field(ge=1, le=LINES_MAX)]
Word = Annotated[str | None, Field(max_length=NAME_MAX)]
Text = Annotated[str, Field(max_length=TEXT_MAX)]
Slug = Annotated[str, Field(max_length=NAME_MAX, description="As 261123-lr-warmup.")]
Names = Annotated[list[Annotated[str, Field(max_length=NAME_MAX)]] | None, Field(max_length=LIST_MAX)]
Count = Annotated[int | None, Field(ge=1, le=1000)]
Direction = Literal["min", "max"] | None
Path = Annotated[str | None, Field(max_length=PATH_MAX)]
Settings = Annotated[
    dict[str, Any] | None,
    Field(
        max_length=LIST_MAX,
        description="Options of `arctl session start`, as"
        ' {"seconds": "10m", "max_rss": "6GiB", "plateau": 20}; null clears one.',
    ),
]
