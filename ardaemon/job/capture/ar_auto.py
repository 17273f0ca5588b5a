"""`--capture auto`: finds the model that an optimizer trains, with no change in the script; best effort.

The models of all optimizers that have made a step are held by weak references and written when the process
ends. A model whose last reference goes earlier, as that of a local variable of main(), is written at that
moment, so that its memory is held no longer than the script holds it. Several models are written when the
last of them goes.
"""

import gc
import os
import sys
import time
import weakref
from typing import Any, Iterable, List, Set, Tuple

from ar_capture import KEEPER, bare, tell

# Enough for a pair of networks with their copies; earlier models are forgotten: they may hold memory.
MODELS_MAX = 4
# A search through all objects takes 0.1 s per million. Searches may take so many CPU seconds in all, or that
# share of the process's time: on a busy machine they take longer by the clock, and cost no more.
SEARCH_FREE_S, SEARCH_SHARE = 1.0, 0.01
# The attributes that a module's state_dict() reads. They are shared with the model, which itself is not
# referred to.
PARTS = (
    "_parameters _buffers _non_persistent_buffers_set _modules _state_dict_hooks _state_dict_pre_hooks"
).split()
PARTS_CLASS = "ArCaptureParts"  # the class of a module that only shares a model's parts, and is no model

_searched: "weakref.WeakSet[Any]" = weakref.WeakSet()  # optimizers whose models have been looked for
_models: List[Tuple[Any, Any]] = []  # a weak reference to the model, and its parts
_spent = 0.0
_began = time.monotonic()


def watch(module: Any) -> None:
    """Hook into each step of any optimizer (torch 2.0); `module` is torch.optim.optimizer."""
    module.register_optimizer_step_pre_hook(_step)


def _step(optimizer: Any, _args: Any, _kwargs: Any) -> None:
    if optimizer not in _searched:
        _meet(optimizer)


def _meet(optimizer: Any) -> None:
    """Find the models of an optimizer at its first step, or later if the search would slow the training."""
    global _spent
    if _spent > max(SEARCH_FREE_S, SEARCH_SHARE * (time.monotonic() - _began)) or KEEPER.asked:
        return
    begun = time.thread_time()
    _searched.add(optimizer)
    try:
        for model in find(optimizer):
            _join(bare(model))
    except Exception as error:  # whatever is odd about these objects, the training goes on
        tell(f"no model was found for {type(optimizer).__name__}", error)
    _spent += time.thread_time() - begun


def find(optimizer: Any) -> List[Any]:
    """Return the outermost modules that own the parameters: the fewest, and of those the smallest."""
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
    """Return a plain module that shares the model's parts."""
    parts = type(PARTS_CLASS, (_module(),), {})()
    parts.__dict__.update({name: model.__dict__[name] for name in PARTS if name in model.__dict__})
    return parts


def _join(model: Any) -> None:
    if any(reference() is model for reference, _ in _models):
        return
    alive = [one for one in _models if one[0]() is not None]
    _models[:] = [*alive, (weakref.ref(model, _gone), _parts(model))][-MODELS_MAX:]
    KEEPER.keep(_value, asked=False)


def _value() -> Any:
    """Return the value to write: the model, or a list of models in the order of their first steps."""
    values = [parts if reference() is None else reference() for reference, parts in _models]
    return values[0] if len(values) == 1 else values or None


def _gone(_reference: Any) -> None:
    """Write the models if the last of them is about to be freed; weakref calls this."""
    if KEEPER.asked or KEEPER.over or KEEPER.pid != os.getpid():
        return
    if all(reference() is None for reference, _ in _models) and KEEPER.write(_value, wait=0):
        _models.clear()
        _searched.clear()  # an optimizer may go on to train another model
