"""rpc.discover: makes the OpenRPC document (spec.open-rpc.org) of the protocol from its types."""

import functools
from typing import Any

import msgspec

from ardaemon.core.errors import BY_KIND
from ardaemon.core.methods import METHODS, Method
from ardaemon.core.version import VERSION

OPENRPC = "1.3.2"
REFERENCE = "#/components/schemas/{name}"


@functools.cache  # made once: it takes some 10 ms, in which no other client is served
def document() -> dict[str, Any]:
    """Return the whole document; its schemas are shared components."""
    types = [kind for method in METHODS.values() for kind in (method.params, method.result)]
    schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    pairs = list(zip(schemas[::2], schemas[1::2], strict=True))
    methods = [
        _method(name, method, components, pair)
        for (name, method), pair in zip(METHODS.items(), pairs, strict=True)
    ]
    return {
        "openrpc": OPENRPC,
        "info": {"title": "ardaemon", "version": VERSION, "description": "JSON-RPC 2.0 over a Unix socket."},
        "methods": methods,
        "components": {"schemas": components, "errors": _errors()},
    }


def _method(
    name: str, method: Method, components: dict[str, Any], pair: tuple[dict[str, Any], dict[str, Any]]
) -> dict[str, Any]:
    schema = components[method.params.__name__]
    required = set(schema.get("required", ()))
    params = [
        {"name": field, "required": field in required, "schema": value}
        for field, value in schema.get("properties", {}).items()
    ]
    return {
        "name": name,
        "summary": method.summary,
        "paramStructure": "either",
        "params": params,
        "result": {"name": "result", "schema": pair[1]},
        "x-streams": method.streams,
    }


def _errors() -> dict[str, Any]:
    return {
        kind: {"code": cls.code, "message": (cls.__doc__ or kind).strip().splitlines()[0]}
        for kind, cls in BY_KIND.items()
    }
