"""Mutants of the daemon and its clients: what it keeps, who reaches it, what it says. In PROMISES' order."""

from tests.torture.mutant import Mutant

_CHECKS = "tests/integration/test_checks.py::"
_SAME = "tests/integration/test_same.py::"

MUTANTS = (
    Mutant(
        "soak",
        "each launch leaves a descriptor open",
        "finally:\n            os.close(memory)",
        "finally:\n            pass",
    ),
    Mutant(
        "soak",
        "each run leaves its lock files",
        "for path in (place.shim_lock, place.job_lock):",
        "for path in ():",
    ),
    Mutant(
        "soak",
        "each run stays in memory",
        "self.flights.pop(flight.key, None)",
        "self.flights[flight.key] = flight",
    ),
    Mutant(
        "older-state",
        "a file without a schema is taken for one of ours",
        "if schema != SCHEMA:",
        "if schema is not None and schema != SCHEMA:",
    ),
    Mutant(
        "older-state",
        "a file of another schema is put aside as a broken one",
        "raise _unknown(schema, path)",
        'raise CorruptState(f"{path} has schema {schema}", "", {"path": str(path)})',
    ),
    Mutant(
        "takeover",
        "a client of the previous protocol is refused",
        "if request.protocol is not UNSET and abs(request.protocol - PROTOCOL) > 1:",
        "if request.protocol is not UNSET and request.protocol != PROTOCOL:",
    ),
    Mutant(
        "takeover",
        "a restart leaves a daemon of another version where it is",
        "stop_running(host)\n        sock = start_locked(host)",
        "sock = start_locked(host)",
    ),
    Mutant(
        "takeover",
        "a daemon that stops ends its jobs",
        "parts.engine.close()\n    _withdraw(host)",
        "parts.engine.close()\n"
        "        for flight in parts.board.flights.values():\n"
        "            if flight.handle is not None:\n"
        "                parts.engine._of(flight.handle)._stop(flight.handle)\n"
        "    _withdraw(host)",
    ),
    Mutant(
        "service",
        "the event loop gives no sign of life",
        "manager.alive()\n        manager.status",
        "manager.status",
        ("tests/integration/test_service.py",),
    ),
    Mutant(
        "service",
        "a daemon that was stopped is started by systemd's socket for who waits",
        "if again and not read_info():",
        "if again and False:",
        ("tests/integration/test_service.py",),
    ),
    Mutant(
        "service",
        "a restart by systemctl is taken for a stop",
        "if not manager.is_coming():",
        "if manager.folder() is not None:",
        ("tests/integration/test_service.py",),
    ),
    Mutant(
        "service",
        "the daemon removes the socket that is systemd's",
        "SocketFile(path, _inode(path)) if passed is None else None",
        "SocketFile(path, _inode(path))",
        ("tests/integration/test_service.py",),
    ),
    Mutant(
        "service",
        "a question about the daemon starts it",
        "if not is_locked(Host.of_environment().lock):",
        "if not Host.of_environment().lock:",
        ("tests/integration/test_service.py",),
    ),
    Mutant(
        "made-again",
        "what the first attempt left lies where the second one looks",
        "_put_aside(run, attempt - 1)",
        "pass",
    ),
    Mutant(
        "made-again",
        "a launch is not written down before it is made",
        "state.write(run.record, started_here.records.signed(record))\n    return Order(",
        "return Order(",
    ),
    Mutant(
        "made-again",
        "an attempt that never began counts as one",
        "state=Queued(attempts=self.before, seed=self.seed)",
        'state=Queued(attempts=1, seed=self.seed, again=("oom",) * self.attempts)',
    ),
    Mutant(
        "same-edit",
        "the index of versions is believed without a look at the run's own files",
        "return Tried(record, result) if is_same(version, found) else None",
        "return Tried(record, result)",
        (f"{_SAME}test_the_index_is_believed_only_where_the_runs_files_say_the_same",),
    ),
    Mutant(
        "same-edit",
        "a rerun of the best may advance",
        "improved = better and not facts.measure",
        "improved = better",
        (f"{_SAME}test_a_rerun_of_the_best_is_a_measurement_that_decides_nothing",),
    ),
    Mutant(
        "same-edit",
        "the best is refused under another environment as well",
        "return record is not None and same.is_same(version, same.version_of(record, best.conditions))",
        "return True",
        (f"{_SAME}test_another_environment_or_other_conditions_make_another_run",),
    ),
    Mutant(
        "metric-command",
        "a daemon that stops waits for a metric command",
        "command.end_all()",
        "pass",
    ),
    Mutant(
        "metric-command",
        "a metric command does not notice that its daemon is gone",
        "if not self.alone:  # at its end",
        "if False:  # at its end",
    ),
    Mutant(
        "checks",
        "a check is killed and never asked to end",
        "grace > 0 and not self.alone and self._politely(grace)",
        "False",
        (f"{_CHECKS}test_a_check_may_clean_up_within_the_grace",),
    ),
    Mutant(
        "checks",
        "a check that lost its keeper with the daemon goes on beside the next one",
        "checked, printed = Checked(survivors=_killed(every)), bytearray()",
        "checked, printed = Checked(), bytearray()",
        (f"{_CHECKS}test_a_check_that_lost_its_keeper_with_the_daemon_is_ended_before_the_next_begins",),
    ),
    Mutant(
        "checks",
        "a win that fails its check is kept",
        " and facts.check_problem is None",
        "",
        (f"{_CHECKS}test_a_win_that_fails_its_check_is_reverted_and_one_that_passes_is_kept",),
    ),
    Mutant(
        "checks",
        "a win is kept before its check was run",
        "if wins and ended.record.settings.checks and ended.checked is None:",
        "if False:",
        (f"{_CHECKS}test_a_win_that_fails_its_check_is_reverted_and_one_that_passes_is_kept",),
    ),
    Mutant(
        "checks",
        "a check that somebody has ended counts as one that failed",
        "    if end.wanted and not survivors:\n        return None\n",
        "",
        (f"{_CHECKS}test_a_cancel_ends_the_check_and_interrupts_the_run",),
    ),
    Mutant(
        "checks",
        "the place of a run is given away while its check is at work",
        "if not exit_.survivors and not flight.keeps_place:",
        "if not exit_.survivors:",
        (f"{_CHECKS}test_a_killed_daemon_decides_nothing_by_half_a_check_and_the_next_runs_it_again",),
    ),
    Mutant(
        "checks",
        "a daemon that comes after a kill runs no check",
        "seat = replace(seat, devices=devices)",
        "self.record = replace(self.record, settings=replace(self.record.settings, checks=()))",
        (f"{_CHECKS}test_a_killed_daemon_decides_nothing_by_half_a_check_and_the_next_runs_it_again",),
    ),
    Mutant(
        "checks",
        "another daemon may take the card on which a check is at work",
        "await self.engine.keep(flight.handle)",
        "pass",
        ("tests/integration/test_gpus.py::test_another_daemon_gets_no_card_on_which_a_check_is_at_work",),
    ),
    Mutant(
        "checks",
        "nobody looks whether a check has changed",
        "*checks.changed(experiment, current.session)]",
        "]",
        (f"{_CHECKS}test_a_changed_check_is_refused_as_a_changed_seal_is",),
    ),
    Mutant(
        "clients-die",
        "a run ends with the client that waits for it",
        "view = await self._awaited([flight], params.until, end)",
        "try:\n"
        "                view = await self._awaited([flight], params.until, end)\n"
        "            except anyio.get_cancelled_exc_class():\n"
        "                if flight.handle is not None:\n"
        "                    self.context.driver.engine.stop(flight.handle)\n"
        "                raise",
    ),
    Mutant(
        "clients-die",
        "the daemon stays in the session of the client that started it",
        "os.setsid()\n            if os.fork() == 0:",
        "if os.fork() == 0:",
    ),
    Mutant(
        "clients-die",
        "one client may have any number of requests in flight",
        "if self.in_flight >= REQUESTS_PER_CONNECTION:",
        "if False:",
        ("tests/rpc/test_server.py",),
    ),
    Mutant(
        "clients-die",
        "clients may have any number of bytes held for them",
        "return own <= OWN_BYTES or (",
        "return True or (",
        ("tests/rpc/test_memory.py",),
    ),
    Mutant(
        "clients-die",
        "the line of each request that waits is kept",
        "asked = self.dispatcher.decode(self.in_flight, line)",
        "asked = self.dispatcher.decode(self.in_flight, line)\n"
        "        self.lines = [*getattr(self, 'lines', ()), line]",
        ("tests/rpc/test_memory.py",),
    ),
    Mutant(
        "clients-die",
        "a client that stopped sending is taken for one that went away",
        "ours.start_soon(self._end_when_hung_up, requests.cancel_scope)",
        "requests.cancel_scope.cancel()",
    ),
    Mutant(
        "clients-die",
        "a client that stopped sending is waited for, although it hung up",
        "requests.cancel()  # the client is gone",
        "await anyio.sleep_forever()  # the client is gone",
    ),
    Mutant(
        "clients-die",
        "out of descriptors, the daemon ends",
        "await anyio.sleep(ACCEPT_PAUSE_S)\n                    continue",
        "raise",
    ),
    Mutant(
        "socket-private",
        "the socket lies where another user may have made its folder first",
        'yield os.path.join(state_folder(), "run")',
        "yield from ()",
        (
            "tests/integration/test_socket.py::test_another_user_who_makes_the_folder_in_tmp_first_is_in_nobodys_way",
        ),
    ),
    Mutant(
        "socket-private",
        "the daemon does not ask who has connected (SO_PEERCRED)",
        "if uid != os.getuid():\n            log.warning(",
        "if False:\n            log.warning(",
    ),
    Mutant(
        "socket-private",
        "arctl does not ask who listens (SO_PEERCRED)",
        "if peer(sock)[1] != os.getuid():",
        "if False:",
    ),
    Mutant(
        "socket-private",
        "the socket's mode is what the umask makes it",
        "mask = os.umask(0o177)",
        "mask = os.umask(os.umask(0))",
    ),
    Mutant(
        "socket-private",
        "a folder that others can enter is taken",
        "if status.st_mode & 0o077:\n        return StorageError(",
        "if False:\n        return StorageError(",
    ),
    Mutant(
        "socket-private",
        "whatever is in the socket's place is removed",
        "if not stat.S_ISSOCK(status.st_mode):",
        "if stat.S_ISDIR(status.st_mode):",
    ),
    Mutant(
        "one-daemon",
        "a daemon does not hold its lock alone",
        "raise AlreadyRunning from None",
        "return os.open(host.lock, os.O_RDWR)",
    ),
    Mutant(
        "one-daemon",
        "a socket is replaced whoever listens there",
        "_claim(path.parent)\n    sock = _bound(path)",
        "sock = _bound(path)",
    ),
    Mutant(
        "one-daemon",
        "clients start daemons without waiting for each other",
        "if not _wait(lambda: _try_lock(lock), LOCK_DEADLINE_S, what):",
        "if not what:",
    ),
    Mutant(
        "credentials",
        "agents' credentials are handed on to jobs",
        "and not denied(name, config)",
        "",
    ),
    Mutant(
        "credentials",
        "everybody may read the entry of an active run",
        "record.run_id), active, 0o600)",
        "record.run_id), active)",
    ),
    Mutant(
        "credentials",
        "the daemon keeps the environment of the client that started it",
        "if name in names or name.startswith(KEPT_FAMILIES)",
        "if name",
    ),
    Mutant(
        "credentials",
        "a library that its starter preloads runs in the daemon",
        'KEPT_FAMILIES = ("LC_",',
        'KEPT_FAMILIES = ("LD_", "LC_",',
        ("tests/integration/test_isolated.py",),
    ),
    Mutant(
        "credentials",
        "whoever looks into a shim sees the environment of its job",
        "core_limit = core_files.forbid()  # before it is given an environment",
        "core_limit = 0",
        ("tests/integration/test_core_files.py",),
    ),
    Mutant(
        "credentials",
        "guesses of a secret can be tried against the hash in run.json",
        'return hmac.digest(key, json.dumps(compared).encode(), "sha256").hex()',
        'return __import__("hashlib").sha256(json.dumps(compared).encode()).hexdigest()',
    ),
    Mutant(
        "clean-text",
        "a line is printed as a script wrote it",
        "click.secho(clean(text), **style)",
        "click.secho(text, **style)",
    ),
    Mutant(
        "clean-text",
        "JSON is printed without escapes for what acts on a terminal",
        'click.echo(escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":"))), err=err)',
        'click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")), err=err)',
    ),
    Mutant(
        "clean-text",
        "a note stands in the files as it was given",
        "return one_line(note, NOTE_MAX) if isinstance(note, str)",
        "return note[:NOTE_MAX] if isinstance(note, str)",
    ),
    Mutant(
        "protocol-examples",
        "a notification is answered",
        "if identity is UNSET:\n        return None",
        "if identity is UNSET:\n        identity = None",
    ),
    Mutant(
        "protocol-examples",
        "an empty batch is not refused",
        "if not 0 < len(raws) <= BATCH_MAX:",
        "if not len(raws) <= BATCH_MAX:",
    ),
    Mutant(
        "protocol-fuzz",
        "bytes that are no UTF-8 reach beyond the decoder",
        "except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:",
        "except (msgspec.DecodeError, RecursionError) as error:",
    ),
    Mutant(
        "protocol-fuzz",
        "what comes behind a request in the same piece is lost",
        "buffer = bytearray(rest)",
        "buffer = bytearray()",
    ),
)
