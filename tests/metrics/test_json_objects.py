"""JSON as people's programs write it: on lines, over lines, in arrays; torn objects hide what was before."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.core.model import Primary
from ardaemon.metrics.base import Query, Readings
from ardaemon.metrics.formats.json_numbers import leaves
from ardaemon.metrics.formats.json_stream import OBJECT_MAX, JsonStream, Torn
from ardaemon.metrics.json_lines import DEFAULTS, JSONL
from ardaemon.metrics.registry import AUTO
from tests.support import attempt
from tests.support.every import every

OUTER = {
    "step": 3,
    "val_loss": 0.5,
    "ema": {"val_loss": 0.9},
    "by": {"web": {"val_loss": 0.1}},
    "l": [{"val_loss": 7}],
}
NAMES = {"step": 3.0, "val_loss": 0.5, "ema/val_loss": 0.9, "by/web/val_loss": 0.1}


def read(folder: Path, text: str, name: str = "metrics.jsonl", primary: str = "val_loss") -> Readings:
    (folder / name).write_text(text)
    return JSONL.read(attempt.evidence(folder, folder), Query(Primary(primary)))


def report(value: float) -> str:
    return json.dumps({"val_loss": value})


READ = {
    "lines": (report(0.9) + "\n" + report(0.5) + "\n", 0.5),
    "lines without a last end": (report(0.9) + "\n" + report(0.5), 0.5),
    "one object over several lines": (json.dumps(OUTER, indent=2), 0.5),
    "with tabs": (json.dumps(OUTER, indent="\t"), 0.5),
    "with no indent": (json.dumps(OUTER, indent=0), 0.5),
    "several over several lines": (
        json.dumps({"val_loss": 0.9}, indent=4) + "\n" + json.dumps(OUTER, indent=4),
        0.5,
    ),
    "an array": (json.dumps([{"val_loss": 0.9}, {"val_loss": 0.5}]), 0.5),
    "an array over several lines": (json.dumps([{"val_loss": 0.9}, OUTER], indent=2), 0.5),
    "an array with a line for each": (f"[\n{report(0.9)},\n{report(0.5)}\n]\n", 0.5),
    "an array that is not ended yet": (f"[\n{report(0.9)},\n{report(0.5)},\n", 0.5),
    "two on one line": (report(0.9) + report(0.5) + "\n", 0.5),
    "with commas behind": (report(0.9) + ",\n" + report(0.5) + ",\n", 0.5),
    "CRLF": (json.dumps(OUTER, indent=2).replace("\n", "\r\n"), 0.5),
    "a mark of UTF-8": ("\ufeff" + report(0.5), 0.5),
    "a hole before it": ("\0" * 9 + report(0.5), 0.5),
    "empty lines": ("\n\n" + report(0.5) + "\n\n", 0.5),
    "a torn line, and then": ('{"val_loss": 0.\n' + report(0.5), 0.5),
    "a torn object, and then": ('{\n  "val_loss": 0.9,\n  "a": {\n' + json.dumps(OUTER, indent=2), 0.5),
    "a torn text, and then": ('{"note": "half\n' + report(0.5), 0.5),
    "text behind": (report(0.5) + "\ndone\n", 0.5),
    "null behind": (report(0.5) + '\n{"val_loss": null}\n', 0.5),
    "the key twice": ('{"val_loss": 0.9, "val_loss": 0.5}', 0.5),
    "a text": ('{"val_loss": "0.5"}', 0.5),
    "per cent": ('{"val_loss": "93.1%"}', 93.1),
    "an exponent": ('{"val_loss": 5E-1}', 0.5),
    "brackets in a text": ('{"note": "}{ [\\" ]", "val_loss": 0.5}', 0.5),
    "brackets in a text over lines": ('{"note": "}{ [\\" ]",\n"val_loss": 0.5}', 0.5),
    "escapes in the name": ('{"val\\u005floss": 0.5}', 0.5),
}


@every("text, value", READ.values(), ids=READ)
def test_the_last_object_counts_however_they_are_written(tmp_path: Path, text: str, value: float) -> None:
    assert read(tmp_path, text).value == value


UNREAD = {
    "torn": (report(0.9) + '\n{"val_loss": 0.', "line 2 of metrics.jsonl is an object that does not end"),
    "torn over lines": (report(0.9) + '\n{\n  "val_loss": 0.5', "line 3 of metrics.jsonl is an object that"),
    "no JSON": (report(0.9) + "\n{'val_loss': 0.5}\n", "line 2 of metrics.jsonl is no whole JSON object"),
    "a decimal comma": (report(0.9) + '\n{"val_loss": "0,5"}\n', "a decimal comma: write a point"),
    "a comma of either kind": ('{"val_loss": "1,234"}', "may be a thousand or have a decimal comma"),
    "a text": ('{"val_loss": "low"}', """has "low", which is no number"""),
    "a list": (report(0.9) + '\n{"val_loss": [0.5]}\n', "has [0.5], which is no number"),
    "a truth value": (report(0.9) + '\n{"val_loss": true}\n', "has true, which is no number"),
    "beyond all floats": (report(0.9) + '\n{"val_loss": 1e400}\n', "val_loss is inf at its last value"),
    "an infinity": (report(0.9) + '\n{"val_loss": -Infinity}\n', "val_loss is -inf at its last value"),
    "its name, and no object": (report(0.9) + '\n"val_loss": 0.5\n', "line 2 of metrics.jsonl is no JSON"),
    "too large": (
        report(0.9) + "\n" + json.dumps({"val_loss": 0.5, "all": ["x" * (OBJECT_MAX // 4)] * 5}, indent=0),
        "is an object of more than 1 MiB",
    ),
    "a line that is too long": (report(0.9) + "\n" + json.dumps({"val_loss": 0.5, "all": "x" * OBJECT_MAX}),
                                "has more than 1 MiB, and was passed over"),
    "objects of two parts of the data": (
        '{"split": "val", "val_loss": 0.5}\n{"split": "train", "val_loss": 0.9}\n',
        "line 2 of metrics.jsonl stands among rows of 'val' and of 'train': give each its own name",
    ),
    "an inner one alone": (json.dumps({"ema": {"val_loss": 0.5}}), "val_loss was never reported"),
    "in a list alone": (json.dumps({"history": [{"val_loss": 0.5}]}), "val_loss was never reported"),
}  # fmt: skip


@every("text, why", UNREAD.values(), ids=UNREAD)
def test_where_the_last_object_cannot_be_read_no_older_one_counts(
    tmp_path: Path, text: str, why: str
) -> None:
    readings = read(tmp_path, text)
    assert readings.value is None
    assert why in str(readings.problem)


def test_a_value_of_an_inner_object_is_named_by_the_keys_that_lead_to_it(tmp_path: Path) -> None:
    for text in (json.dumps(OUTER), json.dumps(OUTER, indent=2), json.dumps([OUTER])):
        assert {name: metric.last for name, metric in read(tmp_path, text).metrics.items()} == NAMES


@pytest.mark.parametrize("name", [pattern.rpartition("/")[2] for pattern in DEFAULTS])
def test_the_one_object_of_a_results_file_is_found_by_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "a1").mkdir()
    (tmp_path / "a1" / "run.log").write_text("done\n")
    (tmp_path / name).write_text(json.dumps(OUTER, indent=2))
    readings = AUTO.read(attempt.evidence(tmp_path, tmp_path), Query(Primary("val_loss")))
    assert (readings.value, readings.source, readings.detail) == (0.5, "jsonl", name)


def test_a_results_file_that_is_written_anew_is_followed(tmp_path: Path) -> None:
    follower = JSONL.follower(attempt.evidence(tmp_path, tmp_path), Query(Primary("val_loss")))
    whole = json.dumps(OUTER, indent=2) + "\n"
    (tmp_path / "results.json").write_text(whole[: len(whole) // 2])
    follower.feed()
    assert follower.latest is None
    (tmp_path / "new").write_text(whole)
    (tmp_path / "new").rename(tmp_path / "results.json")
    follower.feed()
    assert follower.latest == 0.5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=25)
def test_all_that_is_written_comes_back(
    objects: list[dict[str, object]], indent: int | None, ascii_only: bool, in_array: bool
) -> None:
    """Whatever the objects hold: with an indent, without, one after another or in an array."""
    whole = [objects] if in_array else objects
    text = "\n".join(json.dumps(one, indent=indent, ensure_ascii=ascii_only) for one in whole)
    stream = JsonStream()
    found = [one for line in text.split("\n") for one in stream.feed(line)]
    assert [*found, *stream.end()] == objects


@given(st.text(alphabet='{}[]":,\\ \n1ae', max_size=60))
def test_whatever_the_text_it_ends_and_the_next_object_is_read(text: str) -> None:
    stream = JsonStream()
    lines = [*text.split("\n"), *[report(0.5)] * 2]
    found = [one for line in lines for one in stream.feed(line)]
    assert found[-1:] == [{"val_loss": 0.5}] or isinstance([*found, *stream.end()][-1], Torn)


def test_names_are_cleaned_and_bounded() -> None:
    entry = {"a\x1b[31m b\n": 1, "x" * 200: 2, "ａ": {"b": 3}, "d": {"d": {"d": {"d": {"e": 4}, "f": 5}}}}
    assert dict(leaves(entry)) == {"a b": 1, "a/b": 3, "d/d/d/f": 5}
