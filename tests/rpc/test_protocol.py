"""JSON-RPC 2.0 as its specification has it, spoken to a real daemon, byte by byte."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ardaemon.core.config import BATCH_MAX, DEPTH_MAX
from ardaemon.core.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Incompatible,
    UnknownExperiment,
)
from ardaemon.core.methods import METHODS
from ardaemon.core.protocol import PROTOCOL, Submit
from tests.support import lab as labs
from tests.support.lab import SLUG, Lab, Rpc
from tests.support.wire import answers_before_sentinel, code_of, exchange, faults


@pytest.fixture(scope="module")
def served() -> Iterator[Lab]:
    """One daemon with one experiment for the whole file: no test here changes anything."""
    world = labs.make()
    try:
        world.start().init()
        yield world
        assert faults(world) == []
    finally:
        world.close()


@pytest.fixture
def client(served: Lab) -> Iterator[Rpc]:
    """A connection of the test's own."""
    rpc = served.rpc()
    yield rpc
    rpc.close()
    served.clients.remove(rpc)


def request(method: str = "daemon.info", **members: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": method, **members})


# --- section 7 of the specification: what it prints, with our methods in the place of its own ---

# --> is sent, <-- is what comes back; as at https://www.jsonrpc.org/specification#examples.
EXAMPLES = {
    "positional parameters": """
--> {"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}
<-- {"jsonrpc": "2.0", "result": 19, "id": 1}
--> {"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}
<-- {"jsonrpc": "2.0", "result": -19, "id": 2}
""",
    "named parameters": """
--> {"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}
<-- {"jsonrpc": "2.0", "result": 19, "id": 3}
--> {"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}
<-- {"jsonrpc": "2.0", "result": 19, "id": 4}
""",
    "a notification": """
--> {"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}
--> {"jsonrpc": "2.0", "method": "foobar"}
""",
    "non-existent method": """
--> {"jsonrpc": "2.0", "method": "foobar", "id": "1"}
<-- {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}
""",
    "invalid JSON": """
--> {"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]
<-- {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}
""",
    "invalid request object": """
--> {"jsonrpc": "2.0", "method": 1, "params": "bar"}
<-- {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
""",
    "batch, invalid JSON": """
--> [
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]
<-- {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}
""",
    "an empty array": """
--> []
<-- {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
""",
    "an invalid batch that is not empty": """
--> [1]
<-- [
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]
""",
    "an invalid batch": """
--> [1,2,3]
<-- [
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]
""",
    "a batch": """
--> [
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]
<-- [
        {"jsonrpc": "2.0", "result": 7, "id": "1"},
        {"jsonrpc": "2.0", "result": 19, "id": "2"},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
        {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
    ]
""",
    "a batch of notifications": """
--> [
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]
""",
}


def with_ours(served: Lab, text: str) -> str:
    """The specification's methods, parameters and results replaced by ours, and nothing else."""
    where = {"project": str(served.project), "expr": SLUG}
    by_place, latest = json.dumps(list(where.values())), json.dumps([where["project"], None])
    session = json.dumps(served.call("session.get", **where))
    for theirs, ours in (
        ('"subtract"', '"session.get"'),
        ('"sum"', '"run.list"'),
        ('"get_data"', '"queue.list"'),
        ('"update"', '"session.get"'),
        ("[42, 23]", by_place),
        ("[42,23]", by_place),
        ("[23, 42]", latest),
        ("[1,2,4]", by_place),
        ('"subtrahend": 23', f'"expr": "{SLUG}"'),
        ('"minuend": 42', f'"project": "{served.project}"'),
        ('"result": 19', f'"result": {session}'),
        ('"result": -19', f'"result": {session}'),
        ('"result": 7', f'"result": {json.dumps(served.call("run.list", **where))}'),
        ('"result": ["hello", 5]', f'"result": {json.dumps(served.call("queue.list"))}'),
    ):
        text = text.replace(theirs, ours)
    return text


def bare(answer: Any) -> Any:
    """Without what the specification leaves to a server: an error's `data`, and words after its message."""
    if isinstance(answer, list):
        return [bare(part) for part in answer]
    if "error" in answer:
        error = answer["error"]
        return {**answer, "error": {"code": error["code"], "message": error["message"].split(":")[0]}}
    return answer


@pytest.mark.promise("protocol-examples")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_specification_are_answered_as_it_prints_them(
    served: Lab, client: Rpc, name: str
) -> None:
    """Byte for byte as sent there, but for line breaks, which end a request here."""
    for sent, *due in (part.split("<-- ") for part in with_ours(served, EXAMPLES[name]).split("--> ")[1:]):
        answers = answers_before_sentinel(client, sent.replace("\n", " ").encode())
        assert [bare(answer) for answer in answers] == [json.loads(text) for text in due]
        client = served.rpc()  # the sentinel ended that connection's requests


# --- beyond the examples: each of its rules alone ---


def test_positional_parameters_are_taken_in_the_order_of_the_method(served: Lab, client: Rpc) -> None:
    answer = exchange(client, request("session.get", params=[str(served.project), SLUG], id=1))
    assert (answer["jsonrpc"], answer["id"], answer["result"]["expr"]) == ("2.0", 1, SLUG)


def test_named_parameters_are_taken_in_any_order(served: Lab, client: Rpc) -> None:
    for named in (
        {"project": str(served.project), "expr": SLUG},
        {"expr": SLUG, "project": str(served.project)},
    ):
        assert exchange(client, request("session.get", params=named, id=3))["result"]["expr"] == SLUG


@pytest.mark.parametrize(
    "line",
    [
        request("daemon.info", params=[]),
        request("daemon.info"),
        request("foobar"),
        request("run.get", params={"no such": "parameter"}),
        request("daemon.info", protocol=PROTOCOL + 2),
    ],
)
def test_a_notification_is_never_answered_not_even_with_an_error(client: Rpc, line: str) -> None:
    assert answers_before_sentinel(client, line.encode()) == []


def test_an_unknown_method_is_method_not_found(client: Rpc) -> None:
    answer = exchange(client, '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}')
    assert code_of(answer) == METHOD_NOT_FOUND
    assert answer["id"] == "1"
    assert "foobar" in answer["error"]["message"]


def test_invalid_json_is_a_parse_error_with_a_null_id(client: Rpc) -> None:
    answer = exchange(client, '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]')
    assert (code_of(answer), answer["id"]) == (PARSE_ERROR, None)


def test_an_invalid_request_object_is_an_invalid_request_with_a_null_id(client: Rpc) -> None:
    answer = exchange(client, '{"jsonrpc": "2.0", "method": 1, "params": "bar"}')
    assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)


