"""The shim: one small process per attempt that starts the job, limits it and records its end.

The daemon parks the shim (engines/local/spare.py) with a socket as its standard input, and the shim waits
there for one message: the descriptors of the specification, of shim.lock and of job.lock, both locked
already, and of the leases of its GPUs, which the shim and the job keep open until they end. From then on the
shim needs nobody. With the daemon dead it still enforces every limit, kills the whole process tree, verifies
that nothing survived, and renames exit.json into place. It is a child subreaper (prctl(2)): every descendant
that outlives its parent becomes its child, so it has no child left exactly when no descendant is left.
SIGTERM tells it to end the job. If the shim was given a cgroup, the job lives in it, and its end is brought
about and verified by the cgroup as well.

Standard library alone, and few modules of it, because one shim lives beside every job.
"""

import _socket
import ctypes
import os
import select
import sys
import time

from ardaemon.host import cgroup, core_files, durable, operations, proc, signals
from ardaemon.host.descendants import KILL_POLL_S, Descendants, signal_group
from ardaemon.shim import ending as ending_file
from ardaemon.shim import handover, records, shell_state
from ardaemon.shim.clocks import Clocks
from ardaemon.shim.log_limit import LogLimit

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_LOG = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL  # O_EXCL follows no link either (open(2))
OOM_SCORE_SHIM = "-500"  # where permitted: when memory runs out, the kernel must end the job, not its shim


