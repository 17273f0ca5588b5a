"""`make people`: what docs/watch.md and docs/service.md say in figures, measured again, and the screens.

It needs root, systemd and tmux, and takes four minutes, or three and the length of a longer wait.
"""

import asyncio
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from arctl.watch.app import Watch
from tests.support import lab as labs
from tests.support.lab import SLUG, wait_until
from tests.support.service import Service, services
from tests.support.tmux import Tmux, terminal

WAIT_MIN = 10.0
MINUTE_S = 60.0
ROUNDS = 10
SIZES = ((80, 24), (120, 40), (200, 60))
AXIS = "steps"  # drawn last
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # a picture asks no other machine for its letters
# One line of metrics a second, as a training prints them.
TRAIN = """import os, time
step = 0
while not os.path.exists({go!r}):
    step += 1
    print(f"step {{step}} | val/loss: {{2 - step / 1000:.4f}}", flush=True)
    time.sleep(1)
print("val/loss: 0.5")
"""


def main() -> None:
    """Measure everything; the argument is the folder for the screens, and the minutes of the wait."""
    folder, minutes = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else WAIT_MIN
    folder.mkdir(parents=True, exist_ok=True)
    world = labs.make()
    try:
        with services(world) as service:
            service("daemon", "install")
            world.init()
            world.session(seconds=3600)
            show_a_wait(service, folder, minutes)
            show_restarts(service)
    finally:
        world.close()


def at_work(service: Service) -> None:
    """Let a run be at work that prints a line a second."""
    service.go.unlink(missing_ok=True)
    service.lab.write(TRAIN.format(go=str(service.go)))
    service("run", "--again")
    wait_until(lambda: "running" in service.states(), "the run runs")


def show_a_wait(service: Service, folder: Path, minutes: float) -> None:
    """Print what `run --wait` prints in a pipe while another run is at work; look at that one meanwhile."""
    at_work(service)
    begun = time.monotonic()
    client = service.start("run", "--wait", "--again")
    wait_until(lambda: len(service.states()) == 2, "the second run waits")
    show_cpu(service)
    for columns, lines in SIZES:
        show_screen(service, folder, columns, lines)
    time.sleep(max(0.0, minutes * 60 - (time.monotonic() - begun)))
    waited = time.monotonic() - begun
    service.release()
    code, out, err = service.end(client)
    print(f"\n$ arctl run --wait | cat    # {waited:.0f} s, exit code {code}; on stderr:\n{err}and then:")
    print(out)


def show_cpu(service: Service) -> None:
    """Print what the view and the daemon take over a minute, and the daemon alone over another one."""
    with terminal(service.lab.root, line_of(service), 120, 40) as tmux:
        shown(tmux)
        view = psutil.Process(int(tmux.tell("list-panes", "-F", "#{pane_pid}")))
        daemon = psutil.Process(service.systemd.main_pid())
        with_view = share(view, daemon)
    (alone,) = share(daemon)
    print(f"CPU over {MINUTE_S:.0f} s at 120×40: view {with_view[0]:.2f}%, daemon {with_view[1]:.2f}%;")
    print(f"    daemon without a view: {alone:.2f}%")


def share(*processes: psutil.Process) -> list[float]:
    """Return the percentage of a core that each process takes over a minute."""

    def used() -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in processes]

    before, begun = used(), time.monotonic()
    time.sleep(MINUTE_S)
    seconds = time.monotonic() - begun
    return [100 * (after - first) / seconds for first, after in zip(before, used(), strict=True)]


def show_screen(service: Service, folder: Path, columns: int, lines: int) -> None:
    """Write the screen of a real terminal as text, and as a picture what Textual draws at that size."""
    with terminal(service.lab.root, line_of(service), columns, lines) as tmux:
        shown(tmux)
        (folder / f"{columns}x{lines}.txt").write_text(tmux.text())
    command = service.systemd.command(sys.executable, "-m", "tests.bench.people", "--picture")
    picture = folder / f"{columns}x{lines}.svg"
    words = [str(service.lab.project), SLUG, str(columns), str(lines), str(picture.absolute())]
    subprocess.run([*command, *words], env=service.lab.environment, check=True)
    print(f"screens: {picture.with_suffix('.txt')}, {picture}")


def line_of(service: Service) -> str:
    """Return the shell's command line for the view."""
    variables = [f"{name}={value}" for name, value in service.lab.environment.items() if name != "NO_COLOR"]
    return "exec " + shlex.join(["env", *variables, *service.systemd.command(*service.arctl("watch"))])


def shown(tmux: Tmux) -> None:
    """Wait until the view shows the run at work, and its curve, whose axis ends in `steps`."""
    wait_until(lambda: "r0001" in tmux.text() and AXIS in tmux.text(), "the view shows the run")


def show_restarts(service: Service) -> None:
    """Print how long nobody answers at a restart, with a run at work."""
    at_work(service)
    for way in ("systemctl --user restart ardaemon", "arctl daemon restart"):
        taken = []
        for _ in range(ROUNDS):
            begun = time.monotonic()
            service.by(way)
            taken.append(1000 * (time.monotonic() - begun))
            assert service.info()["active"] == 1
        print(f"{way}: median {statistics.median(taken):.0f} ms, worst {max(taken):.0f} ms")
    service.release()
    print(service("wait"))


async def picture(project: str, expr: str, columns: int, lines: int) -> str:
    """Return the view at that size as SVG."""
    app = Watch((project, expr))
    async with app.run_test(size=(columns, lines)) as pilot:
        deadline = time.monotonic() + labs.DEADLINE_S
        while AXIS not in (drawn := app.export_screenshot()) and time.monotonic() < deadline:
            await pilot.pause(0.1)
        return FONT.sub("", drawn)


if __name__ == "__main__":
    if sys.argv[1] == "--picture":
        place, slug, width, height, file = sys.argv[2:]
        Path(file).write_text(asyncio.run(picture(place, slug, int(width), int(height))))
    else:
        main()