def test_a_batch_of_invalid_json_gives_one_parse_error(client: Rpc) -> None:
    line = b'[{"jsonrpc": "2.0", "method": "daemon.info", "id": "1"},{"jsonrpc": "2.0", "method"]'
    answers = answers_before_sentinel(client, line)
    assert [(code_of(a), a["id"]) for a in answers] == [(PARSE_ERROR, None)]


def test_an_empty_array_gives_one_invalid_request_and_no_array(client: Rpc) -> None:
    answer = exchange(client, "[]")
    assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)


@pytest.mark.parametrize("size", [1, 3])
def test_an_invalid_batch_that_is_not_empty_gives_an_error_for_each(client: Rpc, size: int) -> None:
    answers = exchange(client, json.dumps(list(range(1, size + 1))))
    assert [(code_of(a), a["id"]) for a in answers] == [(INVALID_REQUEST, None)] * size


def test_a_mixed_batch_answers_what_must_be_answered_and_nothing_else(served: Lab, client: Rpc) -> None:
    where = [str(served.project), SLUG]
    batch = [
        {"jsonrpc": "2.0", "method": "session.get", "params": where, "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "run.list", "params": where, "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "daemon.info", "id": "9"},
    ]
    answers = exchange(client, json.dumps(batch))
    by_id = {answer["id"]: answer for answer in answers}
    assert len(answers) == len(by_id) == 5
    assert by_id["1"]["result"]["expr"] == SLUG
    assert by_id["2"]["result"]["runs"] == []
    assert code_of(by_id[None]) == INVALID_REQUEST
    assert code_of(by_id["5"]) == METHOD_NOT_FOUND
    assert by_id["9"]["result"]["pid"] == served.pid


