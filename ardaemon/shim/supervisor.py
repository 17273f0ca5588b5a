"""The shim: one small process per attempt that starts the job, limits it and records its end.

It is parked by the daemon (engines/local/spare.py, a socket as standard input) and waits for one
message: descriptors of the specification, of shim.lock and of job.lock, both locked already, and of
the leases of its GPUs, which it and the job keep open until they end. From then on it needs nobody:
with the daemon dead it enforces every limit, kills the whole tree, verifies that nothing survived
(as a child subreaper it has no children left exactly when no descendant is left, prctl(2)), and
renames exit.json into place. SIGTERM means: end the job.
Where it was given a cgroup, the job lives in that, and is ended and verified by it as well.

Standard library alone, and few modules of it: one of these lives beside every job.
"""

import _socket
import ctypes
import json
import os
import select
import signal
import sys
import time

from ardaemon.host import cgroup, durable, operations, proc
from ardaemon.shim import ending as ending_file
from ardaemon.shim import handover
from ardaemon.shim.clocks import Watch

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
KILL_POLL_S = 0.02  # after KILL: the end of a grandchild whose parent lives sends no SIGCHLD here
CHASE_ROUNDS = 100  # per walk, some milliseconds: for those that fork faster than a walk sees them
UNSEEN = (0, 0, "it forks faster than it is found")  # something is left, and no walk has met it
OOM_SCORE_SHIM = "-500"  # where permitted: the supervisor must outlive its job's memory


