"""Mutants of what keeps a run: the disk, its processes, its clocks. In the order of PROMISES."""

from tests.torture.mutant import Mutant

_DISK_ERROR = (
    "tests/integration/test_disk_error.py"
    "::test_a_record_that_the_disk_does_not_give_is_waited_for_and_nothing_is_judged_without_it"
)
_FILLED = (
    "tests/integration/test_watchdog.py"
    "::test_who_waits_for_a_run_whose_log_filled_the_disk_is_told_and_it_goes_on_once_there_is_room"
)

MUTANTS = (
    Mutant(
        "crash-points",
        "what a killed daemon left half-written is never swept",
        "parts[-2].isdigit() and _is_over(parts[-3]):",
        "False:",
    ),
    Mutant(
        "crash-points",
        "a row is added to results.tsv without a look whether it is there",
        "if last(path, 1)[-1:] != [_parse(line)]:",
        "if line:",
    ),
    Mutant(
        "crash-points",
        "a submit that is sent again makes another run",
        "if flight.record.submit_id == params.submit_id:",
        "if False:",
    ),
    Mutant(
        "torn-writes",
        "state files are written in place, not aside and renamed",
        "with staged(path, data, mode) as temporary:\n        operations.rename(temporary, path)\n",
        "fd = operations.create(path, os.O_TRUNC, mode)\n"
        "    operations.write(fd, data)\n"
        "    operations.fsync(fd)\n"
        "    os.close(fd)\n",
    ),
    Mutant(
        "torn-writes",
        "a torn last row of results.tsv is not cut off",
        'if tail.endswith(b"\\n") or not path.exists():',
        "if tail or not path.exists():",
    ),
    Mutant(
        "shim-crash",
        "an attempt that never began counts as one",
        "state=Queued(attempts=self.before, seed=self.seed)",
        'state=Queued(attempts=1, seed=self.seed, again=("oom",) * self.attempts)',
    ),
    Mutant(
        "power-cut",
        "a state file's bytes are not synced before it gets its name",
        "if self.sync:\n                operations.fsync(fd)",
        "if False:\n                operations.fsync(fd)",
    ),
    Mutant(
        "power-cut",
        "a state file's name is not synced in its folder",
        "if folder:\n        sync_folder(os.path.dirname(path))",
        "if False:\n        sync_folder(os.path.dirname(path))",
    ),
    Mutant(
        "power-cut",
        "a new row of results.tsv is not synced",
        "if sync:\n            operations.fsync(fd)",
        "if False:\n            operations.fsync(fd)",
    ),
    Mutant(
        "power-cut",
        "the experiment's folder is not synced before result.json says that all is done",
        "durable.sync_folder(experiment.folder)  # once for all of the above: result.json says it is done",
        "pass",
    ),
    Mutant(
        "power-cut",
        "the job's log is not synced before exit.json says that it is whole",
        "operations.fsync(log)\n                os.close(log)",
        "os.close(log)",
    ),
    Mutant(
        "power-cut",
        "a checkpoint is promoted without a sync of what the job wrote",
        "checkpoint.settle(promoted)\n",
        "pass\n",
    ),
    Mutant(
        "disk-full",
        "the shim gives up where exit.json cannot be written at once",
        "_call_oneself(NO_DISK)\n            time.sleep(DISK_RETRY_S)",
        "return None",
    ),
    Mutant(
        "disk-full",
        "who waits for a run whose record finds no room is not told",
        "unrecorded.block(project)\n",
        "pass\n",
        (_FILLED,),
    ),
    Mutant(
        "disk-full",
        "what a full disk refused counts as written",
        'with storage("write", path):\n        durable.write(path, encode(record), mode, folder)',
        "try:\n        durable.write(path, encode(record), mode, folder)\n    except OSError:\n        pass",
    ),
    Mutant(
        "disk-full",
        "a commit that a full disk refused is never tried again",
        "if error is not None:\n                pause = await self.patience.pause(flight, error, pause)",
        "if error is not None:\n                await anyio.sleep_forever()",
    ),
    Mutant(
        "disk-error",
        "a row that could not be added to results.tsv is passed over",
        'with storage("append to", path):\n            durable.append(path, line.encode() + b"\\n")',
        "try:\n"
        '            durable.append(path, line.encode() + b"\\n")\n'
        "        except OSError:\n"
        "            pass",
    ),
    Mutant(
        "disk-error",
        "what the disk refused counts as written",
        'with storage("write", path):\n        durable.write(path, encode(record), mode, folder)',
        "try:\n        durable.write(path, encode(record), mode, folder)\n    except OSError:\n        pass",
    ),
    Mutant(
        "disk-error",
        "an exit.json that the disk does not give is taken for one that is not there",
        "except (CorruptState, ForeignOwner):\n        return None\n\n\ndef refuse_exit",
        "except (CorruptState, ForeignOwner, StorageError):\n        return None\n\n\ndef refuse_exit",
        (f"{_DISK_ERROR}[a1/exit.json]",),
    ),
    Mutant(
        "disk-error",
        "a state file that the disk does not give is taken for one that is not there",
        "data = files.read(path, size)\n        except FileNotFoundError:",
        "data = files.read(path, size)\n        except OSError:",
        (f"{_DISK_ERROR}[run.json]",),
    ),
    Mutant(
        "kill-matrix",
        "the shim does not become the parent of orphans (no subreaper)",
        "ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)\n    tree = cgroup.",
        "tree = cgroup.",
    ),
    Mutant(
        "kill-matrix",
        "a job is over when its first process is",
        "return self.reap() and self.tree.empty()",
        "return self.reap() or not proc.descendants(os.getpid())",
    ),
    Mutant(
        "kill-matrix",
        "KILL goes to the cgroup alone, and nobody looks whether all are gone",
        "living = proc.descendants(os.getpid()) | self.tree.living()\n            self.tree.kill()",
        "living = self.tree.living()\n            self.tree.kill()\n            break",
    ),
    Mutant(
        "unclean",
        "the slot of what survived is not written down",
        "await anyio.to_thread.run_sync(quarantine.keep, self.quarantine, record)",
        "pass",
    ),
    Mutant(
        "unclean",
        "a daemon that starts does not look for slots in quarantine",
        "unclean = quarantine.at_start(host.quarantine)",
        "unclean = quarantine.at_start(host.quarantine) and {}",
    ),
    Mutant(
        "unclean",
        "`arctl clean` does not look whether something lives",
        "alive = quarantine.alive(experiment, record)",
        "alive = quarantine.alive(experiment, record)[:0]",
    ),
    Mutant(
        "pids-limit",
        "a job may have four times as many processes as it was given",
        "limit = str(pids_max + 1)  # the shim counts as well",
        "limit = str(pids_max * 4 + 1)",
    ),
    Mutant(
        "pids-limit",
        "nobody is told that a fork was refused",
        'return self.pids != "" and _number(f"{self.pids}/pids.events", "max") > 0',
        "return False",
    ),
    Mutant(
        "adopted-tree",
        "an adopted job's cgroup is not looked into",
        "by_pid.update((p.pid, p) for p in processes.in_cgroup(start.tree))",
        "pass",
    ),
    Mutant(
        "stopped-shim",
        "a shim that is asked to end its job is not woken (SIGCONT)",
        "processes.kill(shims, signal.SIGCONT)  # should it be stopped",
        "pass",
    ),
    Mutant(
        "stopped-shim",
        "a stopped shim that is overdue is not woken (SIGCONT)",
        "processes.kill([shim], signal.SIGCONT)\n",
        "pass\n",
    ),
    Mutant(
        "adoption",
        "how long a run has been running is forgotten with the daemon",
        "monotonic=start.monotonic,",
        "monotonic=None,",
    ),
    Mutant(
        "adoption",
        "a job whose project is away holds no slot",
        'return [Stranger(run=part["run"], attempt=int(part["attempt"])) for part in parts]',
        "return []",
    ),
    Mutant(
        "supervisor-lost",
        "an end that nobody saw is called exit code 0",
        'return NeverStarted() if start is None else Lost(ending="supervisor_lost")',
        "from ardaemon.core.model import Exit\n"
        "        from ardaemon.engines.base import Finished\n\n"
        '        return Finished(exit=Exit(ending="exited", exit_code=0))',
    ),
    Mutant(
        "supervisor-lost",
        "the shim does not say that it is about to start the job",
        "self._announce()\n        clocks = self._spawn()",
        "clocks = self._spawn()",
    ),
    Mutant(
        "supervisor-lost",
        "an adopted job is killed without being asked to end",
        "processes.kill(orphans.processes, signal.SIGTERM)",
        "processes.kill(orphans.processes, signal.SIGKILL)",
    ),
    Mutant(
        "supervisor-lost",
        "the slot of an adopted job is free at once: neither lock nor tree is looked at",
        "return Unsupervised(processes=tuple(alive), deadline=begun.deadline if begun else None)",
        "pass",
    ),
    Mutant(
        "host-restart",
        "the boot's id is not compared",
        'if place.boot_id != self.boot:\n            return Lost(ending="host_restart")',
        "",
    ),
    Mutant(
        "host-restart",
        "what a run wrote before a reboot is trusted as if it had been synced",
        "restarted=place.boot_id != self.boot",
        "restarted=False",
    ),
    Mutant(
        "pid-reuse",
        "a signal goes to a pid, whatever start time it has",
        "if start_time(pid) != start:\n            return False",
        "",
    ),
    Mutant(
        "pid-reuse",
        "a pid is taken for the process that it once was: the start time is not compared",
        "return [p for p in processes if proc.start_time(p.pid) == p.start]",
        "return [p for p in processes if proc.start_time(p.pid) is not None]",
    ),
    Mutant(
        "pid-reuse",
        "a pid of another boot is taken for one of this boot",
        "or (place.boot_id == self.boot and ",
        "or (",
    ),
    Mutant(
        "clock",
        "the limit is told by the wall clock",
        "due = clocks.overdue(now)",
        'born = time.mktime(time.strptime(self.started_at, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone\n'
        "            now = self.started + time.time() - born\n"
        "            due = clocks.overdue(now)",
    ),
    Mutant(
        "clock",
        "a stall is told by the time of the log file",
        "self.size, self.quiet_since = size, now",
        "self.size, self.quiet_since = size, now - time.time() + os.fstat(self.log).st_mtime",
    ),
    Mutant(
        "clock",
        "a checkpoint is this run's by the time of its file",
        "if before is None:\n        return latest_first(",
        "if started:\n        return latest_first(",
    ),
)
