"""Captured states with the real frameworks: the final weights, however a script is built and however it ends.

Each script writes what it expects beside the run's folder, the moment before it ends; the two are compared
tensor by tensor, without torch.
"""

import os
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from ardaemon.pipeline import environment as job_environment

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180)]

TRAIN = """import os, sys, signal, torch
torch.manual_seed(0)
torch.set_num_threads(1)
def build():
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
def fit(model, steps=3, kind=torch.optim.AdamW):
    optimizer = kind(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()
    return optimizer
def expect(state, name="expected.pt"):
    if os.environ.get("RANK", "0") == "0":
        torch.save(state, os.path.join(os.environ["AR_RUN_DIR"], "..", name))
"""
ENDS = {
    "return": ("pass", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise RuntimeError('diverged')", 1),
    "SIGTERM": ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
}
# What a rank prints when C++ aborts it, because a Gloo thread is still at work as the interpreter ends
# (pytorch/pytorch#179291). Seen on busy machines in 1 of 50 runs, also without our files.
# All ranks are past their last barrier by then, so what must be saved is saved.
ABORTED_BY_GLOO = "terminate called without an active exception\n"
DDP = """
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
def main():
    dist.init_process_group("gloo")
    model = DistributedDataParallel(build())
    fit(model)
    expect(model.module.state_dict())
    dist.barrier()
    dist.destroy_process_group()
main()
"""
SHARDED = """
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from ar_capture import capture, load_best
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
model = build()
fully_shard(model, mesh=mesh)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
found = load_best()
if found is not None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.to_local().copy_(found["model"][name])
            assert torch.equal(parameter.to_local(), found["model"][name])
    print("rank", dist.get_rank(), "loaded", flush=True)
capture(model, optimizer=optimizer)
for _ in range(3):
    optimizer.zero_grad()
    model(torch.randn(16, 4)).square().mean().backward()
    optimizer.step()
dist.barrier()
dist.destroy_process_group()
"""
ACCELERATE = """
from accelerate import Accelerator
def main():
    accelerator = Accelerator(cpu=True)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        accelerator.backward(model(torch.randn(16, 4)).square().mean())
        optimizer.step()
    accelerator.wait_for_everyone()
    expect(accelerator.unwrap_model(model).state_dict())
    accelerator.end_training()
main()
"""
TRAINER = """
import torch.utils.data
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 16
    def __getitem__(self, index):
        ids = torch.arange(8) + index
        return {"input_ids": ids, "labels": ids}
def main():
    config = GPT2Config(vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    arguments = TrainingArguments(
        output_dir=os.environ["AR_RUN_DIR"] + "/../out", max_steps=3, use_cpu=True, report_to=[],
        save_strategy="no", disable_tqdm=True,
    )
    trainer = Trainer(model=GPT2LMHeadModel(config), args=arguments, train_dataset=Data())
    trainer.train()
    expect(trainer.model.state_dict())
main()
"""
LIGHTNING = """
import lightning, torch.utils.data
class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = build()
    def training_step(self, batch, _):
        return self.net(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())
def main():
    model = Model()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=16)
    trainer = lightning.Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(model, data)
    expect(model.state_dict())
main()
"""
# What --capture auto saves of each, or heeds in it.
SCRIPTS = {
    "every optimizer": (
        "models = [build() for _ in range(4)]\n"
        "for model, name in zip(models, ['SGD', 'Adagrad', 'RMSprop', 'Adafactor']):\n"
        " fit(model, kind=getattr(torch.optim, name))\n"
        "expect([model.state_dict() for model in models])\n"
    ),
    "several models that live together, as a list": (
        "def main():\n one, two = build(), build()\n"
        " first = fit(one)\n second = fit(two)\n first.step()\n"
        " expect([one.state_dict(), two.state_dict()])\nmain()\n"
    ),
    "one optimizer of two models, as a list": (
        "one, two = build(), torch.nn.Linear(8, 1)\nteacher = build()\n"
        "optimizer = torch.optim.SGD([*one.parameters(), *two.parameters()], lr=0.1)\n"
        "one(torch.randn(8, 4)).sum().backward()\noptimizer.step()\n"
        "expect([one.state_dict(), two.state_dict()])\n"
    ),
    "neither a copy nor a part for the model": (
        "import copy\nmodel = build()\naverage = copy.deepcopy(model)\nhead = model[2]\n"
        "optimizer = torch.optim.SGD(head.parameters(), lr=0.1)\n"
        "model(torch.randn(8, 4)).sum().backward()\noptimizer.step()\nexpect(model.state_dict())\n"
    ),
    "processes of the data loader, which end as they do": (
        "import torch.utils.data as data\n"
        "loader = data.DataLoader(data.TensorDataset(torch.randn(32, 4)), num_workers=2, batch_size=4)\n"
        "model = build()\nfit(model)\nfor _ in loader: pass\nfit(model)\nexpect(model.state_dict())\n"
    ),
    "what the script captures itself": (
        "from ar_capture import capture\none, two = build(), build()\nfit(one)\ncapture(two)\nfit(two)\n"
        "expect(two.state_dict())\n"
    ),
    "a compiled step, unhindered": (
        "model = build()\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "@torch.compile(backend='eager')\n"
        "def step(batch):\n optimizer.zero_grad()\n model(batch).sum().backward()\n optimizer.step()\n"
        "for _ in range(3): step(torch.randn(16, 4))\nexpect(model.state_dict())\n"
    ),
}
# With the backends that need no C++ compiler.
SCRIPTS |= {
    f"a compiled model by its own names, {backend}": (
        f"plain = build()\nmodel = torch.compile(plain, backend='{backend}')\nfit(model)\n"
        "expect(plain.state_dict())\n"
    )
    for backend in ("eager", "aot_eager")
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's."""
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def again(tmp_path: Path) -> Path:
    """The next run's."""
    made = tmp_path / "again"
    made.mkdir()
    return made


@pytest.fixture
def python(frameworks: str) -> str:
    """The interpreter that the scripts run in."""
    return frameworks


def ran(python: str, folder: Path, script: str, *launcher: str, auto: bool = True, **more: str) -> str:
    """Run a script to its end, in its own process group; its output. Raises where it fails."""
    code, output = tried(python, folder, script, *launcher, auto=auto, **more)
    own_error = f'File "{folder / "train.py"}"' in output  # C++ may end a rank with these words after it, too
    assert code == 0 or (launcher and ABORTED_BY_GLOO in output and not own_error), output
    return output


def tried(
    python: str, folder: Path, script: str, *launcher: str, auto: bool = True, **more: str
) -> tuple[int, str]:
    path = folder / "train.py"
    path.write_text(TRAIN + script)
    paths = [*([str(job_environment.AUTO)] if auto else []), str(job_environment.CAPTURE)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AR_")}
    given = {**kept, "PYTHONPATH": os.pathsep.join(paths), "AR_RUN_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    given |= {"AR_AT_START": "capture"} if auto else {}
    argv = [python, *launcher, str(path)]
    done = subprocess.run(
        argv, env={**given, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170
    )
    return done.returncode, done.stdout


def torchrun(ranks: int = 2) -> tuple[str, ...]:
    return ("-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--standalone")


def content(path: Path) -> dict[str, bytes]:
    """What torch.save wrote: the pickled structure and every tensor's bytes."""
    with zipfile.ZipFile(path) as file:
        names = {name.partition("/")[2]: name for name in file.namelist()}
        return {
            short: file.read(name) for short, name in names.items() if short.startswith(("data/", "data.pkl"))
        }


def assert_saved(folder: Path) -> None:
    assert content(folder / "state.pt") == content(folder.parent / "expected.pt")
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


# --- --capture auto ---


@pytest.mark.parametrize("where", ["global", "main"])
@pytest.mark.parametrize("end", ENDS)
def test_auto_saves_the_final_weights_whatever_ends_the_script(
    python: str, folder: Path, end: str, where: str
) -> None:
    lines = ["model = build()", "fit(model)", "expect(model.state_dict())", ENDS[end][0]]
    script = "\n".join(lines) if where == "global" else "def main():\n " + "\n ".join(lines) + "\nmain()\n"
    code, output = tried(python, folder, script)
    assert code == ENDS[end][1], output
    assert_saved(folder)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_auto_saves_what_was_trained(python: str, folder: Path, script: str) -> None:
    ran(python, folder, script)
    assert_saved(folder)


def test_auto_holds_no_memory_of_models_that_follow_each_other_and_saves_the_last(
    python: str, folder: Path
) -> None:
    script = (
        "import gc, weakref\nalive = []\n"
        "def fold():\n model = build()\n alive.append((weakref.ref(model), weakref.ref(model[0].weight)))\n"
        " fit(model)\n expect(model.state_dict())\n"
        "for _ in range(5): fold()\n"
        "print('alive:', sum(one() is not None for pair in alive for one in pair))\n"
    )
    assert "alive: 0\n" in ran(python, folder, script)
    assert_saved(folder)


def test_auto_writes_nothing_where_nothing_was_trained(python: str, folder: Path) -> None:
    assert ran(python, folder, "model = build()\nmodel(torch.randn(2, 4))\n") == ""
    assert [path.name for path in folder.iterdir()] == ["train.py"]


def test_auto_under_torchrun_is_written_once_and_by_the_models_own_names(python: str, folder: Path) -> None:
    ran(python, folder, DDP, *torchrun())
    assert_saved(folder)


@pytest.mark.parametrize("processes", [1, 2])
def test_auto_with_accelerate(python: str, folder: Path, processes: int) -> None:
    launcher = ["-m", "accelerate.commands.launch", "--cpu", f"--num_processes={processes}"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    ran(python, folder, ACCELERATE, *launcher)
    assert_saved(folder)


@pytest.mark.parametrize(("script", "module"), [(TRAINER, "transformers"), (LIGHTNING, "lightning")])
def test_auto_with_a_trainer(python: str, folder: Path, script: str, module: str) -> None:
    ran(python, folder, script, HF_HUB_OFFLINE="1")
    assert_saved(folder)


# --- capture(model) ---


@pytest.mark.parametrize("end", ENDS)
def test_a_captured_model_and_optimizer(python: str, folder: Path, end: str) -> None:
    script = (
        "from ar_capture import capture\n"
        "def main():\n model = capture(build())\n optimizer = fit(model)\n"
        " capture(model, optimizer=optimizer, epoch=2)\n optimizer.step()\n"
        " expect({'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': 2})\n"
        f" {ENDS[end][0]}\nmain()\n"
    )
    code, output = tried(python, folder, script, auto=False)
    assert code == ENDS[end][1], output
    assert_saved(folder)


def test_a_model_that_is_captured_before_ddp_wraps_it(python: str, folder: Path) -> None:
    script = "from ar_capture import capture\n" + DDP.replace(
        "Parallel(build())", "Parallel(capture(build()))"
    )
    ran(python, folder, script, *torchrun(), auto=False)
    assert_saved(folder)


def test_what_was_captured_is_loaded_by_the_next_run(python: str, folder: Path, again: Path) -> None:
    script = "from ar_capture import *\nmodel = capture(build())\nprint(load_best())\nfit(model)\n"
    assert ran(python, folder, script, auto=False) == "None\n"
    script = (
        "from ar_capture import load_best\nmodel = build()\nprint(model.load_state_dict(load_best()))\n"
        "expect(model.state_dict())\n"
    )
    output = ran(python, again, script, auto=False, AR_BEST_CKPT=str(folder))
    assert output == "<All keys matched successfully>\n"
    assert_saved(folder)


def test_each_rank_writes_its_part_of_a_sharded_model_and_finds_it_again(
    python: str, folder: Path, again: Path
) -> None:
    ran(python, folder, SHARDED, *torchrun(), auto=False)
    assert sorted(path.name for path in (folder / "state").iterdir()) == ["rank0-of-2.pt", "rank1-of-2.pt"]
    assert content(folder / "state/rank0-of-2.pt") != content(folder / "state/rank1-of-2.pt")
    output = ran(python, again, SHARDED, *torchrun(), auto=False, AR_BEST_CKPT=str(folder))
    assert output.count("loaded") == 2
    script = "import sys, torch\nprint(sorted(torch.load(sys.argv[1], weights_only=True)))\n"
    argv = [python, "-c", script, str(folder / "state/rank1-of-2.pt")]
    read = subprocess.run(argv, capture_output=True, text=True)
    assert read.stdout == "['model', 'optimizer']\n", read.stderr
