"""Decodes the requests of JSON-RPC 2.0 and their parameters, and encodes its responses and notifications."""

import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ardaemon.core import errors
from ardaemon.core.config import DEPTH_MAX
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.protocol import Params, Request

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_BRACKET = re.compile(rb"[\[\]{}]")


def decode_params(kind: type[Params], raw: Any) -> Params:
    """Decode named or positional parameters (JSON-RPC 2.0, section 4.2) into the method's Struct.

    Raises UsageError, which says what is wrong with them.
    """
    try:
        value = {} if raw is UNSET else msgspec.json.decode(raw)
        if raw is not UNSET and _NUL.search(raw):
            raise msgspec.ValidationError("a NUL character: no path, name or variable can hold one")
        if isinstance(value, list):
            names = kind.__struct_fields__
            if len(value) > len(names):
                raise msgspec.ValidationError(f"at most {len(names)} positional parameters")
            value = dict(zip(names, value, strict=False))
        if not isinstance(value, dict):
            raise msgspec.ValidationError("params must be an object or an array")
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise errors.UsageError(f"Invalid params: {error}", "rpc.discover describes them") from error


def split(line: bytes) -> tuple[list[Raw], bool]:
    """Return the requests of a line, and whether it is a batch.

    Raises DecodeError (msgspec), UnicodeDecodeError or RecursionError if any part of the line is not
    JSON: no request in it is answered then.
    """
    _check_depth(line)
    is_batch = line.lstrip()[:1] == b"["
    raws = msgspec.json.decode(line, type=list[Raw]) if is_batch else [Raw(line)]
    for raw in raws:
        msgspec.json.decode(raw)
    return raws, is_batch


def _check_depth(line: bytes) -> None:
    """Refuse deep nesting before a decoder meets it; brackets in strings, as colour codes, do not count."""
    if line.count(b"[") + line.count(b"{") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise msgspec.DecodeError(f"nested deeper than {DEPTH_MAX}")


def id_of(line: bytes | Raw) -> str | int | float | UnsetType | None:
    """Return the id to answer to: None (null) if it cannot be read, UNSET for a notification (no answer)."""
    try:
        return msgspec.json.decode(line, type=Request).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def result(identity: Any, value: Any) -> bytes:
    """Encode a response with a result."""
    return msgspec.json.encode({"jsonrpc": "2.0", "result": value, "id": identity})


def error(identity: Any, fault: ArdaemonError, code: int | None = None) -> bytes:
    """Encode a response with one of ardaemon's errors, under its own code or another."""
    wire = fault.wire()
    if code is not None:
        wire["code"] = code
    return msgspec.json.encode({"jsonrpc": "2.0", "error": wire, "id": identity})


def refusal(identity: Any, code: int, message: str) -> bytes:
    """Encode a response with one of the specification's own errors, which carry no data."""
    wire = {"code": code, "message": message}
    return msgspec.json.encode({"jsonrpc": "2.0", "error": wire, "id": identity})


def notification(name: str, facts: dict[str, Any]) -> bytes:
    """Encode a notification of the daemon's, which wants no answer."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": name, "params": facts})
