"""Well-typed parameters of every method, made from its types: an answer or a documented error, never a fault.

Values are what the types allow, with a leaning to what could mean something: paths that are there, names,
templates, numbers at the edges. What lies beside the project stays as it is.
"""

import json
import os
import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardaemon.core.errors import BY_KIND, INTERNAL_ERROR, METHOD_NOT_FOUND
from ardaemon.core.methods import METHODS
from tests.support import lab as labs
from tests.support.lab import SLUG, Lab
from tests.support.promises import FULL
from tests.support.wire import SENTINEL, faults

pytestmark = [pytest.mark.promise("protocol-fuzz"), pytest.mark.timeout(300)]

EXAMPLES = 400 if FULL else 60  # of each method
MAY_WAIT = {"run.wait", "run.tail", "events.subscribe"}  # their answer may be a long way off
KNOWN = sorted(set(METHODS) - {"daemon.stop"})  # it does what it says
PATHS = (
    "{project}",
    "{project}/train.py",
    "{project}/sub",
    "{outside}",
    "{outside}/train.py",
    "{root}/nowhere",
)
ODD_PATHS = (
    "",
    "relative",
    "..",
    "../../outside",
    "~",
    "{project}/../outside/train.py",
    "/proc/self/mem",
    "/\0",
)
# Never other people's folders: to make an experiment there would be what was asked for.
PROJECTS = (
    *["{project}"] * 6,
    "{project}/sub",
    "{root}/nowhere",
    "",
    "relative",
    "{project}/",
    "/\0",
    "/proc",
)
RUNNERS = (
    "python train.py",
    "false train.py",
    "sh -c 'exit 3' train.py",
    "train.py",
    "'",
    "",
    "no-such train.py",
)
TEXTS = (
    SLUG,
    "261122-other",
    "r0000",
    "r0001",
    "r0002",
    "r999999999",
    "val/loss",
    "val/loss<=1",
    "x" * 300,
    "([",
    "*",
)


RUN_IDS = ("r0000", "r0001", "r0002", "r999999999", "r1", "r0001/..", "", "1")
EXPRS = (SLUG, SLUG, SLUG, "261122-a", "261122-none", "")
SLUGS = (*(f"261122-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), SLUG, "..", "")
FILES = PATHS + ODD_PATHS
BY_NAME = {
    "project": PROJECTS,
    "runner": RUNNERS,
    "metric_command": ("true", "echo '{\"val/loss\": 1}'", "no-such", "'", ""),
    "checks": ("true", "false", "no-such", "'", ""),
    "run_id": RUN_IDS,
    "expr": EXPRS,
    "slug": SLUGS,
    **dict.fromkeys(("train", "prepare", "program", "source", "seal", "add"), FILES),
}
RIGHT: dict[str, Any] = {
    "project": "{project}",
    "expr": SLUG,
    "slug": "261122-right",
    "submit_id": "right",
    "train": "{project}/train.py",
    "primary_metric": "val/loss",
    "primary_direction": "min",
    "environment": {"PATH": os.environ.get("PATH", os.defpath)},
    "settings": {"seconds": 5},
    "timeout": 0,
}
SAFE = {"project", "runner", "metric_command", "checks"}


class World:
    """A lab whose project has a run, and something beside it that is nobody's business."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.outside = lab.root / "outside"
        self.outside.mkdir()
        (self.outside / "train.py").write_text('print("val/loss: 1")\n')
        (self.outside / "prepare.py").write_text("CONTRACT = {}\n")
        lab.ready()
        lab.run()
        self.before = everything(self.outside), sorted(os.listdir("/"))

    def filled(self, text: str) -> str:
        """A place's real path."""
        return (
            text.replace("{project}", str(self.lab.project))
            .replace("{outside}", str(self.outside))
            .replace("{root}", str(self.lab.root))
        )

    def ask(self, method: str, params: Any) -> Any:
        """Its answer; None where it waits."""
        client = self.lab.rpc()
        try:
            request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
            client.send_raw(json.dumps(request).encode() + b"\n" + SENTINEL)
            while True:
                answer = client.receive()
                assert answer is not None, (method, params)
                if answer.get("id") == 1:
                    return answer
                if answer.get("id") == "sentinel" and method in MAY_WAIT:
                    return None
        finally:
            client.close()
            self.lab.clients.remove(client)


def everything(folder: Path) -> dict[str, Any]:
    """Each file's content, mode and time."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        found[str(path)] = (facts.st_mode, facts.st_mtime_ns, path.read_bytes() if path.is_file() else None)
    return found


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One daemon for all of it; afterwards it lives, its log holds no fault, and nothing else was touched."""
    lab = labs.make()
    try:
        made = World(lab)
        yield made
        assert lab.call("daemon.info")["pid"] == lab.pid
        assert faults(lab) == []
        assert b"Traceback" not in (lab.root / "stderr").read_bytes()
        assert (everything(made.outside), sorted(os.listdir("/"))) == made.before
    finally:
        lab.close()


def values(kind: Any, name: str) -> st.SearchStrategy[Any]:
    """What a field of this type and name may hold."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (typing.Union, UnionType):
        inner = tuple(part for part in inner if part is not msgspec.UnsetType)  # a field that is not there
        given_mostly = [part for part in inner for _ in range(1 if part is NoneType else 3)]
        return st.one_of([values(part, name) for part in given_mostly])
    if origin is typing.Annotated:
        return values(inner[0], name)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3) | st.just(
            dict(os.environ)
        )
    if origin is tuple:
        return st.lists(values(inner[0], name), max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    return {NoneType: st.none(), bool: st.booleans(), str: texts(name), int: INTEGERS, float: FLOATS}[kind]


INTEGERS = st.integers() | st.integers(-2, 100) | st.sampled_from([2**31, 2**63, -(2**63), 2**64])
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 3) | st.sampled_from([1e308, -0.0])


def texts(name: str) -> st.SearchStrategy[str]:
    """By the field's name: what it is about, or anything."""
    known = BY_NAME.get(name)
    anything = st.sampled_from(TEXTS + PATHS + ODD_PATHS) | st.text(max_size=10)
    if known is None:
        return anything
    # A runner or a command is run, and only the project may be made an experiment of: none but those.
    return st.sampled_from(known) if name in SAFE else st.one_of(*[st.sampled_from(known)] * 4, anything)


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Its required fields, and some of the others."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {field.name: values(hints[field.name], field.name) for field in msgspec.structs.fields(kind)}
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


@pytest.mark.parametrize("method", KNOWN)
def test_every_methods_own_types_are_answered(world: World, method: str, record_property: Any) -> None:
    record_property("cases", EXAMPLES)

    fields = METHODS[method].params.__struct_fields__

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        params=structs(METHODS[method].params),
        odd=st.none() | st.sets(st.sampled_from([*fields, ""]), max_size=2),
    )
    def check(params: dict[str, Any], odd: set[str] | None) -> None:
        if odd is not None:  # most of what can go wrong is behind the rest being right
            right = {name: value for name, value in RIGHT.items() if name in fields}
            params = right | {name: value for name, value in params.items() if name in odd}
        params = json.loads(json.dumps(params), object_hook=lambda d: {k: fill(v) for k, v in d.items()})
        answer = world.ask(method, params)
        if answer is None:
            return
        assert answer["id"] == 1
        assert ("result" in answer) != ("error" in answer)
        if "error" in answer:
            error = answer["error"]
            assert error["code"] not in (INTERNAL_ERROR, METHOD_NOT_FOUND), (params, error)
            assert BY_KIND[error["data"]["kind"]].code == error["code"], error
            assert error["message"]

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [fill(part) for part in value]
        return world.filled(value) if isinstance(value, str) else value

    check()
    world.lab.call("daemon.info")


def test_the_values_reach_far_enough(world: World) -> None:
    """The strategies know every field of every method, and the daemon takes some of what they make."""
    for name in KNOWN:
        structs(METHODS[name].params).validate()
    assert "result" in world.ask("run.list", {"project": str(world.lab.project), "expr": SLUG})
