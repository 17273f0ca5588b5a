"""The names to which a source gives values, and those whose values differ between two sources.

A name is a variable, an attribute, a keyword argument, a parameter with a default, an item of a dict (its key
a string), an option of argparse with a default, or an option in a list (source/options.py). The standard
library alone.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple

from ardaemon.source.normal import NOTE, words
from ardaemon.source.options import options

Place = tuple[str, ...]


class Binding(NamedTuple):
    """One name with its value. `place`: the functions, classes and calls that it stands in.

    `words`: the value without positions, and without the values of names that stand in it.
    """

    place: Place
    name: str
    value: ast.expr
    words: str

    @property
    def position(self) -> tuple[int, int]:
        return self.value.lineno, self.value.col_offset


class Pair(NamedTuple):
    """The same name before and after an edit, its values different; None where there is no such name."""

    before: Binding | None
    after: Binding | None


# --- the names of one source ---

Named = tuple[Place, str, ast.expr]


def bindings(tree: ast.Module) -> list[Binding]:
    """Return all bindings of a source in the order of its text, less RUN_NOTE."""
    found = [one for one in _named(tree) if one[1] != NOTE]
    values = {id(value) for _, _, value in found}
    made = [Binding(place, name, value, "\0".join(words(value, values))) for place, name, value in found]
    return sorted(made, key=lambda binding: binding.position)


def _named(tree: ast.Module) -> Iterator[Named]:
    todo: list[tuple[ast.AST, Place]] = [(tree, ())]
    while todo:
        node, place = todo.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                place = (*place, name)
            case ast.Call(func=called):
                place = (*place, _last_name(called))
        yield from ((place, name, value) for name, value in _names_at(node) if name)
        todo += [(child, place) for child in ast.iter_child_nodes(node)]


def _names_at(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield what this node gives values to, less what stands in it; the name is empty where it is no name."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _assigned(target, value)
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.NamedExpr(target=target, value=value)
        ):
            yield _last_name(target), value
        case ast.AugAssign(target=target, value=value):
            yield _last_name(target), value
        case ast.Dict(keys=keys, values=values):
            yield from ((_key(key), value) for key, value in zip(keys, values, strict=True))
        case ast.List(elts=items) | ast.Tuple(elts=items):
            yield from options(items)
        case ast.arguments():
            yield from _defaults(node)
        case ast.Call(keywords=keywords):
            option = _option(node)
            for keyword in keywords:
                name = option if option and keyword.arg == "default" else keyword.arg
                yield name or "", keyword.value


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield `a` and 1, `b` and 2 for `a, b = 1, 2`; else the one name and its value."""
    match target, value:
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            yield from zip(map(_last_name, targets), values, strict=True)
        case _:
            yield _last_name(target), value


def _last_name(target: ast.expr) -> str:
    """Return `lr` for lr, self.lr and config["lr"]; "" for what has no name."""
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=key):
            return _key(key)
    return ""


def _key(key: ast.expr | None) -> str:
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""


def _defaults(node: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters that have a default."""
    positional = [*node.posonlyargs, *node.args]
    with_default = positional[len(positional) - len(node.defaults) :]
    yield from ((one.arg, value) for one, value in zip(with_default, node.defaults, strict=True))
    for one, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def _option(call: ast.Call) -> str:
    """Return `weight_decay` for add_argument("--weight-decay", …), also of click; else ""."""
    names = map(_key, call.args)
    return next((name[2:].replace("-", "_") for name in names if name.startswith("--")), "")


# --- two sources ---


def differences(before: Iterable[Binding], after: Iterable[Binding]) -> list[Pair]:
    """Return the names whose values differ: first those with two values, each group in the text's order.

    A name is looked for where it stood, then anywhere: a line may have moved into another function.
    """
    moved: list[Pair] = []
    changed: list[Pair] = []
    for pair in _paired(before, after, lambda one: (one.place, one.name)):
        (changed if pair.before and pair.after else moved).append(pair)
    gone, come = _present(pair.before for pair in moved), _present(pair.after for pair in moved)
    return sorted([*changed, *_paired(gone, come, lambda one: one.name)], key=_order)


def _present(found: Iterable[Binding | None]) -> list[Binding]:
    return [one for one in found if one is not None]


def _order(pair: Pair) -> tuple[bool, tuple[int, int]]:
    shown = pair.after or pair.before
    assert shown is not None
    return pair.before is None or pair.after is None, shown.position


def _paired(
    before: Iterable[Binding], after: Iterable[Binding], key: Callable[[Binding], Hashable]
) -> Iterator[Pair]:
    """Yield the bindings of equal key in pairs, less those whose value is there before and after."""
    groups: dict[Hashable, tuple[list[Binding], list[Binding]]] = defaultdict(lambda: ([], []))
    for one in before:
        groups[key(one)][0].append(one)
    for one in after:
        groups[key(one)][1].append(one)
    for olds, news in groups.values():
        left, come = _less(olds, news), _less(news, olds)
        for at in range(max(len(left), len(come))):
            yield Pair(*(some[at] if at < len(some) else None for some in (left, come)))


def _less(some: list[Binding], others: list[Binding]) -> list[Binding]:
    """Return those of `some` whose value is not among the others, as often as it is there."""
    known = Counter(one.words for one in others)
    rest = []
    for one in some:
        if known[one.words]:
            known[one.words] -= 1
        else:
            rest.append(one)
    return rest
