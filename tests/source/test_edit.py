"""What an edit changed: names with their values as written, lines, and the diff within its limits."""

import pytest

from ardaemon.source import lines
from ardaemon.source.edit import Limits, edit
from tests.support.every import every

LIMITS = Limits(changes=16, value=80, diff=4096)
Row = tuple[str, str | None, str | None]


def changes(before: str, after: str, limits: Limits = LIMITS) -> list[Row]:
    facts = edit(before.encode(), after.encode(), limits)
    return [(one["name"], one["before"], one["after"]) for one in facts.get("changes", [])]


@every(
    "before, after, wanted",
    [
        ("lr = 1e-3", "lr = 2e-4", [("lr", "1e-3", "2e-4")]),
        ("lr: float = 1e-3", "lr: float = 2e-4", [("lr", "1e-3", "2e-4")]),
        ("a, b = 1, 2", "a, b = 1, 3", [("b", "2", "3")]),
        ("x *= 2", "x *= 3", [("x", "2", "3")]),
        ("self.lr = 1", "self.lr = 2", [("lr", "1", "2")]),
        ("config['lr'] = 1", "config['lr'] = 2", [("lr", "1", "2")]),
        ("o = Adam(p, lr=1)", "o = Adam(p, lr=2)", [("lr", "1", "2")]),
        ("o = Adam(p, lr=1)", "o = Lion(p, lr=1)", [("o", "Adam(p, lr=1)", "Lion(p, lr=1)")]),
        ("c = {'lr': 1, 'wd': 2}", "c = {'lr': 1, 'wd': 3}", [("wd", "2", "3")]),
        ("def f(x, lr=1): pass", "def f(x, lr=2): pass", [("lr", "1", "2")]),
        ("def f(*, lr=1): pass", "def f(*, lr=2): pass", [("lr", "1", "2")]),
        (
            "p.add_argument('-w', '--weight-decay', type=float, default=0.1)",
            "p.add_argument('-w', '--weight-decay', type=float, default=0.2)",
            [("weight_decay", "0.1", "0.2")],
        ),
        ("c = ['--lr', '0.1', '--amp']", "c = ['--lr', '0.2', '--amp']", [("lr", "'0.1'", "'0.2'")]),
        ("main(['--max-lr', str(x)])", "main(['--max-lr', str(y)])", [("max_lr", "str(x)", "str(y)")]),
        ("c = ('--lr=1', '-b=2')", "c = ('--lr=3', '-b=2')", [("lr", "'--lr=1'", "'--lr=3'")]),
        ("c = ['+optim.lr=1']", "c = ['+optim.lr=2']", [("lr", "'+optim.lr=1'", "'+optim.lr=2'")]),
        ("c = ['--amp', '--lr', '1']", "c = ['--amp', '--lr', '2']", [("lr", "'1'", "'2'")]),
        ("c = ['--amp', *rest]", "c = ['--amp', *more]", [("c", "['--amp', *rest]", "['--amp', *more]")]),
        ("c = ['--lr', '-1']", "c = ['--lr', '-2']", [("lr", "'-1'", "'-2'")]),
        ("a = 1", "a = 1\nb = 2", [("b", None, "2")]),
        ("a = 1\nb = 2", "a = 1", [("b", "2", None)]),
        ("class A:\n x = 1\nclass B:\n x = 1", "class A:\n x = 1\nclass B:\n x = 2", [("x", "1", "2")]),
        ("x = 1\ndef f(): y = 1", "def f():\n x = 2\n y = 1", [("x", "1", "2")]),
        ("x = 1\nx = 2\nx = 3", "x = 1\nx = 5\nx = 2\nx = 3", [("x", None, "5")]),
        ("x = [1,\n     2]", "x = [1,\n     3]", [("x", "[1, 2]", "[1, 3]")]),
        ("s = 'é'; lr = 1", "s = 'é'; lr = 2", [("lr", "1", "2")]),
        ("a = 1 # x", "a  =  1 # y", []),
        ("RUN_NOTE = 'a'", "RUN_NOTE = 'b'", []),
        ("a = 1", "a = (", []),
        ("a = (", "a = 1", []),
    ],
)
def test_names_whose_values_an_edit_changed(before: str, after: str, wanted: list[Row]) -> None:
    assert changes(before, after) == wanted


@pytest.mark.parametrize(
    ("encoding", "first"), [("utf-8", ""), ("utf-8-sig", ""), ("latin-1", "# coding: latin-1\n")]
)
def test_values_are_found_in_a_source_of_any_encoding(encoding: str, first: str) -> None:
    before, after = (f"{first}s = 'é'; lr = {value}".encode(encoding) for value in (1, 2))
    assert edit(before, after, LIMITS)["changes"] == [{"name": "lr", "before": "1", "after": "2"}]


def test_names_with_two_values_come_first_and_no_more_than_the_limit() -> None:
    before, after = "lr = 1\nwd = 2", "new = 0\nwd = 3\nlr = 4"
    assert changes(before, after) == [("wd", "2", "3"), ("lr", "1", "4"), ("new", None, "0")]
    assert len(changes(before, after, LIMITS._replace(changes=2))) == 2


def test_a_long_value_is_cut_and_what_acts_on_a_terminal_removed() -> None:
    [(_, before, after)] = changes("x = 'a\x1b[31m'", "x = '" + "b" * 500 + "'")
    assert before == "'a'"
    assert after == "'" + "b" * 78 + "…"


def test_a_diff_has_the_lines_that_changed_and_their_numbers() -> None:
    diff = lines.diff(b"a\nb\nc\nd\n", b"a\nB\nc\nd\ne\nf\n", 1000)
    assert diff == lines.Diff(3, 1, "@@ -2 +2 @@\n-b\n+B\n@@ -4,0 +5,2 @@\n+e\n+f", False)


def test_a_long_diff_is_cut_at_its_limit() -> None:
    diff = lines.diff(b"", b"\n".join(b"line %d" % n for n in range(1000)), 100)
    assert (diff.added, diff.removed, diff.cut) == (1000, 1, True)
    assert 90 < len(diff.text.encode()) <= 100
    assert all(line[0] in "+-@" for line in diff.text.splitlines())


def test_a_diff_is_clean_text() -> None:
    diff = lines.diff(b"a", b"\x1b]0;title\x07b\x08\xff\xe2\x80\xa8c", 1000)
    assert diff.text == "@@ -1 +1 @@\n-a\n+b\ufffd c"


@pytest.mark.parametrize("rows", [1500, 30_000])
def test_two_versions_of_many_equal_lines_are_compared_in_time(rows: int) -> None:
    old, new = (b"\n".join(b"%d" % (n % modulo) for n in range(rows)) for modulo in (3, 2))
    assert lines.diff(old, new, 1000).added > 0


def test_blank_lines_and_comments_do_not_count() -> None:
    assert lines.count(b"# a\n\nx = 1  # b\n   # c\n\ty = 2\n") == 2


def test_without_the_version_that_was_edited_nothing_is_compared() -> None:
    assert edit(None, b"x = 1\n", LIMITS).keys() == {"normal", "lines"}