def main() -> None:
    """Wait to be given an attempt, supervise it, exit."""
    for number in (signals.SIGHUP, signals.SIGINT, signals.SIGPIPE):
        signals.handle(number, signals.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    tree = cgroup.JobGroup(*sys.argv[1:])
    tree.enter()  # now, while nobody waits for it
    core_limit = core_files.forbid()  # before it is given an environment
    channel = _socket.socket(fileno=0)
    received = handover.receive(channel)
    if received is None:
        os._exit(0)
    spec_fd, _shim_lock, job_lock, leases = received
    supervisor = Supervisor(handover.load(spec_fd), (job_lock, *leases), channel, tree, core_limit)
    supervisor.run()
    os._exit(0)  # no interpreter shutdown: the daemon waits for this exit


class Supervisor:
    """The work on one attempt, from spawn to exit.json. All times are CLOCK_MONOTONIC seconds."""

    def __init__(
        self,
        spec: dict,  # type: ignore[type-arg]
        inherited: tuple[int, ...],
        channel: "_socket.socket",
        tree: cgroup.JobGroup,
        core_limit: int,
    ) -> None:
        """`inherited` are the descriptors that the job gets as well: job.lock, then the leases.

        `core_limit` is the job's limit on core files, where the specification has none.
        """
        self.spec, self.channel, self.tree = spec, channel, tree
        self.below = Descendants(tree, self._reap, self._pause)
        self.shell = shell_state.given(spec.get("shell"))
        given = spec.get("core_limit")  # config.toml's; else the shell's
        self.core_limit = self.shell.core_limit(core_limit) if given is None else given
        self.job_lock, self.inherited = inherited[0], inherited
        # Folders by descriptor, so that exit.json finds its place even if the project is moved meanwhile.
        self.folder = f"/proc/self/fd/{os.open(spec['folder'], FOLDER)}"
        self.run_folder = f"/proc/self/fd/{os.open(spec['run_folder'], FOLDER)}"
        self.log = self._new_log()
        self.log_limit = LogLimit(self.log, spec.get("max_log"))
        self.stopping = False
        self.status: int | None = None
        self.usage = [0.0, 0.0, 0]
        self.clocks: Clocks | None = None
        self.pid = 0
        self.ended = 0.0
        self.error: str | None = None  # why the job could not be started
        self.trouble: str | None = None  # what went wrong with this shim itself, later
        self.wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signals.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signals.handle(signals.SIGTERM, self._stop)
        signals.handle(signals.SIGCHLD, lambda *_: None)

    def _new_log(self) -> int:
        """Create run.log in the attempt's folder, and return its descriptor.

        What stands there already is removed, not followed and not added to: the log of a shim that died
        before it started the job is empty, and anything else there (a link to another file, lines that were
        written in advance) is nobody's log. A folder is moved aside: a clone may have brought it along.
        """
        path = f"{self.folder}/run.log"
        operations.at("create", f"{self.spec['folder']}/run.log", os.O_APPEND)
        try:
            return os.open(path, NEW_LOG, 0o644)
        except FileExistsError:
            try:
                operations.unlink(path)
            except IsADirectoryError:
                operations.rename(path, f"{path}.{time.time_ns()}.old")
            return os.open(path, NEW_LOG, 0o644)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def run(self) -> None:
        """Start the job, wait for its end, end what is left of it, write exit.json."""
        self.oom_before = self.tree.oom_kills()
        self.started, self.started_at = time.monotonic(), ending_file.now()
        self._announce()
        clocks = self._spawn()
        ending = "spawn_failed" if clocks is None else self._supervise(clocks)
        survivors = self._emptied(ending)
        self._record(ending, survivors)

    def _supervise(self, clocks: Clocks) -> str:
        """Wait for the end and return how it came; no fault of the shim may leave the job without a limit."""
        while True:
            try:
                return self._wait(clocks)
            except Exception as error:
                self._note(error)
                clocks.keep_only_limit()
                time.sleep(KILL_POLL_S)  # the same fault may come again at once

    def _emptied(self, ending: str) -> list[tuple[int, int, str]]:
        """End the process tree and return the survivors; no fault of the shim may leave the tree alive."""
        try:
            return self._clear(ending)
        except Exception as error:
            self._note(error)
        try:
            return self.below.kill(self.spec["verify"])
        except Exception as error:
            self._note(error)
        signal_group(self.pid, signals.SIGKILL)
        return [(self.pid, proc.start_time(self.pid) or 0, proc.name(self.pid))]  # nothing is verified

    def _note(self, error: Exception) -> None:
        self.trouble = self.trouble or ending_file.text(error)

    def _announce(self) -> None:
        """Write start.json, before the spawn and again after it with the job's pid.

        Of a shim that dies in the midst of the spawn, the first one tells the daemon that there may be a job.
        """
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
        durable.publish(f"{self.folder}/start.json", records.encode(facts))

    def _spawn(self) -> Clocks | None:
        """Start the job, and return its clocks; None if it cannot be started."""
        _oom_score("self", OOM_SCORE_SHIM)
        try:
            # The clocks come before the spawn: a --ready-regex that does not compile must start no job.
            clocks = self.clocks = Clocks(self.spec, self.started, self.log, self.run_folder)
            for fd in self.inherited:
                os.set_inheritable(fd, True)
            os.chdir(self.spec["cwd"])
            with core_files.allowed(self.core_limit), self.shell as shell:
                self.pid = self._exec()
                shell.complete(self.pid)
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
            durable.sync_folder(self.folder)  # the name run.log: exit.json must not outlive the log
        except Exception as error:  # a full disk: start.json without the job's pid has to do
            self._note(error)
        return clocks

    def _exec(self) -> int:
        null = os.open(os.devnull, os.O_RDONLY)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, self.log, number) for number in (1, 2)]
        ignored = (signals.SIGHUP, signals.SIGINT, signals.SIGPIPE)
        argv, environment, umask = self.spec["argv"], self.spec["environment"], self.spec.get("umask")
        # What the shim itself writes is as open as before: the other one is the job's alone.
        own = os.umask(0o077)
        os.umask(own if umask is None else umask)
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
            os.umask(own)
            os.close(null)

    def _acknowledge(self) -> None:
        """Tell the daemon, if it still lives, that the job was spawned."""
        handover.acknowledge(
            self.channel, {"pid": self.pid, "monotonic": time.monotonic(), "error": self.error}
        )

    # --- while it runs ---

    def _wait(self, clocks: Clocks) -> str:
        """Wait until the first process has ended or must end; return how: exited, limit, stall, stopped."""
        while True:
            # Read first: a job that has ended by then counts as exited.
            stopping, now = self.stopping, time.monotonic()
            self._reap()
            if self.status is not None:
                return "exited"
            if stopping:
                return "stopped"
            due = clocks.overdue(now)
            if due is not None:
                return due
            self._pause(clocks.next(now) - now)

    def _pause(self, seconds: float) -> None:
        """Sleep until a signal, or for `seconds`, or until the log is to be looked at again."""
        seconds = min(seconds, self._look_at_log())
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        if poll.poll(max(0.0, min(seconds, 86400.0)) * 1000):
            try:
                os.read(self.wake, 4096)
            except BlockingIOError:
                pass

    def _look_at_log(self) -> float:
        """Keep the log within its limit, and return the seconds until another look is due."""
        due = self.log_limit.look()
        if self.clocks is not None:
            self.clocks.pass_over(self.log_limit.dropped)
        return due

    def _reap(self) -> bool:
        """Reap every child that has ended, and add up its usage; return whether no child is left."""
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
        """Let descendants settle, then TERM, grace, KILL and verify; return the survivors.

        A job that exited by itself gets `settle` seconds for its descendants, as for a wandb service that
        finishes its upload.
        """
        if ending == "exited":
            if self.below.empty_by(time.monotonic() + self.spec["settle"], lambda: self.stopping):
                return []
            self.below.terminate_each()
        elif ending != "spawn_failed":
            self.below.terminate(self.pid)
        if self.below.empty_by(time.monotonic() + self.spec["grace"]):
            return []
        return self.below.kill(self.spec["verify"])

    def _record(self, ending: str, survivors: list[tuple[int, int, str]]) -> None:
        self._look_at_log()
        code, number = ending_file.decode(self.status)
        facts = {
            "schema": 1,
            "ending": ending,
            "exit_code": code,
            "signal": number,
            "seconds": round((self.ended or time.monotonic()) - self.started, 3),
            "started_at": self.started_at,
            "ended_at": ending_file.now(),
            "ready_after": self.clocks.ready_after if self.clocks else None,
            "user_s": round(self.usage[0], 3),
            "system_s": round(self.usage[1], 3),
            "max_rss_kb": self.usage[2],
            "host_oom": self.tree.oom_kills() > self.oom_before,
            "pids_limit": self.tree.at_limit(),
            "disk_full": False,
            "tree": "cgroup" if self.tree.group else "walk",
            "survivors": [{"pid": pid, "start": start, "name": name} for pid, start, name in survivors],
            "cgroup": self.tree.group if survivors else "",
            "error": self.error
            or self.trouble
            or (self.clocks and self.clocks.trouble)
            or self.log_limit.trouble,
            "ended_monotonic": self.ended or time.monotonic(),
        }
        ending_file.keep(f"{self.folder}/exit.json", facts, self.log)


def _oom_score(pid: str, value: str) -> None:
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        pass  # lowering needs CAP_SYS_RESOURCE; without it all stay as they are
