"""`--capture auto`: this folder is first on PYTHONPATH, so Python imports this at its start (module site).

It waits for torch's optimizers and gives way to the sitecustomize that it hides. As it runs in every Python
process of the job, it imports nothing before torch is imported.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OPTIMIZER = "torch.optim.optimizer"


class Waiting:
    """On sys.meta_path: lets every import pass, and looks after one."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """As importlib.abc.MetaPathFinder has it: the other finders' answer, with a hook in its loader."""
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
        except Exception as error:  # an older torch, or an ar_capture.py of the project's own
            print(f"ar_capture: --capture auto is off: {error}", file=sys.stderr, flush=True)

    spec.loader.exec_module = exec_module


def _give_way() -> None:
    """Import the sitecustomize that this one hides: a distribution's, a cluster's, coverage's."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    ours = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as error:
        if error.name != __name__:
            raise
    finally:  # where there is no other, site expects ours; an error of theirs it reports as without us
        sys.modules.setdefault(__name__, ours)


sys.meta_path.insert(0, Waiting())
_give_way()
