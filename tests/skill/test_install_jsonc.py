"""A settings file is changed in one place, and all else in it stays: comments, order, layout, line ends."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctl.skill import jsonc, jsonc_edit
from tests.support.every import every

PATH = ("permissions", "allow")
ITEM = "Bash(arctl *)"

# What is added at the end of an object, laid out with two blanks.
RULES = """  "permissions": {
    "allow": [
      "Bash(arctl *)"
    ]
  }
"""
IN_LINES = """{
  "permissions": { // these
    "allow": [
      "Read"%s // to look
      %s// more to come
    ]%s
  } /* end */
}
"""
COMMA = """{
  "permissions": {
    "allow": [
      "Read", // to look
      %s],
  },
}
"""
KEPT = {
    "nothing": ("", "{\n" + RULES + "}\n"),
    "an empty object": ("{}", "{\n" + RULES + "}"),
    "a list in lines": (
        '{\n\t"permissions": {\n\t\t"allow": [\n\t\t\t"Read"\n\t\t]\n\t}\n}\n',
        '{\n\t"permissions": {\n\t\t"allow": [\n\t\t\t"Read",\n\t\t\t"Bash(arctl *)"\n\t\t]\n\t}\n}\n',
    ),
    "a list in one line": (
        '{"permissions": {"allow": ["Read"], "deny": []}}',
        '{"permissions": {"allow": ["Read", "Bash(arctl *)"], "deny": []}}',
    ),
    "comments": (IN_LINES % ("", "", ""), IN_LINES % (",", '"Bash(arctl *)"\n      ', "")),
    "a comma too many": (COMMA % "", COMMA % '"Bash(arctl *)",\n      '),
    "line ends of Windows": (
        '{\r\n  "model": "x"\r\n}\r\n',
        '{\r\n  "model": "x",\r\n' + RULES.replace("\n", "\r\n") + "}\r\n",
    ),
    "line ends of Windows, and comments": (
        '{\r\n  "model": "x" /* a */ // b\r\n}\r\n',
        '{\r\n  "model": "x", /* a */ // b\r\n' + RULES.replace("\n", "\r\n") + "}\r\n",
    ),
    "an empty list": (
        '{\n  "permissions": {\n    "allow": []\n  }\n}\n',
        "{\n" + RULES + "}\n",
    ),
    "signs of all kinds": (
        '{\n  "a \\"b\\" // c": "/* ü */",\n  "n": -1.5e3\n}\n',
        '{\n  "a \\"b\\" // c": "/* ü */",\n  "n": -1.5e3,\n' + RULES + "}\n",
    ),
}


@every("before, after", KEPT.values(), ids=KEPT)
def test_an_item_is_added_and_every_other_sign_stays(before: str, after: str) -> None:
    assert jsonc_edit.add(before, PATH, ITEM) == after


@pytest.mark.parametrize(("before", "after"), list(KEPT.values())[1:], ids=list(KEPT)[1:])
def test_an_item_that_was_added_can_be_taken_out_again(before: str, after: str) -> None:
    """What is left means the same as before, comments and all; an empty list may be laid out anew."""
    made = jsonc_edit.made_from(before, PATH)
    left = jsonc_edit.remove(after, PATH, ITEM, made)
    assert jsonc.parse(left).value == jsonc.parse(before).value
    assert "".join(left.split()).rstrip(",") == "".join(before.split())


BROKEN = {
    '{\n  "a": 1\n  "b": 2\n}': "line 3: a comma is missing",
    '{\n  "a": \n}': "line 3: a value is missing",
    '{\n  "a": [1,\n  2\n': "line 4: a ] is missing",
    '{"a": 1': "line 1: a } is missing",
    "{'a': 1}": "line 1: a key is missing",
    '{"a" 1}': "line 1: a colon is missing",
    '{"a": 1}\n}': "line 2: something follows the end",
    '{"a": tru}': "line 1: a value is missing",
    '{"a": "x\ny"}': "line 1: a value is missing",
    '{"a": "\\x"}': "line 1: a string or number",
    '{"a": 1,\n"a": 2}': "line 2: the key 'a' is there twice",
    "[" * 10_000: "nested too deep",
    "/* open": "line 1: a value is missing",
}


@every("text, why", BROKEN.items())
def test_what_is_no_json_is_named_with_its_line(text: str, why: str) -> None:
    with pytest.raises(jsonc.Broken, match=why.replace("[", r"\[").replace("]", r"\]")):
        jsonc_edit.add(text, PATH, ITEM)


@pytest.mark.parametrize("text", ["[]", "1", '{"permissions": []}', '{"permissions": {"allow": "all"}}'])
def test_something_else_in_a_lists_place_is_refused(text: str) -> None:
    with pytest.raises(jsonc_edit.WrongKind):
        jsonc_edit.add(text, PATH, ITEM)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
documents = st.dictionaries(st.text(), json_values, max_size=4)
lists = st.none() | st.lists(st.text(), max_size=4)


@given(documents, lists, st.sampled_from([None, 0, 1, 2, 4, "\t"]), st.booleans())
def test_whatever_stands_there_it_means_the_same_afterwards(
    document: dict[str, Any], allowed: list[str] | None, indent: Any, ascii_only: bool
) -> None:
    if allowed is not None:
        document = {**document, "permissions": {"mode": 1, "allow": allowed}}
    else:
        document.pop("permissions", None)
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert jsonc.parse(text).value == document
    made = jsonc_edit.made_from(text, PATH)
    added = jsonc_edit.add(text, PATH, "\0new")
    expected = {
        **document,
        "permissions": {**document.get("permissions", {}), "allow": [*(allowed or []), "\0new"]},
    }
    assert json.loads(added) == expected
    assert json.loads(jsonc_edit.remove(added, PATH, "\0new", made)) == document
