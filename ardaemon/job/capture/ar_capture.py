"""Keeps a run's model: `from ar_capture import capture; capture(model)`, once, after the model was built.

When the process ends (by itself, by sys.exit, an exception or SIGTERM) the model's last state is
written to $AR_RUN_DIR/state.pt, whole or not at all. Outside a run nothing happens. The job imports
this module with its own interpreter, so it needs Python 3.8 or newer and the standard library alone.
torch is used if the job has imported it.
"""

import atexit
import importlib
import os
import pickle
import signal
import sys
import threading
from typing import Any, Callable, List, Optional, Tuple

__all__ = ["capture", "load_best", "load_parent", "save"]
# For another thread that writes while the process ends: some GB at disk speed. The run's limit ends it in any
# case.
LAST_WAIT_S = 60.0
# Class of a wrapper -> its attribute with the model. States are saved with the model's own names, because
# they are loaded before the model is wrapped.
WRAPPERS = {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod"}
ZIP = b"PK\x03\x04"  # the first bytes of a file of torch.save; any other file here is a pickle
PROTOCOL = 4  # of pickle, which every Python from 3.4 on can read


def capture(model: Any, now: bool = False, **others: Any) -> Any:
    """Write the model's state when this process ends; return the model.

    `model` is an object with a state_dict(), a dict or a list of such objects, or anything that can be
    pickled. With `others` (`optimizer=optimizer, epoch=3`) the state is a dict of these names and
    "model". The last call counts. With now=True the state is written at once, and nothing at the end,
    as for the weights of the best epoch.
    """
    if os.environ.get("AR_RUN_DIR"):
        value = {"model": model, **others} if others else model
        if now:
            KEEPER.keep(None)
            KEEPER.write(lambda: value)
        else:
            KEEPER.keep(lambda: value)
    return model


def save() -> None:
    """Write the captured model as it is now, in case of a SIGKILL; the end of the process writes it again."""
    if KEEPER.value is not None:
        KEEPER.write(KEEPER.value)


def load_best(map_location: Any = "cpu") -> Any:
    """Return the best run's captured state; None if there is none.

    Of a sharded state return this rank's part.
    """
    return _load("AR_BEST_CKPT", map_location)


def load_parent(map_location: Any = "cpu") -> Any:
    """Return the captured state of the best of the experiment before this one in the chain, likewise."""
    return _load("AR_PARENT_CKPT", map_location)


class Keeper:
    """The value that is to be written when this process ends, and the writing."""

    def __init__(self) -> None:
        self.value: Optional[Callable[[], Any]] = None
        self.asked = False  # the script itself has called capture()
        self.pid = 0
        self.place = (0, 1)
        self.over = False  # the last write was made
        self.dying = False  # SIGTERM came in the midst of a write
        self.lock = threading.Lock()
        self.writer = 0  # the thread that holds the lock

    def keep(self, value: Optional[Callable[[], Any]], asked: bool = True) -> None:
        """Have `value` called and its result written when this process ends, but not when its forks end."""
        if self.pid != os.getpid():
            self.pid, self.lock, self.writer = os.getpid(), threading.Lock(), 0
            atexit.register(self.finish)
            _at_exit_of_a_child(self.finish)
            self._catch()
        self.value, self.asked, self.over = value, asked, False
        self.place = _place()  # now, because torch's process group may be gone at the end

    def _catch(self) -> None:
        """Handle SIGTERM, which ends Python without atexit; a handler of the script's own is left alone."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self.terminated)

    def write(self, value: Callable[[], Any], wait: float = LAST_WAIT_S) -> bool:
        """Write the value now; return False if another write is under way.

        A failure is printed and not raised: the training goes on.
        """
        if not self._enter(wait):
            return False
        try:
            self._write(value)
        finally:
            self._leave()
        self._go_on_dying()
        return True

    def finish(self) -> None:
        """Make the last write, at the end of the interpreter."""
        self._once(LAST_WAIT_S)
        self._go_on_dying()

    def terminated(self, number: int, _frame: Any) -> None:
        """Handle SIGTERM: write, then die by the signal as usual.

        A write that is under way is finished first.
        """
        if os.getpid() == self.pid:
            self.dying = True
            if not self._once(0):
                return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _go_on_dying(self) -> None:
        if self.dying and os.getpid() == self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def _once(self, wait: float) -> bool:
        """Make the last write, unless it was made; return False if another one is under way."""
        if os.getpid() != self.pid or self.over:
            return True
        if not self._enter(wait):
            return False
        try:
            if self.value is not None:
                self._write(self.value)
            self.over = True
        finally:
            self._leave()
        return True

    def _enter(self, wait: float) -> bool:
        """Begin a write; return False if another one is under way.

        If it is this thread's own, a signal handler or a finalizer has interrupted it, and it could never
        end.
        """
        if self.writer == threading.get_ident() or not self.lock.acquire(timeout=wait):
            return False
        self.writer = threading.get_ident()
        return True

    def _leave(self) -> None:
        self.writer = 0
        self.lock.release()

    def _write(self, value: Callable[[], Any]) -> None:
        try:
            _write(value(), max(_place(), self.place, key=lambda place: place[1]))
        except Exception as error:
            tell("the state was not saved", error)


KEEPER = Keeper()


def _at_exit_of_a_child(call: Callable[[], Any]) -> None:
    """Have `call` called at the end of a process that multiprocessing has forked: it ends without atexit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and sys.modules["multiprocessing"].parent_process() is not None:
        util.Finalize(None, call, exitpriority=0)


def tell(what: str, error: Exception) -> None:
    """Print one line for the run's log."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    print(f"ar_capture: {what}: {text}", file=sys.stderr, flush=True)


def _place() -> Tuple[int, int]:
    """Return this process's rank and the number of ranks, by torch.distributed or torchrun's variables."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    return (int(rank), int(world)) if rank.isdigit() and world.isdigit() else (0, 1)


def _write(value: Any, place: Tuple[int, int]) -> None:
    """Write the value: rank 0 alone if all ranks have the same; each rank its part of a sharded value."""
    folder = os.environ.get("AR_RUN_DIR")
    rank, world = place
    if not folder or value is None:
        return
    sharded = _is_sharded(value)
    if sharded and world > 1:
        folder = os.path.join(folder, "state")
        if os.path.islink(folder):  # a link in a run's folder leads to the experiment's own files
            raise FileExistsError(f"{folder} is the experiment's own")
        os.makedirs(folder, exist_ok=True)
        _publish(_state(value, sharded), folder, f"rank{rank}-of-{world}.pt")
    elif rank == 0:
        _publish(_state(value, sharded), folder, "state.pt")


def _publish(state: Any, folder: str, name: str) -> None:
    """Write a temporary file and rename it. The daemon syncs the file before it counts on it."""
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        torch = sys.modules.get("torch")
        if torch is not None and hasattr(torch, "save"):
            torch.save(state, temporary)
        else:
            with open(temporary, "wb") as file:
                pickle.dump(state, file, PROTOCOL)
        os.replace(temporary, os.path.join(folder, name))
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _is_module(value: Any) -> bool:
    module = getattr(sys.modules.get("torch.nn"), "Module", None)
    return module is not None and issubclass(type(value), module)


def bare(model: Any) -> Any:
    """Return the model inside the wrappers of DDP and torch.compile."""
    while type(model).__name__ in WRAPPERS and hasattr(model, WRAPPERS[type(model).__name__]):
        model = getattr(model, WRAPPERS[type(model).__name__])
    return model


def _is_sharded(value: Any) -> bool:
    """Return whether each rank has only a part of the value (FSDP of either kind, DTensors)."""
    if type(value) in (dict, list):
        return any(map(_is_sharded, value.values() if type(value) is dict else value))
    if _is_module(value):
        return _is_flat(value) or any(hasattr(one, "to_local") for one in value.parameters())
    return hasattr(value, "to_local")


def _is_flat(model: Any) -> bool:
    """Return whether FSDP of the first kind is in it: its state_dict() needs all ranks, which may be gone."""
    return any(type(one).__name__ == "FullyShardedDataParallel" for one in model.modules())


def _state(value: Any, sharded: bool) -> Any:
    if type(value) is dict:
        return {name: _state(one, sharded) for name, one in value.items()}
    if type(value) is list:
        return [_state(one, sharded) for one in value]
    if _is_module(value):
        value = bare(value)
        if _is_flat(value):
            pairs: List[Tuple[str, Any]] = [*value.named_parameters(), *value.named_buffers()]
            return {name: _local(one) for name, one in pairs}
    state_dict = getattr(value, "state_dict", None)
    state = state_dict() if callable(state_dict) else value
    return _local(state) if sharded else state


def _local(value: Any) -> Any:
    """Return this rank's part of every tensor as a plain tensor, readable without a process group."""
    if isinstance(value, dict):
        return {name: _local(one) for name, one in value.items()}
    if type(value) is list:
        return [_local(one) for one in value]
    if hasattr(value, "detach"):
        value = value.detach()
    return value.to_local() if hasattr(value, "to_local") else value


def _load(variable: str, map_location: Any) -> Any:
    folder = os.environ.get(variable)
    path = _find(folder) if folder else None
    if path is None:
        return None
    with open(path, "rb") as file:
        if file.read(len(ZIP)) != ZIP:
            file.seek(0)
            return pickle.load(file)  # the file was written by an earlier version of this very script
        file.seek(0)
        torch: Any = importlib.import_module("torch")
        return torch.load(file, map_location=map_location, weights_only=False)


def _find(folder: str) -> Optional[str]:
    """Return the file in `folder` that was captured for this rank, None if there is none.

    Raises RuntimeError if it was captured with another number of ranks.
    """
    whole, parts = os.path.join(folder, "state.pt"), os.path.join(folder, "state")
    if os.path.isfile(whole):
        return whole
    names = [name for name in sorted(_names(parts)) if name.startswith("rank")]
    if not names:
        return None
    rank, world = _place()
    mine = f"rank{rank}-of-{world}.pt"
    if mine not in names:
        raise RuntimeError(f"{parts} holds {', '.join(names[:3])}, but no {mine}: use as many ranks as then")
    return os.path.join(parts, mine)


def _names(folder: str) -> List[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []
