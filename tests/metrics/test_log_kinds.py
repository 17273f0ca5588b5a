"""What people's training prints: the right value of val_loss in each log, or none; never a wrong one."""

import itertools
import textwrap
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.formats.log_reader import ReadLimits
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.log_follower import GrowingLog
from tests.support.every import every

LOSS = Query(Primary("val_loss"))
BEFORE = "val_loss: 0.73\n"  # what the script printed; the value that counts unless a later one does


def read(folder: Path, text: str | bytes, query: Query = LOSS, limits: ReadLimits | None = None) -> Readings:
    log = folder / "run.log"
    log.write_bytes(text.encode() if isinstance(text, str) else text)
    output = AttemptOutput(log=log, run_folder=folder, attempt_folder=folder, project=folder)
    return LogBackend(limits).read_here(output, query)


def shown(text: str) -> str:
    return textwrap.dedent(text)[1:] if text.startswith("\n") else text


SOURCE = {
    "a warning": """
        /work/train.py:12: RuntimeWarning: mean of an empty slice
          val_loss = 0.5
        """,
    "a warning of several lines": """
        /work/train.py:12: UserWarning: careful
          about this
        and that
          warnings.warn(text); val_loss = 0.5
        """,
    "a warning, then a traceback": """
        /work/train.py:12: UserWarning: careful
          warnings.warn(text); val_loss = 0.5
        Traceback (most recent call last):
          File "/work/train.py", line 12, in <module>
            val_loss = 0.5
        KeyError: 'x'
        """,
    "a warning by logging": """
        WARNING:py.warnings:/work/train.py:12: RuntimeWarning: mean of an empty slice
          val_loss = 0.5 * 0.4 + mean([])
        """,
    "a traceback that was handled": """
        Traceback (most recent call last):
          File "/work/train.py", line 12, in <module>
            Tracker().log(step=1, val_loss=0.0 if loss != loss else loss)
            ~~~~~~~~~~~~~^^^^^^^^^^^^^^^^^^^^^^
          File "/work/train.py", line 5, in log
            val_loss=0.5
        ConnectionError: val_loss=0.5 could not be sent
        """,
    "a traceback of one rank": """
        [rank1]: Traceback (most recent call last):
        [rank1]:   File "/work/train.py", line 12, in <module>
        [rank1]:     val_loss = 0.5
        [rank1]: ValueError: val_loss: 0.5
        """,
    "a traceback that was cut in two": """
        Traceback (most recent call last):
          File "/work/train.py", line 12, in <module>
        epoch 3 of another process
          File "/work/train.py", line 14, in f
            val_loss = 0.5
        """,
    "chained tracebacks": """
        Traceback (most recent call last):
          File "/work/train.py", line 12, in <module>
            val_loss = 0.5
        KeyError: 'x'

        During handling of the above exception, another exception occurred:

        Traceback (most recent call last):
          File "/work/train.py", line 12, in <module>
            val_loss = 0.5
        RuntimeError
        """,
    "an exception group": """
        first: 1
          + Exception Group Traceback (most recent call last):
          |   File "/work/train.py", line 12, in <module>
          |     val_loss = 0.5
          | ExceptionGroup: several (1 sub-exception)
          +-+---------------- 1 ----------------
            | ValueError: val_loss = 0.5
            +------------------------------------
        """,
    "loguru": """
        2026-11-24 15:27:56.123 | ERROR    | __main__:<module>:12 - failed
        Traceback (most recent call last):

        > File "/work/train.py", line 12, in <module>
            f(val_loss=0.5)
            │ └ 0.5
            └ <function f at 0x7f>

          File "/work/train.py", line 5, in f
            val_loss = 0.5

        ZeroDivisionError: division by zero
        """,
    "rich's traceback": """
        ╭──────────── Traceback (most recent call last) ─────────────╮
        │ /home/u/project/train.py:42 in main                        │
        │ ❱ 42     val_loss = 0.5                                    │
        │ ╭─ locals ─╮                                               │
        │ │ val_loss = 0.5 │                                         │
        ╰────────────────────────────────────────────────────────────╯
        ValueError: val_loss: 0.5
        """,
    "rich's traceback in ASCII": """
        +------------ Traceback (most recent call last) -------------+
        | > 42     val_loss = 0.5                                    |
        +------------------------------------------------------------+
        ValueError: val_loss: 0.5
        """,
    "IPython": """
        ---------------------------------------------------------------------------
        ValueError                                Traceback (most recent call last)
        Cell In[3], line 2
              1 def f(): pass
        ----> 2 val_loss = 0.5
              3 val_loss = 0.6

        ValueError: val_loss: 0.5
        """,
    "bash -x": "+ python train.py val_loss=0.5\n++ val_loss=0.5\n+++ val_loss=0.5\n",
    "an error of bash": "train.sh: line 5: val_loss=0.5: command not found\n",
    "pdb": "> /work/train.py(42)main()\n-> val_loss = 0.5\n(Pdb) val_loss = 0.5\n",
    "a list of pdb": "  1  \tval_loss = 0.5\n 12 B->\tval_loss=0.5\n",
    "a console": ">>> val_loss = 0.5\n... val_loss = 0.5\nIn [3]: val_loss = 0.5\nipdb> val_loss = 0.5\n",
    "cat -n": "     1\tval_loss = 0.5\n    12\tval_loss=0.5\n",
    "inspect.getsource": """
        def evaluate(
            model, limit=3,
            val_loss=0.5,
        ):
            if True:
                val_loss = 0.5

            return val_loss
        """,
    "a loop": "for epoch in range(3):\n    val_loss = 0.5\n",
    "a condition": "if loss != loss:\n    val_loss = 0.5\nelse:\n    val_loss = 0.5\n",
    "a class": "class Config(Base):\n    val_loss: float = 0.5\n    val_loss = 0.5\n",
    "ruff": """
        F841 Local variable `val_loss` is assigned to but never used
         --> train.py:3:5
          |
        1 | def f():
        3 |     val_loss = 0.5
          |     ^^^^^^^^
          |
        """,
    "flake8": "train.py:3:5: F841 local variable 'x' is assigned to\n    val_loss = 0.5\n    ^\n",
    "mypy": "train.py:3: error: Incompatible types  [assignment]\n    val_loss = 0.5\n    ^~~~\n",
    "nvcc": 'k.cu(12): warning #177-D: "x" was declared\n      float val_loss = 0.5;\n            ^\n',
    "python -m trace": "train.py(3):     val_loss = 0.5\n",
    "PySnooper": "12:00:00.123456 line         5     val_loss = 0.5\n",
    "rich's Syntax": "│    3 │ val_loss = 0.5                    │\n",
    "rg -n": "src/train.py:3:    val_loss = 0.5\n",
    "git grep -n with context": "train.py-3-    val_loss = 0.5\n",
    "a condition in one line": "if val_loss > 0.5: val_loss = 0.5\n",
    "pytest": ">       val_loss = 0.5\nE       val_loss = 0.5\n",
    "py-spy dump": """
        Thread 12345 (active): "MainThread"
            train (train.py:42)
                Locals:
                    val_loss: 0.5
            <module> (train.py:60)
        """,
    "a diff": """
        diff --git a/train.py b/train.py
        @@ -1,2 +1,2 @@
         val_loss = 0.5
        -val_loss = 0.6
        +val_loss = 0.5
        """,
    "line_profiler": """
        Line #      Hits         Time  Per Hit   % Time  Line Contents
        ==============================================================
             1         1          5.0      5.0     50.0  val_loss = 0.5

        """,
    "arithmetic": "val_loss = 0.5 * 0.4 + mean([])\nval_loss = 0.5 if x else 0.6\nval_loss = 0.5 * mean(x)\n",
    "a traceback behind what a logger writes": """
        2026-11-24 15:27:56 ERROR Traceback (most recent call last):
        2026-11-24 15:27:56 ERROR   File "/work/train.py", line 12, in <module>
        2026-11-24 15:27:57 ERROR     val_loss = 0.5
        2026-11-24 15:27:57 ERROR ValueError: val_loss = 0.5
        """,
    "a traceback of a container": """
        train-1  | Traceback (most recent call last):
        train-1  |   File "/work/train.py", line 12, in <module>
        train-1  |     val_loss = 0.5
        train-1  | ValueError: val_loss = 0.5
        """,
    "a warning of a container": """
        train-1  | /work/train.py:12: UserWarning: careful
        train-1  |   val_loss = 0.5
        """,
    "bash -x with the place": "+ (train.sh:12): val_loss=0.5\n+[15:27:56] val_loss=0.5\n",
    "what torch compiles (TORCH_LOGS)": """
        V1124 15:27:56.123000 12345 torch/_dynamo/symbolic_convert.py:1] [0/0] TRACE train.py:3
        [rank0]:V1124 15:27:56.123000 12345 torch/_dynamo/output_graph.py:1] [0/0]     val_loss = 0.5
        """,
    "faulthandler": """
        Fatal Python error: Segmentation fault

        Current thread 0x00007f (most recent call first):
          File "/work/train.py", line 5 in val_loss
        """,
}


@every("kind", SOURCE)
def test_source_is_no_report(kind: str, tmp_path: Path) -> None:
    text = BEFORE + shown(SOURCE[kind])
    readings = read(tmp_path, text)
    assert readings.value == 0.73, readings.problem
    assert read(tmp_path, text + "done\nval_loss: 0.25\n").value == 0.25
    live = GrowingLog(LOSS)
    live.feed(text.encode())
    assert live.latest == 0.73


@every("kind", SOURCE)
def test_source_is_no_report_wherever_the_tail_and_the_blocks_begin(kind: str, tmp_path: Path) -> None:
    text = BEFORE + "x\n" * 30 + shown(SOURCE[kind])
    for tail in range(1, len(text), 7):
        limits = ReadLimits(tail=tail, block=200, line=150)
        assert read(tmp_path, text, LOSS, limits).value == 0.73
    best = read(
        tmp_path, text, Query(Primary("val_loss"), count="best"), ReadLimits(tail=9, block=200, line=150)
    )
    assert best.value == 0.73


VALUES = [
    # What only looks like source.
    ("Results for the validation set:\n    val_loss: 0.5\n", 0.5),
    ("Epoch 3:\n  val_loss: 0.5\n", 0.5),
    ("x.py:3: UserWarning: careful\nval_loss: 0.5\n", 0.5),
    ("<stdin>:3: UserWarning: careful\n  val_loss: 0.5\n", 0.5),
    ("train.py:80: epoch 3 done\nval_loss: 0.5\n", 0.5),
    ("val_loss: 0.5 *\n", 0.5),
    ("val_loss: 0.5 - acc: 0.9 - lr: 1e-3\n", 0.5),
    ("val_loss: 0.5 +/- 0.1\n", 0.5),
    ("12\tval_loss: 0.5\n", 0.5),
    ("-> val_loss: 0.5\n", 0.5),
    (">>> epoch 3 val_loss: 0.5\n", 0.5),
    ("... val_loss: 0.5\n", 0.5),
    ("+ val_loss: 0.5\n", 0.5),
    (">    val_loss: 0.5\n", 0.5),
    ("train.py(42): val_loss: 0.5\n", 0.5),
    ("class weights are off:\n  val_loss: 0.5\n", 0.5),
    ("| 3 | val_loss: 0.5 | lr: 0.1 |\n", 0.5),
    # Objects.
    ('{"val_loss": 0.5, "ema": {"val_loss": 0.9}}\n', 0.5),
    ('INFO:train:{"val_loss": 0.5, "ema": {"val_loss": 0.9}}\n', 0.5),
    ("step 3 {'val_loss': 0.5, 'ema': {'val_loss': 0.9}} done\n", 0.5),
    ('{\n  "val_loss": 0.5,\n  "by": {\n    "code": {\n      "val_loss": 0.9\n    }\n  }\n}\n', 0.5),
    ("metrics: {'by': {'a': {'val_loss': 0.9},\n        'b': {'val_loss': 0.1}},\n 'val_loss': 0.5}\n", 0.5),
    ('{"val_loss": 0.5,\nINFO val_lr: 3\n "ema": {"val_loss": 0.9}}\n', 0.5),
    ('{"val_loss": 0.9,\nval_loss: 0.5\n', 0.5),
    ("defaultdict(<class 'float'>, {'val_loss': 0.5, 'x': {'val_loss': 0.9}})\n", 0.5),
    ("TrainOutput(global_step=5, val_loss=0.5, metrics={'val_loss': 0.9})\n", 0.5),
    ("Result(val_loss=0.5, ema=Result(val_loss=0.9, n=1))\n", 0.5),
    ("Result(val_loss=0.5,\n       ema=Result(val_loss=0.9),\n       n=1)\n", 0.5),
    ("Result(val_loss=tensor(0.5, device='cuda:0'), ema=Result(val_loss=0.9))\n", 0.5),
    ('{"text": "val_loss: 0.9", "val_loss": 0.5}\n', 0.5),
    ('{"val_loss": 0.5, "text": "val_loss: 0.9 {"}\n', 0.5),
    ("{'val_loss': 0.5, 'history': [{'val_loss': 0.9}]}\n", 0.5),
    ("loss of function main() {\nval_loss: 0.5\n}\n", 0.5),
    ("R(\n    val_loss=0.5,\n    ema=R(\n        val_loss=0.9,\n        ema=None\n    )\n)\n", 0.5),
    ("val_loss: 0.5\nema:\n  val_loss: 0.9\nBest:\n  epoch: 3\n  val_loss: 0.9\n", 0.5),
    ("val_loss: 0.5\nby_domain:\n  code:\n    val_loss: 0.9\n  web:\n    val_loss: 0.1\n", 0.5),
    ("ema:\n  val_loss: 0.9\nval_loss: 0.5\n", 0.5),
    ("Results:\n  val_loss: 0.5\n", 0.5),
    ("validation:\n  val_loss: 0.5\n", 0.5),
    ("Results:\n  Validation:\n    val_loss: 0.5\n", 0.5),
    # Scalars of libraries.
    ("{'step': 10, 'val_loss': Array(0.5, dtype=float32)}\n", 0.5),
    ("val_loss: Array(0.5, dtype=float32, weak_type=True)\n", 0.5),
    ("{'val_loss': <tf.Tensor: shape=(), dtype=float32, numpy=0.5>}\n", 0.5),
    ("val_loss=<tf.Variable 'x:0' shape=() dtype=float32, numpy=0.5>\n", 0.5),
    ("{'val_loss': array(0.5, dtype=float32)}\n", 0.5),
    ("val_loss tensor: x\nval_loss: tensor(0.5000, device='cuda:0', grad_fn=<MeanBackward0>)\n", 0.5),
    ("val_loss: tensor([0.5000], device='mps:0')\n", 0.5),
    ("val_loss: np.float32(0.5)\n", 0.5),
    ("val_loss：0.5\n", 0.5),
    ("val_loss＝０.５\n", 0.5),
    ("val_loss is 0.5\n", 0.5),
    ("epoch 3 val_loss 0.5 acc 0.9\n", 0.5),
    ("step 3, val_loss 5e-1, time 3s\n", 0.5),
    ("        val_loss            0.5000\n", 0.5),
    ("│         val_loss          │    0.5    │\n", 0.5),
    ("| val_loss | 0.5 |\n", 0.5),
    ("val_loss := 0.5\n", 0.5),
    ("val_loss\u2193: 0.5\n", 0.5),
    ('{"val_loss": "50%"}\n', 50.0),
    ("wandb:   val_loss 1\n", 1.0),
    ("v\u0430l_l\u043ess: 0.5\n", 0.5),
    # What may stand behind a number.
    *(
        (f"val_loss: 0.5{behind}\n", 0.5)
        for behind in (
            *(
                " * (new best)",
                "*",
                "!",
                "\u2193",
                " nats",
                " (0.6)",
                " \u00b1 0.1",
                " +/- 0.1",
                "+/-0.1",
                " - 12ms/step",
            ),
            *(
                " - 1s/epoch - 12ms/step",
                " 50%|\u2588 | 5/10",
                " 12it/s",
                " [3/10]",
                " 12:30:01",
                " 2026-11-24",
                "; 3 epochs",
            ),
            *(" best 0.4", ", 3 epochs left", " -> saved", " to disk", "%"),
        )
    ),
    # A history at the end.
    ("{'loss': [0.9, 0.8], 'val_loss': [0.9, 0.7312]}\n", 0.73),
    ("val_loss: [0.9, 0.73]\nval_loss: [0.9, 0.73]\n", 0.73),
    ("{'val_loss': [0.9,\n 0.8,\n 0.1]}\n", 0.73),
    # Folded lines.
    ("INFO epoch 10 loss: 1.2345678 val_loss:       train.py:8\n" + " " * 29 + "0.5000   \n", 0.5),
    ("INFO epoch 10 loss: 1.2345678 val_loss:       train.py:8\n" + " " * 29 + "0.5000 lr: 0.1\n", 0.5),
    ("INFO epoch 10 loss: 1.2345678 val_loss        train.py:8\n" + " " * 29 + "= 0.5000   \n", 0.5),
    ("x" * 70 + " val_loss:\n0.5 lr: 0.1\n", 0.5),
    ("val_loss:\n0.5\n", 0.5),
    ("{'epoch': 3, 'loss': 1.2345678, 'val_loss':       train.py:8\n      0.5, 'lr': 3}\n", 0.5),
    # Two processes in one line.
    ("val_loss: 0.84val_loss: 0.5\n\n", 0.5),
    ("epoch 1 val_loss: 0.9epoch 1 val_loss: 0.5\n\n", 0.5),
    ("[rank0] val_loss: 0.84[rank1] val_loss: 0.5\n\n", 0.5),
    ("100%|███| 10/10val_loss: 0.5\n", 0.5),
    ("{'val_loss': 0.9}{'val_loss': 0.5}\n\n", 0.5),
    # Qualifiers.
    *(
        (f"{before} val_loss: 0.1\n", 0.73)
        for before in (
            *(
                "best",
                "Best",
                "target",
                "prev",
                "prev.",
                "previous",
                "min",
                "max",
                "ema",
                "EMA",
                "train",
                "test",
            ),
            *(
                "lowest",
                "epoch 3 | best",
                "new best:",
                "[best]",
                "(best)",
                "Best epoch 3:",
                "best model saved,",
            ),
            *("best epoch: 3", "Best: epoch=3,", "INFO root: best", "lr: 0.1 best"),
        )
    ),
    ("best (epoch 3, val_loss: 0.1)\n", 0.73),
    ("Best metrics: {'val_loss': 0.1}\n", 0.73),
    ("best_val_loss: 0.1\nval_loss_best: 0.1\nval_loss/best: 0.1\n", 0.73),
    ("min(val_loss): 0.1\n", 0.73),
    ("best val_loss: 0.1, val_loss: 0.5\n", 0.5),
    ("val_loss: 0.5 (best val_loss: 0.1)\n", 0.5),
    ("val_loss: 0.5 (best: 0.1)\n", 0.5),
    ("(best: 0.1) val_loss: 0.5\n", 0.5),
    ("(best acc 0.3 at epoch 2) val_loss: 0.5\n", 0.5),
    ("best: 0.1 val_loss: 0.5\n", 0.5),
    ("best acc: 0.9 | val_loss: 0.5\n", 0.5),
    ("took 5 min val_loss: 0.5\n", 0.5),
    ("max epochs 10, val_loss: 0.5\n", 0.5),
    ("initial lr 0.1 | max steps: 9 | val_loss: 0.5\n", 0.5),
    ("best 0.4 at 2 | val_loss: 0.5\n", 0.5),
    ("best epoch 3 val_loss: 0.1\n", 0.73),
    ("Validation: val_loss=0.5\n", 0.5),
    ("eval | val_loss=0.5\n", 0.5),
    ("INFO:train:val_loss: 0.5\n", 0.5),
    ("[2026-11-24 15:27:56,123][train][INFO] - val_loss: 0.5\n", 0.5),
    ("2026-11-24 15:27:56,123 - train - INFO - val_loss: 0.5\n", 0.5),
    ("final val_loss: 0.5\n", 0.5),
    *(
        (f"{title}val_loss: 0.1\n", 0.73)
        for title in (
            *(
                "Best model:\n",
                "=== Best ===\n",
                "Best results\n------------\n",
                "[best]\n",
                "[metrics.best]\n",
            ),
            *(
                "*** Best model (epoch 3) ***\n",
                "Best epoch: 3\n  ",
                "best so far:\n    ",
                "Best:\nacc: 0.9\n",
            ),
            *(
                "best_so_far ",
                "best_epoch=3 ",
                "ema/ ",
                "SOTA ",
                "reference ",
                "median ",
                "best_epoch=3 acc=0.9 ",
            ),
        )
    ),
    ("Best model:\nval_loss: 0.1\nval_loss: 0.5\n", 0.5),
    ("Best model:\nval_loss: 0.1\nepoch 4\nval_loss: 0.5\n", 0.5),
    ("Best model:\n  val_loss: 0.1\nval_loss: 0.5\n", 0.5),
    ("Best model saved\nval_loss: 0.5\n", 0.5),
    ("=== Training finished ===\nval_loss: 0.5\n", 0.5),
    ("best_acc=0.9 val_loss: 0.5\n", 0.5),
    ("epoch 5 best_epoch=3 best=0.1 val_loss=0.5\n", 0.5),
    ("{'best': 0.1}\n{'val_loss': 0.5, 'phase': 'val'}\n", 0.5),
    # Objects behind what a logger writes.
    *(
        (f'{p}{{\n{p}  "val_loss": 0.5,\n{p}  "best": {{\n{p}    "val_loss": 0.1\n{p}  }}\n{p}}}\n', 0.5)
        for p in ("INFO: ", "[12:00:01] ", "[rank0]: ", "train-1  | ")
    ),
    # Headings behind what a logger writes.
    ("INFO best:\nINFO   val_loss: 0.1\n", 0.73),
    ("12:00:01,123 INFO Best model:\n12:00:01,124 INFO   val_loss: 0.1\nepoch 4\nval_loss: 0.5\n", 0.5),
    ("INFO results:\nINFO   val_loss: 0.5\n", 0.5),
    ("WARNING: best:\nval_loss: 0.1\n\nval_loss: 0.5\n", 0.5),
    # Lines of 80 columns whose number is whole.
    *(
        (f"{'y' * 66} val_loss: 0.5\n{after}", 0.5)
        for after in ("", "epoch 3\n", "3/10 steps\n", "12:00 x\n")
    ),
    (f'{"y" * 66} val_loss: 0.5\n  File "x.py", line 3\n    val_loss = 0.1\n', 0.5),
    ("I1124 15:27:56.123456 12345 torch_train.py:21] val_loss: 0.5\n", 0.5),
    ("val_loss: 0.5 # of samples: 3\n", 0.5),
    ("val_loss: Decimal('0.5')\n", 0.5),
    # A history at the end, as numpy 2 shows it.
    ("{'val_loss': [np.float64(0.9), np.float64(0.73)]}\n", 0.73),
    # What names the metric and claims no value.
    ("print('val_loss:', 0.1)\nprint('val_loss: %.4f' % 0.1)\n", 0.73),
    ("val_loss: None\nval_loss=null\nval_loss: n/a\nval_loss: -\nval_loss=True\n", 0.73),
    ('{"step": 3, "val_loss": null}\n', 0.73),
    ("Epoch 3: val_loss did not improve from 0.73\nEpoch 4: val_loss improved from 0.9 to 0.73\n", 0.73),
    ("--val_loss=0.1 other.val_loss: 0.1 val_loss == 0.1 val_loss >= 0.1\n", 0.73),
    ('print(f"val_loss: {val_loss:.4f} {val_loss:,}")\nval_loss: {}\n', 0.73),
    ("monitor: val_loss, mode: min\nval_loss: lower is better\n", 0.73),
]


@every("text, value", VALUES)
def test_a_log_has_this_value(text: str, value: float, tmp_path: Path) -> None:
    readings = read(tmp_path, BEFORE + text)
    assert readings.value == value, readings.problem


# Lines that report the part of the data that they name, and not `loss`.
TRAIN = [
    *(
        "Epoch 1 train: loss=0.9",
        "Epoch 1 (train): loss=0.9",
        "Epoch 1 - train - loss: 0.9",
        "train set loss: 0.9",
    ),
    *("Train Epoch: 1 [64/600 (1%)]\tloss: 0.9", "TRAIN epoch 1 loss 0.9", "training step 10 loss: 0.9"),
    *(
        "train avg loss: 0.9",
        "train, loss: 0.9",
        "split=train, loss=0.9",
        "mode: train | loss: 0.9",
        "train 10% loss: 0.9",
    ),
    *("{'split': 'train', 'loss': 0.9}", "Train results: {'loss': 0.9}", "train [10/100] acc: 0.9 loss: 0.9"),
    *(
        "training's loss: 0.9",
        "train acc 0.8 loss 0.9",
        "***** train metrics *****\n  loss = 0.9",
        "Train metrics:\nloss: 0.9",
    ),
]
LOSSES = [
    *((line, 0.73) for line in TRAIN),
    *(
        (line, 0.5)
        for line in (
            *(
                "epoch 1 training took 3 s, loss: 0.5",
                "after training: loss: 0.5",
                "training done. loss: 0.5",
            ),
            *(
                "training time: 3.2s, loss: 0.5",
                "train.py: loss: 0.5",
                "in train() - loss: 0.5",
                "test passed, loss: 0.5",
            ),
            *("train loss: 0.9, loss: 0.5", "__main__:train:42 - loss: 0.5"),
        )
    ),
]


@every("line, value", LOSSES)
def test_a_part_of_the_data_that_a_line_names_makes_another_metric(
    line: str, value: float, tmp_path: Path
) -> None:
    text = f"loss: 0.73\n{line}\n"
    assert read(tmp_path, text, Query(Primary("loss"))).value == value
    by_parts = ReadLimits(tail=1, block=200, line=150)
    assert read(tmp_path, text + "x\n", Query(Primary("loss")), by_parts).value == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("train: loss=0.9 | val: loss=0.5", "val loss", 0.5),
        ("Epoch(val) [1][100/100]    coco/bbox_mAP: 0.371  time: 0.2", "val coco/bbox_mAP", 0.371),
        ("step 100: train loss 4.1, val loss 4.2", "val loss", 4.2),
        ("val:\n  loss: 0.5", "val loss", 0.5),
        ("[10]\ttraining's l2: 0.9\tvalid_1's l2: 0.5", "valid_1's l2", 0.5),
        ("Best: val_loss=0.5", "Best val_loss", 0.5),
        ("top 5 acc: 0.5\ntop 1 acc: 0.9", "top 5 acc", 0.5),
    ],
)
def test_a_name_with_its_qualifier_is_read_wherever_it_stands(
    text: str, name: str, value: float, tmp_path: Path
) -> None:
    filler = "loss: 0.9 l2: 0.8 acc: 0.7\n" * 20
    for limits in (ReadLimits(), ReadLimits(tail=50, block=200, line=150)):
        assert read(tmp_path, filler + f"{text}\n" + filler, Query(Primary(name)), limits).value == value


def test_a_metric_that_is_always_qualified_is_named_as_it_is_read(tmp_path: Path) -> None:
    problem = read(tmp_path, "Epoch(val) [1] mAP: 0.5\n", Query(Primary("mAP"))).problem
    assert problem == (
        "mAP was never printed; it stands only in lines such as 'Epoch(val) [1] mAP: 0.5', as 'val mAP',"
        " which is another metric (--primary-metric 'val mAP' reads it)"
    )


@pytest.mark.parametrize("limits", [ReadLimits(), ReadLimits(tail=100, block=400, line=200)])
def test_a_value_of_an_inner_object_is_found_however_far_back_it_stands(
    limits: ReadLimits, tmp_path: Path
) -> None:
    query, after = Query(Primary("ema/val_loss")), "other: 1\n" * 100
    for text in (
        '{"ema": {"val_loss": 0.5}}\n',
        "12:00 {'ema': {\n  'val_loss': 0.5}}\n",
        'x {"ema": {"val_loss": 0.5}, "raw": {"val_loss": 0.1}}\n{"val_loss": 0.2}\n',
    ):
        assert read(tmp_path, text + after, query, limits).value == 0.5
    assert read(tmp_path, '{"raw": {"val_loss": 0.5}}\n' + after, query, limits).value is None


@pytest.mark.parametrize("end", ["\a", "\x1b\\"])
def test_a_name_that_is_a_link_of_the_terminals_is_found_however_far_back(end: str, tmp_path: Path) -> None:
    text = f"{BEFORE}\x1b]8;;http://x{end}val_loss\x1b]8;;{end}: 0.5\n" + "other: 1\n" * 100
    assert read(tmp_path, text, limits=ReadLimits(tail=100, block=400, line=200)).value == 0.5


def test_the_other_metrics_are_the_last_of_their_names(tmp_path: Path) -> None:
    """Most lines differ in their numbers alone; few of them are read."""
    lines = [f"step {step} | lr: {step / 100} | class_{step % 3}: {step}" for step in range(50)]
    text = "\n".join([*lines[:40], "lr: 7 val_loss: 0.5", *lines[40:], "lr: 9 val_loss: 0.4", "acc: n/a"])
    metrics = read(tmp_path, text + "\n").metrics
    assert {name: metric.last for name, metric in metrics.items()} == {
        "val_loss": 0.4,
        "lr": 9.0,
        "class_0": 48.0,
        "class_1": 49.0,
        "class_2": 47.0,
    }


@pytest.mark.parametrize("line", ["epoch train_loss val_loss time", "best val_loss: 0.5", "no val_loss yet"])
def test_what_names_the_metric_and_reports_nothing_is_shown(line: str, tmp_path: Path) -> None:
    for text in (f"a: 1\n{line}\nb: 2\n", f"{line}\n" + "b: 2\n" * 30):
        readings = read(tmp_path, text, LOSS, ReadLimits(tail=60, block=200, line=150))
        other = ", as 'best val_loss', which is another metric" if "best" in line else ""
        seen = f"val_loss was never printed; it stands only in lines such as {line!r}"
        assert readings.problem == seen + other


UNREAD = [
    ("val_loss: 0.5ms\n", "a unit"),
    ("val_loss: 0,53\n", "decimal comma"),
    ("val_loss: 3/10\n", "fraction"),
    ("val_loss: 12:30\n", "a time"),
    ("val_loss: 0.840.84\n", "without a gap"),
    ("val_loss: 0.9 -> 0.5\n", "two numbers"),
    ("val_loss: 0.9 → 0.5\n", "two numbers"),
    *(
        (f"val_loss: {number}\n", "two numbers")
        for number in (
            *(
                "0.9 --> 0.5",
                "0.9 to 0.5",
                "from 0.9 to 0.5",
                "0.4 - 0.5",
                "0.4..0.5",
                "0.4\u20130.5",
                "0.4\u20260.5",
            ),
            *(
                "0.5 0.6",
                "0.5\t0.6",
                "0.5 | 0.6",
                "0.5, 0.6",
                "1 234.5",
                "1'234.5",
                "1\u202f234.5",
                "50% 60%",
            ),
        )
    ),
    ("val_loss: 0.5 / 0.6\n", "fraction"),
    ("val_loss: 5*10^-3\nx: 1\n", "a power of ten"),
    ("val_loss: 5.0 x 10^-3\n", "a power of ten"),
    ("val_loss: 5.0 \u00d7 10\u207b\u00b3\n", "a power of ten"),
    ("val_loss: 0.1 + 0.2\n", "a sum"),
    ("val_loss: 12.3 ms\n", "'12.3 ms': a unit"),
    ("val_loss: 1.5 k\n", "a unit"),
    ("val_loss: 50\u2030\n", "more follows the number"),
    ("val_loss: -1.#IND\n", "more follows the number"),
    ("val_loss: <0.001\n", "a bound"),
    ("val_loss -> 0.5\n", "an arrow"),
    ("\u2502 val_loss \u2502 0.5 \u2502 0.9 \u2502\n", "several numbers"),
    ("val_loss 0.5 0.9\n", "several numbers"),
    *(
        (text, "in brackets: print the number that counts by itself")
        for text in (
            *(
                "val_loss: [0.5]\n",
                "val_loss: [0.5 0.6]\n",
                "val_loss: [np.float64(0.6), np.float64(0.5)]\n",
                "val_loss: (0.5, 0.9)\n",
                "{'val_loss': (0.5, 0.9)}\n",
            ),
            *(
                "{'val_loss': [0.9, 0.8]}\n",
                "{'val_loss': array([0.9, 0.8])}\n",
                "val_loss: tensor([0.5, 0.6])\n",
            ),
        )
    ),
    ("val_loss: Parameter containing:\ntensor(0.5, requires_grad=True)\n", "no single number"),
    ('{"step": 3, "val_loss":', "nothing stands behind it"),
    ('{"step": 3, "val_loss":\nepoch 3 of another process\n', "nothing stands behind it"),
    ('val_loss: 0.5Traceback (most recent call last):\n  File "x", line 1\nKeyError: 1\n', "without a gap"),
    ("val_loss: 0.5/x/y.py:3: UserWarning: careful\n  f(0.1)\n", "fraction"),
    ("val_loss = 0.1  # initial\n", "a comment, as source has it"),
    # A terminal of 80 columns has folded the line within the number.
    (f"{'y' * 68} val_loss: 0\n.51\n", "ends a line of 80 columns, and the next begins with '.51'"),
    (f"{'y' * 67} val_loss: 0.\n51, acc: 0.9\n", "the next begins with '51'"),
    (f"{'y' * 66} val_loss: 1.2\ne-05\n", "the next begins with 'e-05'"),
    (f"{'y' * 73} val_lo\nss: 0.5, acc: 0.9\n", "a line of 80 columns ends within its name"),
    (f"{'y' * 71} best val\n_loss = 0.5\n", "a line of 80 columns ends within its name"),
    ("val_loss:\n", "nothing stands behind it"),
    ("val_loss:\nINFO done\n", "nothing stands behind it"),
    ("val_loss:\n5 epochs without improvement\n", "nothing stands behind it"),
    ("val_loss=", "nothing stands behind it"),
    ("val_loss: ****\n", "no number"),
    ("val_loss: Tensor(shape=[], dtype=float32)\n", "no single number"),
    ("{'val_loss': 0.5ms}\n", "a unit"),
    ('{"val_loss": "0,5"}\n', "decimal comma"),
    ("val_loss: 0.5 " + "x" * (64 << 10) + "\n", "more than 65536 bytes"),
    ("x" * ((4 << 10) - len(BEFORE) - 14) + "\nval_loss: 0.5", "the log ends within it"),
]