def test_a_batch_of_notifications_alone_gives_nothing_at_all(client: Rpc) -> None:
    batch = f"[{request('daemon.info')}, {request('notify_hello', params=[7])}]"
    assert answers_before_sentinel(client, batch.encode()) == []


# --- beyond the specification ---


@pytest.mark.parametrize("text", ['"1"', '""', '"Ωμέγα 🦀"', "0", "-7", "1.5", "1e3", "null", "9" * 30])
def test_every_kind_of_id_comes_back_as_it_was(client: Rpc, text: str) -> None:
    answer = exchange(client, f'{{"jsonrpc": "2.0", "method": "daemon.info", "id": {text}}}')
    assert "result" in answer
    assert answer["id"] == json.loads(text)
    assert type(answer["id"]) is type(json.loads(text))


@pytest.mark.parametrize("text", ["true", "[1]", '{"a": 1}'])
def test_an_id_of_another_type_is_an_invalid_request(client: Rpc, text: str) -> None:
    answer = exchange(client, f'{{"jsonrpc": "2.0", "method": "daemon.info", "id": {text}}}')
    assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)


def test_a_result_and_an_error_never_stand_in_one_answer(client: Rpc) -> None:
    assert set(exchange(client, request(id=1))) == {"jsonrpc", "result", "id"}
    assert set(exchange(client, request("nope", id=1))) == {"jsonrpc", "error", "id"}


@pytest.mark.parametrize("version", ['"1.0"', "2.0", "null", '"2.0 "'])
def test_another_version_of_json_rpc_is_an_invalid_request(client: Rpc, version: str) -> None:
    answer = exchange(client, f'{{"jsonrpc": {version}, "method": "daemon.info", "id": 1}}')
    assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"expr": SLUG}, "project"),
        ({"project": 7}, "project"),
        ({"project": "/nowhere", "exprr": SLUG}, "exprr"),
        (["/nowhere", SLUG, "r0001", "too", "many"], "at most 3"),
        ("a string", "object or an array"),
        (None, "object or an array"),
    ],
)
def test_wrong_parameters_are_invalid_params_that_name_them(client: Rpc, params: Any, named: str) -> None:
    answer = exchange(client, request("run.get", params=params, id=4))
    assert (code_of(answer), answer["id"]) == (INVALID_PARAMS, 4)
    assert named in answer["error"]["message"]
    assert answer["error"]["data"]["mend"]


def test_of_duplicate_keys_the_last_counts_as_in_every_json_reader_here(client: Rpc) -> None:
    answer = exchange(
        client, '{"jsonrpc": "2.0", "method": "nope", "method": "daemon.info", "id": 1, "id": 2}'
    )
    assert answer["id"] == 2
    assert "result" in answer


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "method": "daemon.info", "id": NaN}',
        b'{"jsonrpc": "2.0", "method": "daemon.info", "id": -Infinity}',
        b'{"jsonrpc": "2.0", "method": "daemon.info", "id": 1e999}',
        b'{"jsonrpc": "2.0", "method": "run.wait", "params": {"project": "/", "timeout": NaN}, "id": 1}',
        b'{"jsonrpc": "2.0", "method": "daemon.\xff\xfe", "id": 1}',
        b'{"jsonrpc": "2.0", "method": "daemon.info", "id": "\xed\xa0\x80"}',
        b'{"jsonrpc": "2.0", "method": "daemon.info", "id": "\\ud800"}',
        b'{"jsonrpc": "2.0", "method": "daemon.info", "id": 1} trailing',
        b'\xef\xbb\xbf{"jsonrpc": "2.0", "method": "daemon.info", "id": 1}',
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"jsonrpc": "2.0", "method": "run.get", "id": 1, "params": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"[" * 1000,
        b"\x00",
        b"'single'",
        b'"\\',
    ],
)
def test_what_is_not_json_is_one_parse_error_and_the_connection_goes_on(client: Rpc, line: bytes) -> None:
    answer = exchange(client, line)
    assert (code_of(answer), answer["id"]) == (PARSE_ERROR, None)
    assert "result" in exchange(client, request(id=1))


