"""Does a GPU stand idle while the agent thinks? A scripted agent, serial and with candidates queued ahead."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import sleep

from ardaemon.core.layout import run_name
from tests.bench.report import Figure, Section, ratio
from tests.bench.world import World
from tests.support.nvml import FakeGpus

RUN_S = 10.0
THINK_S = 0.2 * RUN_S
SECONDS_ABOUT = 75
# What is measured is who holds the GPU, so the job only waits.
JOB = f'import time\ntime.sleep({RUN_S})\nprint("val/loss: 0.5")\n'


@dataclass(frozen=True)
class Agent:
    """One way to work: on these GPUs, so many runs, so many candidates under way at the same time."""

    name: str
    gpus: str
    runs: int
    ahead: int  # 0: `arctl run --wait`, one after the other


SERIAL = Agent("serial", "0", 5, 0)
ONE_AHEAD = Agent("ahead", "1", 6, 2)
FOUR = Agent("four", "2,3,4,5", 24, 5)


def thinking(world: World) -> Section:
    """Each agent in a project of its own, on GPUs of its own, at the same time."""
    fake = FakeGpus(world.folder / "gpus")
    for index in range(6):
        fake.gpu(index)
    fake.write()
    world.arctl("one", "daemon", "stop")  # the next one sees the GPUs
    world.environment |= fake.environment
    leases = world.folder / "leases"
    leases.mkdir()
    leases.chmod(0o1777)
    config = world.folder / "c/ardaemon"
    config.mkdir()
    (config / "config.toml").write_text(f'lease_folder = "{leases}"\n')
    agents = (SERIAL, ONE_AHEAD, FOUR)
    for agent in agents:
        world.create(agent.name, JOB)
    with ThreadPoolExecutor(len(agents)) as pool:
        busy = dict(zip(agents, pool.map(lambda agent: _work(world, agent), agents), strict=True))
    figures = [_share(agent, busy[agent]) for agent in agents]
    rates = [Figure("", rate) for _, rate in (busy[ONE_AHEAD], busy[FOUR])]
    world.arctl("one", "daemon", "stop")
    for name in fake.environment:
        world.environment.pop(name)
    return Section(
        "Thinking while a GPU works",
        f"A scripted agent that thinks {THINK_S:g} s for each candidate of {RUN_S:g} s, through `arctl`; the"
        " GPUs are those of the tests' stand-in library, the jobs only wait. Occupied: by the shims' clocks,"
        " from when each GPU has had its first run to the last one's start.",
        (*figures, ratio("runs per minute, 4 GPUs / 1 GPU", rates[1], rates[0], 3.9, at_least=True)),
    )


def _share(agent: Agent, measured: tuple[float, float]) -> Figure:
    share, rate = measured
    how = "`arctl run --wait`" if not agent.ahead else f"`arctl run`, `wait --any`, {agent.ahead} under way"
    count = len(agent.gpus.split(","))
    name = f"{count} GPU{'s' if count > 1 else ''}, {how}: occupied ({rate:.1f} runs a minute)"
    target = 99.0 if agent is ONE_AHEAD else None
    return Figure(name, share, "%", target, at_least=True)


def _work(world: World, agent: Agent) -> tuple[float, float]:
    """Percent of the time in which its GPUs were held, and runs per minute."""
    environment = world.environment | {"CUDA_VISIBLE_DEVICES": agent.gpus}

    def arctl(*words: str) -> None:
        world.arctl(agent.name, *words, environment=environment)

    (_serially if not agent.ahead else _ahead)(world, agent, arctl)
    return _occupied(world, agent)


def _serially(world: World, agent: Agent, arctl: Callable[..., None]) -> None:
    for number in range(agent.runs):
        sleep(THINK_S)  # the agent's own time, which is what is measured here
        _edit(world, agent, number)
        arctl("run", "--wait")


def _ahead(world: World, agent: Agent, arctl: Callable[..., None]) -> None:
    under_way = 0
    for number in range(agent.runs):
        sleep(THINK_S)
        _edit(world, agent, number)
        arctl("run")
        under_way += 1
        if under_way == agent.ahead:
            arctl("wait", "--any")
            under_way -= 1
    for _ in range(under_way):
        arctl("wait", "--any")


def _edit(world: World, agent: Agent, number: int) -> None:
    world.experiments[agent.name].train.write_text(f"{JOB}candidate = {number}\n")


def _occupied(world: World, agent: Agent) -> tuple[float, float]:
    runs = [world.experiments[agent.name].run(run_name(n + 1)).attempt(1) for n in range(agent.runs)]
    starts = [json.loads(run.start.read_text())["monotonic"] for run in runs]
    ends = [json.loads(run.exit.read_text())["ended_monotonic"] for run in runs]
    gpus = len(agent.gpus.split(","))
    # From the moment when each GPU has had its first run to the last one's start: neither ramp counts.
    begin, end = sorted(starts)[gpus - 1], max(starts)
    held = sum(max(0.0, min(b, end) - max(a, begin)) for a, b in zip(starts, ends, strict=True))
    return 100 * held / ((end - begin) * gpus), 60 * held / RUN_S / (end - begin)
