"""Reads config.toml, and says of each setting where its value comes from.

A variable of the environment holds where the file says nothing: whoever starts the daemon may be an agent,
and what a person has written stands.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Struct

from ardaemon.core import config_text, files
from ardaemon.core.config import Config
from ardaemon.core.config_faults import FOUND_MAX, Fault, Faults, in_words, line_of
from ardaemon.core.duration import seconds
from ardaemon.core.errors import UsageError
from ardaemon.core.text import one_line

# Setting -> the environment variable that gives it, for containers, where a file is in the way.
VARIABLES = {"cpu_slots": "AR_CPU_SLOTS", "gpus": "AR_GPUS"}
# Settings that are a time -> the seconds in their unit.
TIMES = {
    "grace": 1.0,
    "verify": 1.0,
    "send_timeout": 1.0,
    "request_timeout": 1.0,
    "on_event_seconds": 1.0,
    "idle_minutes": 60.0,
}
VALUE_SHOWN_MAX = 60  # characters of a name that somebody has misspelt

Where = Literal["default", "file", "environment"]


class Setting(Struct, frozen=True, kw_only=True):
    """A setting as it is now, and where its value comes from: a line of the file, a variable, or neither."""

    name: str
    value: Any
    line: int | None = None
    variable: str | None = None

    @property
    def where(self) -> Where:
        """Return the kind of its source."""
        return "file" if self.line is not None else "environment" if self.variable is not None else "default"


class Loaded(Struct, frozen=True):
    """The settings, and where each comes from."""

    config: Config
    settings: tuple[Setting, ...]


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those of the environment's variables that give a setting."""
    return {name: environment[name] for name in VARIABLES.values() if environment.get(name)}


def load(path: str, environment: Mapping[str, str]) -> Loaded:
    """Read config.toml, or take the defaults where there is none. Raises UsageError naming file and fault."""
    with config_text.named(path):
        return parse(config_text.text(path, files.config_text), environment)


def parse(text: str, environment: Mapping[str, str]) -> Loaded:
    """Read the text of config.toml. Raises Faults, and UsageError for a variable."""
    written = config_text.table(text)
    table = {name: _in_numbers(name, value) for name, value in written.items()}
    _require_right(table, text)
    given = {name: value for name, value in _variables(environment) if name not in table}
    config = msgspec.convert({**given, **table}, type=Config)
    settings = tuple(
        Setting(
            name=name,
            value=getattr(config, name),
            line=line_of(text, name) if name in table else None,
            variable=VARIABLES[name] if name in given else None,
        )
        for name in Config.__struct_fields__
    )
    return Loaded(config, settings)


def _in_numbers(name: str, value: Any) -> Any:
    """Return a time that is written with its unit, as "30s", as a number; all else as it is."""
    if name not in TIMES or not isinstance(value, str):
        return value
    try:
        return seconds(value, name, zero=True) / TIMES[name]
    except UsageError:
        return value  # it is a fault, and named as one


def _require_right(table: Mapping[str, Any], text: str) -> None:
    """Raise Faults if a setting has a fault."""
    faults = list(islice(_faults(table, text), FOUND_MAX))
    if faults:
        raise Faults(sorted(faults, key=lambda fault: fault.line or 0))


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield the settings that variables give; one that is empty gives none. Raises UsageError."""
    for name, variable in VARIABLES.items():
        text = environment.get(variable, "").strip()
        if not text:
            continue
        value = tuple(part.strip() for part in text.split(",")) if name == "gpus" else text
        try:
            config = msgspec.convert({name: value}, type=Config, strict=False)
        except msgspec.ValidationError as error:
            why, said = in_words(str(error))[1], one_line(text, VALUE_SHOWN_MAX)
            raise UsageError(
                f"{variable} is {said!r}: {why}",
                f"set it as docs/configuration.md says, or leave it out: unset {variable}",
            ) from None
        yield name, getattr(config, name)


def _faults(table: Mapping[str, Any], text: str) -> Iterator[Fault]:
    """Yield what is wrong with each of the settings."""
    for name, value in table.items():
        try:
            msgspec.convert({name: value}, type=Config)
        except msgspec.ValidationError as error:
            unknown, why = in_words(str(error))
            named = why if why.startswith(f"{name} = ") else f"{name}: {why}{_choices(name, error)}"
            also = ', or a time as "90s" or "10m"' if name in TIMES and isinstance(value, str) else ""
            yield Fault(line_of(text, name), _unknown(name) if unknown else named + also)


def _choices(name: str, error: msgspec.ValidationError) -> str:
    """Return the words from which a setting is chosen, where it is none of them."""
    if "enum value" not in str(error):
        return ""
    hint = get_type_hints(Config)[name]
    words = get_args(hint)
    while words and not isinstance(words[0], str):  # the choice stands inside of a list
        words = get_args(words[0])
    return f"; choose from: {', '.join(words)}"


def _unknown(name: str) -> str:
    near = get_close_matches(name.lower(), Config.__struct_fields__, 1)
    hint = f"; did you mean {near[0]}?" if near else "; docs/configuration.md has them all"
    plain = one_line(name, VALUE_SHOWN_MAX)
    # What is not seen is spelled out: else it would read like the name that it is not.
    shown = repr(plain) if name == plain else one_line(ascii(name), VALUE_SHOWN_MAX)
    return f"there is no setting {shown}{hint}"