def main() -> None:
    """Wait to be given an attempt; supervise it; exit."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    tree = cgroup.Tree(*sys.argv[1:])
    tree.enter()  # now, while nobody waits for it
    channel = _socket.socket(fileno=0)
    received = handover.receive(channel)
    if received is None:
        os._exit(0)
    spec_fd, _shim_lock, job_lock, leases = received
    supervisor = Supervisor(handover.load(spec_fd), (job_lock, *leases), channel, tree)
    supervisor.run()
    os._exit(0)  # no interpreter shutdown: the daemon waits for this exit


class Supervisor:
    """One attempt, from spawn to exit.json. All times are CLOCK_MONOTONIC seconds."""

    def __init__(
        self,
        spec: dict,  # type: ignore[type-arg]
        inherited: tuple[int, ...],
        channel: "_socket.socket",
        tree: cgroup.Tree,
    ) -> None:
        """`inherited`: job.lock and leases, which the job gets as well."""
        self.spec, self.channel, self.tree = spec, channel, tree
        self.job_lock, self.inherited = inherited[0], inherited
        # By descriptor: the record finds its folder even if the project is moved meanwhile.
        self.folder = f"/proc/self/fd/{os.open(spec['folder'], os.O_RDONLY | os.O_DIRECTORY)}"
        self.run_folder = f"/proc/self/fd/{os.open(spec['run_folder'], os.O_RDONLY | os.O_DIRECTORY)}"
        operations.at("create", f"{spec['folder']}/run.log", os.O_APPEND)
        self.log = os.open(f"{self.folder}/run.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.stopping = False
        self.status: int | None = None
        self.usage = [0.0, 0.0, 0]
        self.watch: Watch | None = None
        self.pid = 0
        self.ended = 0.0
        self.error: str | None = None  # why the job could not be started
        self.trouble: str | None = None  # what went wrong with ourselves, later
        self.wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def run(self) -> None:
        """Start, wait, clean up, record."""
        self.oom_before = self.tree.oom_kills()
        self.started, self.started_at = time.monotonic(), ending_file.now()
        self._announce()
        watch = self._spawn()
        ending = "spawn_failed" if watch is None else self._supervise(watch)
        survivors = self._emptied(ending)
        self._record(ending, survivors)

    def _supervise(self, watch: Watch) -> str:
        """Wait for the end; a fault of our own must not leave a job without its limit."""
        while True:
            try:
                return self._wait(watch)
            except Exception as error:
                self._note(error)
                watch.keep_only_limit()
                time.sleep(KILL_POLL_S)  # should it go wrong again at once

    def _emptied(self, ending: str) -> list[tuple[int, int, str]]:
        """End the tree; a fault of our own must not leave it alive."""
        try:
            return self._clear(ending)
        except Exception as error:
            self._note(error)
        try:
            return self._kill()
        except Exception as error:
            self._note(error)
        self._signal_group(signal.SIGKILL)
        return [(self.pid, proc.start_time(self.pid) or 0, proc.name(self.pid))]  # nothing is verified

    def _note(self, error: Exception) -> None:
        self.trouble = self.trouble or ending_file.text(error)

    def _announce(self) -> None:
        """start.json: before the spawn, so that a crash in its midst can be told from none."""
        me, spec = os.getpid(), self.spec
        deadline = self.started + (spec["startup"] or 0.0) + spec["limit"]
        facts = {
            "schema": 1,
            "shim": [me, proc.start_time(me)],
            "job": [self.pid, proc.start_time(self.pid)] if self.pid else None,
            "boot_id": spec["boot_id"],
            "started_at": self.started_at,
            "monotonic": self.started,
            "deadline": deadline,
            "over_by": deadline + spec["settle"] + spec["grace"] + spec["verify"],
            "cgroup": self.tree.group,
            "pids_cgroup": self.tree.pids,
        }
        durable.publish(f"{self.folder}/start.json", json.dumps(facts).encode())

    def _spawn(self) -> Watch | None:
        """Start the job and the clocks; None where it cannot be started."""
        _oom_score("self", OOM_SCORE_SHIM)
        try:
            watch = self.watch = Watch(
                self.spec, self.started, self.log, self.run_folder
            )  # before the spawn: nothing that can be wrong with it may come after
            for fd in self.inherited:
                os.set_inheritable(fd, True)
            os.chdir(self.spec["cwd"])
            self.pid = self._exec()
        except Exception as error:
            self.error = ending_file.text(error)
            self._acknowledge()
            return None
        try:
            _oom_score(str(self.pid), "0")
            self._acknowledge()
            os.close(self.job_lock)
            os.chdir("/")
            self._announce()
            durable.sync_folder(self.folder)  # run.log by its name: exit.json must not outlive it
        except Exception as error:  # a full disk: start.json without the job's pid has to do
            self._note(error)
        return watch

    def _exec(self) -> int:
        null = os.open(os.devnull, os.O_RDONLY)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, self.log, number) for number in (1, 2)]
        ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE)
        argv, environment = self.spec["argv"], self.spec["environment"]
        try:
            return operations.posix_spawn(
                argv,
                environment,
                file_actions=actions,
                setpgroup=0,
                setsigdef=ignored,
                setsigmask=(),
            )
        finally:
            os.close(null)

    def _acknowledge(self) -> None:
        """Tell the daemon, if it still lives, that the job was spawned."""
        handover.acknowledge(
            self.channel, {"pid": self.pid, "monotonic": time.monotonic(), "error": self.error}
        )

    # --- while it runs ---

    def _wait(self, watch: Watch) -> str:
        """Until the first process has ended or must end: exited, limit, stall or stopped."""
        while self.status is None:
            if self.stopping:
                return "stopped"
            now = time.monotonic()
            due = watch.overdue(now)
            if due is not None:
                return due
            self._pause(watch.next(now) - now)
        return "exited"

    def _pause(self, seconds: float) -> bool:
        """Sleep until a signal or for `seconds`; reap; True when no child is left."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        if poll.poll(max(0.0, min(seconds, 86400.0)) * 1000):
            try:
                os.read(self.wake, 4096)
            except BlockingIOError:
                pass
        return self._reap()

    def _reap(self) -> bool:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self.usage[0] += usage.ru_utime
            self.usage[1] += usage.ru_stime
            self.usage[2] = max(self.usage[2], usage.ru_maxrss)
            if pid == self.pid:
                self.status, self.ended = status, time.monotonic()

    # --- the end ---

    def _clear(self, ending: str) -> list[tuple[int, int, str]]:
        """Nothing of the job shall be left: settle, TERM, grace, KILL, verify. Returns survivors."""
        if ending == "exited":
            if self._empty_by(time.monotonic() + self.spec["settle"], until_stopped=True):
                return []
            for pid, start in proc.descendants(os.getpid()).items():
                self._polite(pid, start)
        elif ending != "spawn_failed":
            self._terminate()
        if self._empty_by(time.monotonic() + self.spec["grace"]):
            return []
        return self._kill()

    def _polite(self, pid: int, start: int) -> None:
        proc.send(pid, start, signal.SIGTERM)
        proc.send(pid, start, signal.SIGCONT)  # a stopped process cannot answer TERM

    def _terminate(self) -> None:
        """TERM once for each: the group at one stroke, and whoever left it."""
        elsewhere = {p: start for p, start in proc.descendants(os.getpid()).items() if not self._in_group(p)}
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal_group(number)
        for pid, start in elsewhere.items():
            self._polite(pid, start)

    def _in_group(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return True  # gone: nobody to tell

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            operations.signal_group(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _empty_by(self, deadline: float, until_stopped: bool = False) -> bool:
        while not self._gone():
            left = deadline - time.monotonic()
            if left <= 0 or (until_stopped and self.stopping):
                return False
            self._pause(left)
        return True

    def _gone(self) -> bool:
        """No child is left, and so no descendant; nothing in the cgroup either."""
        return self._reap() and self.tree.empty()

    def _kill(self) -> list[tuple[int, int, str]]:
        deadline = time.monotonic() + self.spec["verify"]
        self.tree.leave()
        while not self._gone():
            tree = self._tree()
            self.tree.kill()
            for pid, start in tree.items():
                proc.send(pid, start, signal.SIGKILL)
            self._chase()
            if time.monotonic() > deadline:
                return [(pid, start, proc.name(pid)) for pid, start in tree.items()] or [UNSEEN]
            self._pause(KILL_POLL_S)
        return []

    def _chase(self) -> None:
        """KILL to our own children, again and again: whoever outlives its parent becomes one (prctl(2))."""
        for _ in range(CHASE_ROUNDS):
            if self._reap():
                return
            proc.kill_children()

    def _tree(self) -> dict[int, int]:
        """Everything that is to end, as pid -> start time."""
        return proc.descendants(os.getpid()) | self.tree.living()

    def _record(self, ending: str, survivors: list[tuple[int, int, str]]) -> None:
        code, number = ending_file.decode(self.status)
        facts = {
            "schema": 1,
            "ending": ending,
            "exit_code": code,
            "signal": number,
            "seconds": round((self.ended or time.monotonic()) - self.started, 3),
            "started_at": self.started_at,
            "ended_at": ending_file.now(),
            "ready_after": self.watch.ready_after if self.watch else None,
            "user_s": round(self.usage[0], 3),
            "system_s": round(self.usage[1], 3),
            "max_rss_kb": self.usage[2],
            "host_oom": self.tree.oom_kills() > self.oom_before,
            "pids_limit": self.tree.at_limit(),
            "tree": "cgroup" if self.tree.group else "walk",
            "survivors": [{"pid": pid, "start": start, "name": name} for pid, start, name in survivors],
            "cgroup": self.tree.group if survivors else "",
            "error": self.error or self.trouble or (self.watch and self.watch.trouble),
            "ended_monotonic": self.ended or time.monotonic(),
        }
        ending_file.keep(f"{self.folder}/exit.json", json.dumps(facts).encode(), self.log)


def _oom_score(pid: str, value: str) -> None:
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        pass  # lowering needs CAP_SYS_RESOURCE; without it all stay as they are
