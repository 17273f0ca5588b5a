"""Options of more than one command."""

import os
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ardaemon.core.duration import hours, seconds
from ardaemon.core.errors import UsageError
from ardaemon.core.priority import PRIORITY_MOST
from ardaemon.core.size import mebibytes


class Size(click.ParamType[float]):
    """A size of memory or of disk, written as `6GiB`; its value is in MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the amount. Raises UsageError, which names the option and shows what it takes."""
        if isinstance(value, float):
            return value
        return mebibytes(str(value), param.opts[0] if param is not None else "size")


class Duration(click.ParamType[float]):
    """A length of time, written as `90s`, `10m` or `2h`; its value is in seconds, 0 only with `zero`."""

    name = "duration"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the length, or raise click's error, which names the option."""
        if isinstance(value, float):
            return value
        option = param.opts[0] if param is not None else "duration"
        try:
            return seconds(str(value), option, self.zero)
        except UsageError as error:
            raise click.UsageError(error.line, ctx) from error


class Hours(click.ParamType[float]):
    """A length of time in hours, or with its unit, as `90m`; its value is in hours."""

    name = "hours"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the length, or raise click's error, which names the option."""
        if isinstance(value, float):
            return value
        option = param.opts[0] if param is not None else "hours"
        try:
            return hours(str(value), option)
        except UsageError as error:
            raise click.UsageError(f"{error.message} (write it as 8, 90m or 2d)", ctx) from error


class Scope(click.ParamType[list[str]]):
    """What may be changed: names with commas between them."""

    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Split the names; the daemon checks them."""
        return value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]


class RunId(click.ParamType[str]):
    """A run, written as r0042, r42 or 42. What is none of these the daemon refuses."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Write the id out; `best` and the like stay."""
        match = SHORT_ID.fullmatch(str(value))
        return f"r{int(match[1]):04d}" if match else str(value)


SHORT_ID = re.compile(r"r?([0-9]{1,9})", re.ASCII)
SIZE = Size()


RUN = RunId()
DURATION, DURATION_OR_0, HOURS = Duration(), Duration(zero=True), Hours()
SCOPE = Scope()


class HomePath(click.Path):
    """A path that may begin with ~: a shell leaves that of --train=~/train.py as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, with the home folder in the place of ~."""
        return super().convert(os.path.expanduser(value), param, ctx)


class FileOrNone(HomePath):
    """A file that is there, or the word `none`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path or the word; a file of that name is ./none."""
        return value if value == NO_FILE else super().convert(value, param, ctx)


NO_FILE = "none"
file_type = HomePath(exists=True, dir_okay=False)
folder_type = HomePath(exists=True, file_okay=False)
file_or_none = FileOrNone(exists=True, dir_okay=False)
path_type = HomePath()
PRIORITY = click.IntRange(-PRIORITY_MOST, PRIORITY_MOST)

GPUS = click.IntRange(min=0)
GPUS_HELP = "GPUs per run; 0 is a CPU slot. Default: 1 if the machine has any."
VRAM_HELP = "With --share: the memory a run needs on each GPU, as 6GiB."

gpus_option = click.option("--gpus", type=GPUS, metavar="N", help=GPUS_HELP)
vram_option = click.option("--vram", type=SIZE, metavar="SIZE", help=VRAM_HELP)


def which_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the two ways to name a run, RUN and --run ID; the command gets `run_id`, None for the latest."""

    @click.argument("run_id", metavar="[RUN]", type=RUN, required=False)
    @click.option("--run", "named", type=RUN, metavar="RUN", help="Another way to give RUN.")
    @wraps(command)
    def with_run(run_id: str | None, named: str | None, **options: Any) -> Any:
        if run_id is not None and named is not None:
            raise click.UsageError("name the run once: RUN or --run RUN")
        return command(run_id=named if run_id is None else run_id, **options)

    return with_run