def test_brackets_within_strings_are_text_not_nesting(client: Rpc) -> None:
    """An environment full of colour escapes, each with a bracket that nothing closes, can be submitted."""
    text = '\\" \\\\' + "\x1b[31m[[{{" * DEPTH_MAX
    answer = exchange(client, request("run.get", params=["/nowhere", None, text], id=1))
    assert code_of(answer) == UnknownExperiment.code


def test_blank_lines_between_requests_are_passed_over(client: Rpc) -> None:
    client.send_raw(b"\n  \n\r\n" + request(id=1).encode() + b"\r\n\n")
    assert client.receive()["id"] == 1


def test_several_requests_in_one_piece_and_one_in_several_are_the_same(client: Rpc) -> None:
    line = request(id=5).encode() + b"\n"
    client.send_raw(line * 3)
    assert [client.receive()["id"] for _ in range(3)] == [5, 5, 5]
    for at in range(len(line)):
        client.send_raw(line[at : at + 1])
    assert client.receive()["id"] == 5


def test_a_batch_has_a_limit_that_the_error_names(client: Rpc) -> None:
    full = ", ".join(request(id=n) for n in range(BATCH_MAX))
    assert [a["id"] for a in exchange(client, f"[{full}]")] == list(range(BATCH_MAX))
    answer = exchange(client, f"[{full}, {request(id=99)}]")
    assert code_of(answer) == INVALID_REQUEST
    assert str(BATCH_MAX) in answer["error"]["message"]


@pytest.mark.parametrize("version", [PROTOCOL - 1, PROTOCOL, PROTOCOL + 1])
def test_the_versions_before_and_after_are_served(client: Rpc, version: int) -> None:
    assert exchange(client, request(protocol=version, id=1))["result"]["protocol"] == PROTOCOL


@pytest.mark.parametrize("version", [PROTOCOL - 2, PROTOCOL + 2, 10**30])
def test_versions_further_apart_are_refused_with_the_mend(client: Rpc, version: int) -> None:
    answer = exchange(client, request(protocol=version, id=1))
    assert code_of(answer) == Incompatible.code
    assert str(version) in answer["error"]["message"]
    assert "arctl" in answer["error"]["data"]["mend"]


# --- rpc.discover ---


@pytest.fixture(scope="module")
def document(served: Lab) -> Any:
    """The OpenRPC document, as it comes over the wire."""
    return served.call("rpc.discover")


def references(node: Any) -> Iterator[str]:
    match node:
        case dict():
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)


def test_discover_has_the_members_that_openrpc_requires(document: Any) -> None:
    assert document["openrpc"].startswith("1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    for method in document["methods"]:
        assert set(method) - {name for name in method if name.startswith("x-")} <= {
            *("name", "summary", "paramStructure", "params", "result")
        }
        assert method["paramStructure"] in ("by-name", "by-position", "either")
        assert set(method["result"]) == {"name", "schema"}
        for parameter in method["params"]:
            assert set(parameter) == {"name", "required", "schema"}


def test_discover_lists_every_method_once(document: Any) -> None:
    assert [method["name"] for method in document["methods"]] == list(METHODS)


def test_every_reference_of_discover_resolves_within_it(document: Any) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        root, *path = reference.split("/")
        node = document
        assert root == "#"
        for name in path:
            node = node[name]
        assert isinstance(node, dict)


def test_discover_lists_the_parameters_of_submit_in_order_and_which_are_required(document: Any) -> None:
    submit = next(m for m in document["methods"] if m["name"] == "run.submit")
    assert tuple(p["name"] for p in submit["params"]) == Submit.__struct_fields__
    required = {p["name"] for p in submit["params"] if p["required"]}
    assert required == {"project", "submit_id", "environment"}


def test_what_discover_says_is_required_is_what_the_daemon_asks_for(document: Any, client: Rpc) -> None:
    for method in document["methods"]:
        needed = [p["name"] for p in method["params"] if p["required"]]
        if needed:
            answer = exchange(client, request(method["name"], params={}, id=1))
            assert code_of(answer) == INVALID_PARAMS
            assert needed[0] in answer["error"]["message"]