@every("text, why", UNREAD)
def test_a_last_mention_that_cannot_be_read_gives_no_older_value(text: str, why: str, tmp_path: Path) -> None:
    readings = read(tmp_path, BEFORE + text)
    assert (readings.value, readings.settled, readings.stale) == (None, False, 0.73)
    assert why in (readings.problem or "")
    assert "val_loss" not in readings.metrics
    assert read(tmp_path, BEFORE + text, Query(Primary("val_loss"), count="best")).value == 0.73
    assert read(tmp_path, BEFORE + text + "\nval_loss: 0.5\n").value == 0.5


@pytest.mark.parametrize(
    "pieces", [["val_loss: {}", "\n"], ["val_loss:", " ", "{}", "\n"], ["epoch 3", " ", "val_loss={}", "\n"]]
)
def test_what_two_processes_print_at_once_is_one_of_theirs_or_unread(
    pieces: list[str], tmp_path: Path
) -> None:
    """Unbuffered, print() writes each of its arguments by itself, and they come in any order."""
    count = len(pieces)
    read_ones = 0
    for first in itertools.combinations(range(2 * count), count):
        one, other = (iter([piece.format(value) for piece in pieces]) for value in (0.84, 0.91))
        text = "".join(next(one if at in first else other) for at in range(2 * count))
        value = read(tmp_path, BEFORE + text).value
        assert value in (0.84, 0.91, None), text
        read_ones += value is not None
    assert read_ones > 0
