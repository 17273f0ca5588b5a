"""Python imports this module at its start (module site): its folder is first on PYTHONPATH.

AR_AT_START says what is wanted: `lines`, that each line is written at once, and `capture` (`--capture auto`),
to wait until torch's optimizers are imported. The module imports the sitecustomize that it hides. It runs in
every Python process of the job, so it imports nothing itself before torch is imported.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OPTIMIZER = "torch.optim.optimizer"


class OptimizerFinder:
    """A finder on sys.meta_path that lets every import pass, and hooks into that of torch's optimizers."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Return the other finders' spec for torch's optimizers, with a hook in its loader; else None.

        The parameters are those of importlib.abc.MetaPathFinder.
        """
        if name != OPTIMIZER:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _hook(spec)
                return spec
        return None


def _hook(spec: "Any") -> None:
    execute = spec.loader.exec_module

    def exec_module(module: "Any") -> None:
        execute(module)
        try:
            import ar_auto

            ar_auto.watch(module)
        except Exception as error:  # as with an older torch, or with an ar_capture.py of the project's own
            print(f"ar_capture: --capture auto is off: {error}", file=sys.stderr, flush=True)

    spec.loader.exec_module = exec_module


def _whole_lines() -> None:
    """Have each line written at once, as at a terminal.

    With PYTHONUNBUFFERED print() writes each of its arguments by itself, and what two processes print at the
    same time becomes one line: a 1 and a 2 the number 12.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # neither closed nor replaced
            stream.reconfigure(line_buffering=True, write_through=False)


def _give_way() -> None:
    """Import the sitecustomize that this one hides, as that of a distribution, a cluster or coverage."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    ours = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as error:
        if error.name != __name__:
            raise
    finally:  # without another one site expects this module; it reports an error in the other one as usual
        sys.modules.setdefault(__name__, ours)


_wanted = os.environ.get("AR_AT_START", "").split()
if "lines" in _wanted:
    _whole_lines()
if "capture" in _wanted:
    sys.meta_path.insert(0, OptimizerFinder())
_give_way()
