"""`--capture auto`: finds the model that an optimizer trains, without a word in the script; best effort.

The models of the optimizers that made a step are kept in mind by weak references and written at the end of
the process. A model whose last reference goes before (a local of main(), which returned) is written then, so
that its memory is held no longer than the script holds it; of several, when the last of them goes.
"""

import gc
import os
import sys
import time
import weakref
from typing import Any, Iterable, List, Set, Tuple

from ar_capture import KEEPER, bare, tell

MODELS_MAX = 4  # a pair of networks and their like; an earlier one is let go: it may hold memory
# Looking through all objects takes 0.1 s per million: that much in all, or that share of the process's time.
SEARCH_FREE_S, SEARCH_SHARE = 1.0, 0.01
# What a module's state_dict() reads, shared with the model itself: no reference to that is held.
PARTS = (
    "_parameters _buffers _non_persistent_buffers_set _modules _state_dict_hooks _state_dict_pre_hooks"
).split()
PARTS_CLASS = "ArCaptureParts"  # by which such a module is known, and not taken for a model

_known: "weakref.WeakSet[Any]" = weakref.WeakSet()  # optimizers whose models have been looked for
_models: List[Tuple[Any, Any]] = []  # a weak reference to the model, and its parts
_spent = 0.0
_began = time.monotonic()


def watch(module: Any) -> None:
    """`module` is torch.optim.optimizer: from here on each step of any optimizer passes by (torch 2.0)."""
    module.register_optimizer_step_pre_hook(_step)


def _step(optimizer: Any, _args: Any, _kwargs: Any) -> None:
    if optimizer not in _known:
        _meet(optimizer)


def _meet(optimizer: Any) -> None:
    """Find the models of an optimizer that makes its first step; put off where it would slow the training."""
    global _spent
    now = time.monotonic()
    if _spent > max(SEARCH_FREE_S, SEARCH_SHARE * (now - _began)) or KEEPER.asked:
        return
    _known.add(optimizer)
    try:
        for model in find(optimizer):
            _join(bare(model))
    except Exception as error:  # whatever is odd about these objects, the training goes on
        tell(f"no model was found for {type(optimizer).__name__}", error)
    _spent += time.monotonic() - now


def find(optimizer: Any) -> List[Any]:
    """The outermost modules that own the optimizer's parameters: the fewest, and of those the smallest."""
    # type(), not isinstance(): a proxy's __class__ may do anything.
    module = _module()
    modules = [one for one in gc.get_objects() if issubclass(type(one), module)]
    modules = [one for one in modules if type(one).__name__ != PARTS_CLASS and "_modules" in one.__dict__]
    inner = {id(child) for one in modules for child in one.__dict__["_modules"].values()}
    owned = [(one, {id(p) for p in one.parameters()}) for one in modules if id(one) not in inner]
    left = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return list(_cover(owned, left))


def _cover(owned: List[Tuple[Any, Set[int]]], left: Set[int]) -> Iterable[Any]:
    while left:
        best = max(owned, key=lambda one: (len(one[1] & left), -len(one[1])), default=None)
        if best is None or not best[1] & left:
            return
        left = left - best[1]
        yield best[0]


def _module() -> Any:
    return sys.modules["torch.nn"].Module


def _parts(model: Any) -> Any:
    """A plain module that shares the model's parts."""
    parts = type(PARTS_CLASS, (_module(),), {})()
    parts.__dict__.update({name: model.__dict__[name] for name in PARTS if name in model.__dict__})
    return parts


def _join(model: Any) -> None:
    if any(known() is model for known, _ in _models):
        return
    alive = [one for one in _models if one[0]() is not None]
    _models[:] = [*alive, (weakref.ref(model, _gone), _parts(model))][-MODELS_MAX:]
    KEEPER.keep(_value, asked=False)


def _value() -> Any:
    """What is to be written: the model, or a list of them in the order of their first steps."""
    found = [parts if known() is None else known() for known, parts in _models]
    return found[0] if len(found) == 1 else found or None


def _gone(_reference: Any) -> None:
    """A model's memory is about to go."""
    if KEEPER.asked or KEEPER.over or KEEPER.pid != os.getpid():
        return
    if all(known() is None for known, _ in _models) and KEEPER.write(_value, wait=0):
        _models.clear()
        _known.clear()  # should its optimizer go on, inside another model
