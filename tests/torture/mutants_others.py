"""Mutants of what others do to a run: to its shim, its files, its folder, its disk; and of wishes for it.

In the order of PROMISES. Each names the tests that have to notice, the cheapest there are.
"""

from tests.torture.mutant import Mutant

_SPARE = "tests/integration/test_stopped_spare.py::"
_ENGINE = "tests/engines/test_local.py::"
_TRUSTED = "tests/integration/test_trusted_files.py::"
_FORGED = f"{_TRUSTED}test_a_job_may_write_names_like_ours_and_is_judged_by_the_next_daemon"
_NOT_COMMITTED = f"{_TRUSTED}test_a_result_that_the_daemon_did_not_write_is_not_believed"
_WAY = "tests/integration/test_in_the_way.py::"
_GIT = "tests/arctl/test_git_checks.py::"
_VANISHED = "tests/integration/test_vanished.py::"
_REWRITTEN = "tests/integration/test_rewritten.py::"
_VERSIONS = "tests/experiment/test_versions.py::"
_REMOVED = "tests/integration/test_removed_run.py::"
_WISH = "tests/integration/test_every_wish.py::"
_EACH_WISH = f"{_WISH}test_a_wish_is_done_or_said_to_be_too_late"
_CROSSING = "tests/integration/test_crossing_wishes.py::"
_STALE = "tests/integration/test_stale_decision.py::"
_FILES = "tests/core/test_files.py::"
_PLACED = "tests/integration/test_no_plain_file.py::"
_FORGED_END = "tests/integration/test_forged_end.py::"
_TRUST = "tests/integration/test_trust.py::"
_ELSEWHERE = "tests/integration/test_started_elsewhere.py::"
_PROMOTE = "tests/checkpoints/test_promote.py::"
_FOLDERS = "tests/core/test_folders.py::"
_DISK = "tests/host/test_disk.py::"
_STILL = "tests/integration/test_standstill.py::"
_STOOD = f"{_STILL}test_a_wait_for_a_run_that_does_not_move_ends_a_loop_and_says_why"
_MAX_LOG = "tests/integration/test_max_log.py::"
_OLD_LOGS = "tests/experiment/test_old_logs.py::"
_REFUSED = (
    "tests/pipeline/test_log_quota.py::"
    "test_what_a_disk_has_refused_for_want_of_room_makes_logs_of_that_disk_go_and_nothing_else_does"
)

MUTANTS = (
    Mutant(
        "stopped-spare",
        "a stopped spare shim is given a run",
        "return self.process.poll() is None and not proc.stopped(self.process.pid)",
        "return self.process.poll() is None",
        (f"{_SPARE}test_a_spare_that_is_stopped_is_replaced_before_it_gets_a_run",),
    ),
    Mutant(
        "stopped-spare",
        "the lock of an attempt does not name the shim that is given it",
        "file_lock.name_holder(locks[0], spare.process.pid, given(launch, spare))",
        "pass",
        (
            f"{_ENGINE}test_an_attempt_that_lies_unread_in_a_socket_is_held_by_the_shim_that_the_lock_names",
            f"{_SPARE}test_a_daemon_that_finds_such_an_attempt_does_the_same[give]",
        ),
    ),
    Mutant(
        "stopped-spare",
        "a daemon that starts does not look which shim the lock of an attempt names",
        "return [named] if named is not None else processes.holding(place_of(handle).shim_lock)",
        "return processes.holding(place_of(handle).shim_lock) or [named][:0]",
        (f"{_SPARE}test_a_cancel_that_comes_before_the_shim_begins_ends_the_shim_at_once",),
    ),
    Mutant(
        "stopped-spare",
        "a shim that does not begin is killed without a look whether it has begun by now",
        "if not await anyio.to_thread.run_sync(_has_begun, handle, shim):",
        "if shim:",
        (f"{_ENGINE}test_a_shim_that_begins_right_before_it_would_be_ended_goes_on",),
    ),
    Mutant(
        "stopped-spare",
        "an attempt whose lock is held counts as begun, though nothing of it is written",
        "case Running(shim=None):\n            return True",
        "case Running(shim=None):\n            return False",
        (f"{_SPARE}test_a_shim_that_is_stopped_before_it_begins_is_ended_and_the_run_goes_to_another[give]",),
    ),
    Mutant(
        "trusted-files",
        "the job's folder is the one in which the daemon keeps what it knows of the run",
        '"AR_RUN_DIR": str(run.job)',
        '"AR_RUN_DIR": str(run.folder)',
        (f"{_FORGED}[run.json]",),
    ),
    Mutant(
        "trusted-files",
        "an exit.json in the job's own folder says how the run ended",
        "file = _read(attempt.exit, _ExitFile)",
        'file = _read(attempt.folder.parent / "job/exit.json", _ExitFile) or _read(attempt.exit, _ExitFile)',
        (f"{_FORGED}[exit.json]",),
    ),
    Mutant(
        "trusted-files",
        "a result is believed though the run's record does not say that it was judged",
        "return named(run) if record is not None and isinstance(record.state, Judged) else None",
        "return named(run)",
        (f"{_NOT_COMMITTED}[valid-looking]",),
    ),
    Mutant(
        "trusted-files",
        "a result that names another run is believed",
        "if result is not None and result.run_id == run.run_id:",
        "if result is not None:",
        (f"{_TRUSTED}test_a_run_that_is_copied_by_hand_is_not_counted_twice",),
    ),
    Mutant(
        "in-the-way",
        "status does not say that a run is blocked",
        "blocked=self.blocked is not None,",
        "blocked=False,",
        (f"{_WAY}test_what_is_in_the_way_is_named_with_its_owner_and_the_commit_follows_when_it_is_gone",),
    ),
    Mutant(
        "in-the-way",
        "what stands in the place of a file is not looked at",
        "if error.errno in _WRONG_KIND:",
        "if error.errno is None:",
        (f"{_WAY}test_what_is_in_the_way_is_named_with_its_owner_and_the_commit_follows_when_it_is_gone",),
    ),
    Mutant(
        "in-the-way",
        "what a job puts into the place of the link to its log holds up its commit",
        "state.put_aside(run.log)",
        "pass",
        (f"{_WAY}test_what_a_job_puts_into_another_place_is_kept_and_holds_nothing_up[run.log]",),
    ),
    Mutant(
        "rewritten",
        "what is put into train.py is not compared with the hash of what was judged",
        "if train_file.sha256(data) != target.sha256:",
        "if data is None:",
        (f"{_VERSIONS}test_without_any_copy_nothing_is_put_back_that_was_not_judged",),
    ),
    Mutant(
        "rewritten",
        "no second copy of a version is kept at its submit",
        "versions.keep(experiment, run.run_id, data)",
        "pass",
        (f"{_REWRITTEN}test_what_is_put_back_is_what_was_judged_whatever_a_job_rewrites",),
    ),
    Mutant(
        "rewritten",
        "a snapshot that its job has rewritten stays as it is",
        "versions.put_right(ended.experiment, ended.run.run_id, ended.record.sha256)",
        "pass",
        (f"{_REWRITTEN}test_what_is_put_back_is_what_was_judged_whatever_a_job_rewrites",),
    ),
    Mutant(
        "rewritten",
        "a run whose snapshot another job has rewritten is not started",
        "if not launched and not versions.put_right(experiment, record.run_id, record.sha256):",
        "if not launched and train_file.hash_at(experiment.run(record.run_id).train) != record.sha256:",
        (
            f"{_REWRITTEN}test_a_run_whose_snapshot_another_job_rewrites_while_it_waits_runs_as_it_was_submitted",
        ),
    ),
    Mutant(
        "rewritten",
        "a copy of a version is believed whatever it holds",
        "if data is None or train_file.sha256(data) != sha256:",
        "if data is None:",
        (f"{_VERSIONS}test_a_copy_is_believed_by_its_hash_alone[another version]",),
    ),
    Mutant(
        "git",
        "init writes no .gitignore",
        "if not durable.write_new(project.ignore, IGNORE_ALL):",
        "if project.ignore.name:",
        (f"{_GIT}test_gits_everyday_commands_leave_an_experiment_as_it_is[stash -u]",),
    ),
    Mutant(
        "git",
        "a run is taken into a state that went back",
        "require_newest(experiment, current.session)\n    number",
        "number",
        (f"{_VANISHED}test_an_experiment_that_went_back_takes_no_run_until_it_is_brought_back[reset]",),
    ),
    Mutant(
        "git",
        "a run under way is committed into a state that went back",
        "require_newest(ended.experiment, current.session)",
        "pass",
        (f"{_VANISHED}test_a_run_under_way_is_not_committed_into_an_earlier_state",),
    ),
    Mutant(
        "git",
        "nobody looks into git's stashes for what is gone",
        'if unseen or answer(folder, "diff", "--name-only", f"{name}^", name, "--", path):',
        "if not name:",
        (f"{_VANISHED}test_an_experiment_that_is_gone_is_named_with_the_command_that_brings_it_back",),
    ),
    Mutant(
        "git",
        "where all results are gone, an experiment without results is rebuilt",
        "            require_results(experiment)\n        warnings = [",
        "            pass\n        warnings = [",
        (f"{_VANISHED}test_where_all_results_are_gone_nothing_is_rebuilt_from_nothing[git clean -fdq]",),
    ),
    Mutant(
        "noise",
        "a launch of the best that was made already is made again",
        "if before is not None and (history.committed(run, before) is not None or entry.exists()):",
        "if False:",
    ),
    Mutant(
        "noise",
        "a rerun's value that is committed already is counted again after a kill",
        "return (now.total, now.launches) > (decided.total, decided.launches)",
        "return True",
    ),
    Mutant(
        "noise",
        "a confirmation is made with the seed that there is a value of",
        'return _waiting(ended, judged, "confirm", ruling.confirm, ruling.values[-1])',
        'return _waiting(ended, judged, "confirm", ended.seed, ruling.values[-1])',
    ),
    Mutant(
        "noise",
        "the value of a rerun of the best is forgotten",
        "values[one.seed] = one.value",
        "pass",
    ),
    Mutant(
        "noise",
        "a verdict does not wait for the launch of the best that it needs",
        "await self.remeasurer.measured_best(flight, first.seed)",
        "raise AssertionError(first.seed)",
    ),
    Mutant(
        "idle-launches",
        "the entry of a committed run goes before the launch after it has its own",
        "elif not is_handed_on(record, result):",
        "else:",
    ),
    Mutant(
        "idle-launches",
        "a daemon that starts does not go on after a launch that is committed",
        "    await driver.committer.end(flight)\n        idler.committed(flight)",
        "    await driver.committer.end(flight)\n        flight.entry.unlink(missing_ok=True)",
    ),
    Mutant(
        "idle-launches",
        "a launch that was laid out, but never queued, counts as made",
        "for one in records if not measures.never_queued(experiment, *one, key, entries)]",
        "for one in records]",
    ),
    Mutant(
        "audit",
        "an audit that is recorded is run again after a kill",
        "done = await anyio.to_thread.run_sync(audit_files.is_recorded, files, experiment, one.active)",
        "done = False",
    ),
    Mutant(
        "audit",
        "an advance whose entry cannot be moved is not audited",
        "        return False\n    return True\n\n\ndef waiting(folder",
        "        apply.finish(entry)\n    return True\n\n\ndef waiting(folder",
    ),
    Mutant(
        "audit",
        "a value that was written before the disk refused is taken for another run's",
        "others = [one for one in known.values if _run_of(one) != _run_of(audit)]",
        "others = [*known.values]",
        ("tests/pipeline/test_audit.py::test_run_ids_that_begin_again_begin_the_audits_again",),
    ),
    Mutant(
        "removed-run",
        "the job of a run whose folder is removed is not ended",
        "self.background.start_soon(self._stop, flight)",
        "pass",
        (f"{_REMOVED}test_the_next_run_waits_for_the_end_of_the_removed_one_and_has_another_id[rm]",),
    ),
    Mutant(
        "removed-run",
        "the slot of a run whose folder is removed is free before its job has ended",
        "flight.dropped = True\n",
        "flight.dropped = True\n        self.board.release(flight)\n",
        (f"{_REMOVED}test_the_next_run_waits_for_the_end_of_the_removed_one_and_has_another_id[rm]",),
    ),
    Mutant(
        "removed-run",
        "the id of a run whose folder is removed is used again",
        "await self.patience.once(flight, remember)",
        "pass",
        (f"{_REMOVED}test_the_id_of_a_removed_run_is_not_used_again_by_the_next_daemon",),
    ),
    Mutant(
        "removed-run",
        "a daemon that starts does not end the job of a run whose folder is removed",
        "await engine.stop(handle)\n            await engine.ended(handle)",
        "pass",
        (f"{_REMOVED}test_what_is_removed_while_no_daemon_lives_is_ended_by_the_next_one",),
    ),
    Mutant(
        "removed-run",
        "a daemon that starts uses the id of a run whose folder is removed again",
        "session.remember_run(Experiment(folder), max(candidate_number(run.run_id) for _, run in theirs))",
        "pass",
        (
            f"{_REMOVED}test_an_id_that_a_daemon_finds_removed_is_not_used_again_when_nothing_else_is_left_of_it",
        ),
    ),
    Mutant(
        "wishes",
        "a wish for a run that is launching is lost",
        'case "launching" | "running":\n                await self._want(flight, wanted, stop=True)',
        'case "launching":\n                pass\n            case "running":\n'
        "                await self._want(flight, wanted, stop=True)",
        (f"{_EACH_WISH}[launching-arctl cancel]",),
    ),
    Mutant(
        "wishes",
        "a wish is not written down before it is answered",
        "await self.keep(flight)  # also if",
        "pass  # also if",
        (f"{_WISH}test_a_wish_that_was_answered_holds_whatever_becomes_of_the_daemon[killed]",),
    ),
    Mutant(
        "wishes",
        "a wish is not known before the stop is sent",
        "                await self._want(flight, wanted, stop=True)",
        "                await self._stop(flight)\n                await self._want(flight, wanted)",
        (f"{_CROSSING}test_a_cancel_that_crosses_the_end_of_its_job_is_told_what_becomes_of_the_run",),
    ),
    Mutant(
        "wishes",
        "a job that has ended right before its cancel gets a verdict",
        'case Finished(exit=Exit(ending="exited") as exit_) if flight.active.wanted in ("cancel", "stop"):',
        'case Finished(exit=Exit(ending="exited") as exit_) if flight is None:',
        (f"{_WISH}test_a_cancel_that_crossed_the_end_of_its_job_holds_for_the_next_daemon",),
    ),
    Mutant(
        "wishes",
        "a wish that came too late is written down as one that came in time",
        "await self._want(flight, TOO_LATE[wanted])",
        "await self._want(flight, wanted)",
        (f"{_CROSSING}test_a_cancel_that_comes_after_a_limit_changes_no_verdict_for_the_next_daemon",),
    ),
    Mutant(
        "wishes",
        "a wish that is being written while its run is committed brings the run's entry back",
        "async with flight.writing:  # a wish that is being written now would bring the entry back",
        "if flight:",
        (f"{_CROSSING}test_a_wish_that_is_written_while_the_run_is_committed_leaves_no_entry_of_it",),
    ),
    Mutant(
        "wishes",
        "a run whose cancel is being written is launched when a place gets free",
        "if self.board.placement.is_waiting(flight):",
        "if flight:",
        (f"{_CROSSING}test_a_run_whose_cancel_is_being_written_is_judged_once_though_a_place_gets_free",),
    ),
    Mutant(
        "stale-decision",
        "a decision that others have overtaken is applied as it was made",
        "return not applied and now.total >= decided.total",
        "return False",
        (f"{_STALE}test_a_judged_run_whose_record_was_away_meanwhile_undoes_no_later_best",),
    ),
    Mutant(
        "stale-decision",
        "a decision that is not applied yet is always made again",
        "return not applied and now.total >= decided.total",
        "return True",
        (f"{_STALE}test_a_judged_run_that_nobody_has_overtaken_is_committed_as_it_was_judged",),
    ),
    Mutant(
        "no-plain-file",
        "the open of a state file waits at a FIFO that has come since the look at it",
        "_CAREFULLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY",
        "_CAREFULLY = os.O_RDONLY | os.O_NOCTTY",
        (f"{_FILES}test_a_fifo_that_comes_after_the_look_is_refused_at_once",),
    ),
    Mutant(
        "no-plain-file",
        "a FIFO, a socket or a device is read as a state file",
        "if not stat.S_ISREG(status.st_mode):\n        what = _TYPES",
        "if stat.S_ISDIR(status.st_mode):\n        what = _TYPES",
        (f"{_FILES}test_what_is_no_plain_file_is_refused_at_once",),
    ),
    Mutant(
        "no-plain-file",
        "the open of a file to write to waits at a FIFO",
        "_TO_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY",
        "_TO_WRITE = os.O_WRONLY | os.O_NOCTTY",
        (f"{_FILES}test_a_fifo_is_not_waited_for_by_who_writes",),
    ),
    Mutant(
        "trusted-files",
        "exit.json is believed while the job lives",
        "if place.boot_id == self.boot else []",
        "if False else []",
        (f"{_FORGED_END}test_what_lives_on_is_ended_and_is_no_success[alone-off]",),
    ),
    Mutant(
        "trusted-files",
        "a job that calls itself a survivor is believed",
        "not in named or not proc.unkillable(p.pid)",
        "not in named",
        (f"{_FORGED_END}test_what_lives_on_is_ended_and_is_no_success[a survivor-off]",),
    ),
    Mutant(
        "trusted-files",
        "the record that a job wrote stays for the next daemon",
        "await anyio.to_thread.run_sync(refuse_exit, handle)",
        "await anyio.to_thread.run_sync(str, handle)",
        (f"{_FORGED_END}test_a_daemon_that_comes_later_does_not_believe_it_either",),
    ),
    Mutant(
        "trusted-files",
        "start.json moves the limit of a job that it has written",
        "deadline=min(start.deadline, given.deadline)",
        "deadline=start.deadline",
        (f"{_FORGED_END}test_start_json_is_believed_only_as_far_as_it_agrees_with_what_the_shim_was_given",),
    ),
    Mutant(
        "no-plain-file",
        "what is no plain file in a state file's place is a fault of the disk, and is not put aside",
        "return not_plain(self.path, error)",
        "return super().translated(error)",
        (f"{_PLACED}test_a_state_file_is_made_anew_from_the_others[best.json-mkfifo]",),
    ),
    Mutant(
        "trust",
        "a link in the place of one of the daemon's files is followed",
        "STATE = Kind(4 << 20)",
        "STATE = Kind(4 << 20, links=True)",
        (f"{_TRUST}test_a_link_in_a_projects_file_is_not_followed_where_people_have_none",),
    ),
    Mutant(
        "trust",
        "a link in the place of a run's log is followed, wherever it leads",
        "if _OWN_LINK.fullmatch(link := os.readlink(run.log)):",
        "if link := os.readlink(run.log):",
        (f"{_TRUST}test_a_link_in_a_projects_file_is_not_followed_where_people_have_none",),
    ),
    Mutant(
        "trust",
        "another user's file is read as one's own",
        "if not kind.anybodys:\n",
        "if kind.most < 0:\n",
        (f"{_TRUST}test_a_trap_in_a_projects_file_holds_nobody_up[anothers]",),
    ),
    Mutant(
        "trust",
        "a file is read whole, however large it is",
        "data = head(path, kind.most + 1, kind)",
        "data = head(path, 1 << 62, kind)",
        (f"{_TRUST}test_a_trap_in_a_projects_file_holds_nobody_up[an_endless_file]",),
    ),
    Mutant(
        "trust",
        "the open of a file waits at a FIFO that has come since the look at it",
        "_CAREFULLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY",
        "_CAREFULLY = os.O_RDONLY | os.O_NOCTTY",
        (f"{_TRUST}test_a_file_of_a_project_that_is_swapped_between_look_and_opening_holds_nobody_up[fifo]",),
    ),
    Mutant(
        "trust",
        "a link that has come since the look at a file is followed",
        "_CAREFULLY | (0 if kind.links else os.O_NOFOLLOW)",
        "_CAREFULLY",
        (f"{_TRUST}test_a_file_of_a_project_that_is_swapped_between_look_and_opening_holds_nobody_up[link]",),
    ),
    Mutant(
        "trust",
        "the files of a project are read on the event loop",
        "return await anyio.to_thread.run_sync(\n"
        "                self._answer, work, asked, abandon_on_cancel=True, limiter=self.askers\n"
        "            )",
        "return self._answer(work, asked)",
        ("tests/integration/test_event_loop.py::test_nothing_of_a_project_is_touched_on_the_event_loop",),
    ),
    Mutant(
        "trust",
        "a sealed file that has grown is read to its end",
        "most = ANY_SIZE if sealed.size is None else sealed.size",
        "most = ANY_SIZE",
        (
            "tests/experiment/test_seal.py::test_of_what_has_grown_by_a_terabyte_no_more_is_read_than_was_sealed",
        ),
    ),
    Mutant(
        "trust",
        "a results table without line ends is read whole",
        "islice(_backwards(path, block_size), most // block_size)",
        "islice(_backwards(path, block_size), most << 30)",
        (
            "tests/experiment/test_ledger.py"
            "::test_of_a_table_without_line_ends_no_more_is_read_than_rows_can_have",
        ),
    ),
    Mutant(
        "trust",
        "a log is searched to its beginning, however long it is",
        "while end > first:",
        "while end > 0:",
        ("tests/metrics/test_log.py::test_of_a_log_with_a_hole_of_a_terabyte_a_bounded_part_is_searched",),
    ),
    Mutant(
        "trust",
        "everybody may read the copies of a private script",
        "return most & (allowed | 0o600)",
        "return most",
        ("tests/integration/test_modes.py",),
    ),
    Mutant(
        "trust",
        "what the shim writes is as open as the submitter's umask says",
        "finally:\n            os.umask(own)",
        "finally:",
        ("tests/integration/test_modes.py",),
    ),
    Mutant(
        "trust",
        "the live view of a log reads all that was added, however much that is",
        "if size - self._at > FEED_MAX:",
        "if size < 0:",
        ("tests/pipeline/test_live.py::test_of_a_log_that_grew_by_a_terabyte_the_end_is_read",),
    ),
    Mutant(
        "trust",
        "a promoted file keeps its setuid and setgid bits",
        "status.st_mode & COPIED_MODE",
        "status.st_mode",
        (f"{_PROMOTE}test_no_copy_runs_as_its_owner_or_lets_others_write",),
    ),
    Mutant(
        "trust",
        "what another user has put into a checkpoint is promoted",
        "if not is_ours(uid):\n        raise OSError",
        "if uid < 0:\n        raise OSError",
        (f"{_PROMOTE}test_what_another_user_has_put_into_a_checkpoint_is_refused_and_named[weights]",),
    ),
    Mutant(
        "trust",
        "a file of a checkpoint that was swapped since the look at it is copied",
        "original.require(os.fstat(file.fileno()))\n            durable.copy",
        "durable.copy",
        (f"{_PROMOTE}test_what_is_swapped_after_it_was_surveyed_is_not_copied[weights-True]",),
    ),
    Mutant(
        "trust",
        "a folder with a meta.json to which .ckpt leads is removed, whoever made it",
        "if named is not None and named.run_id == folder.name:",
        "if named is not None:",
        (
            "tests/checkpoints/test_prune.py"
            "::test_a_link_to_another_disk_is_used_and_what_else_lies_there_is_left_alone",
        ),
    ),
    Mutant(
        "trust",
        "a search is led in a circle by links",
        "by_link=one.is_link",
        "by_link=False",
        ("tests/core/test_patterns.py::test_no_link_is_followed_below_two_stars",),
    ),
    Mutant(
        "trust",
        "a search has no end, however many files there are",
        "if self.names > self.names_max:",
        "if self.names < 0:",
        (f"{_FOLDERS}test_too_many_names_end_the_look_and_the_error_says_where_and_what_to_do",),
    ),
    Mutant(
        "trust",
        "a search goes on though nobody waits for it",
        "            self.check()\n",
        "",
        (f"{_FOLDERS}test_a_look_for_which_nobody_waits_any_more_is_ended",),
    ),
    Mutant(
        "trust",
        "what the launch could not look through counts as the run's own",
        "if pattern in self.unseen:",
        "if pattern in ():",
        (
            "tests/checkpoints/test_find.py"
            "::test_what_the_launch_could_not_look_through_is_no_runs_checkpoint",
        ),
    ),
    Mutant(
        "trust",
        "the live view follows any number of files",
        "if len(files) > self.files_max:",
        "if len(files) < 0:",
        ("tests/metrics/test_searches.py::test_more_files_than_can_be_followed_are_none",),
    ),
    Mutant(
        "trust",
        "a queued run is launched with the settings that a pull has put into its run.json",
        "if not launched and record.settings != current.session.settings:",
        "if record.settings is None:",
        (f"{_ELSEWHERE}test_a_queued_run_that_a_pull_has_changed_is_not_launched[run.json]",),
    ),
    Mutant(
        "trust",
        "a daemon that starts again believes a run.json that was changed meanwhile",
        "        mine = self._is_signed(data, record) or _was_never_launched(run, record)\n",
        "        mine = True\n",
        (
            "tests/integration/test_own_records.py::test_the_metric_command_that_a_pull_brought"
            "_is_not_run_and_the_run_goes_on_when_its_record_is_back[taken off]",
        ),
    ),
    Mutant(
        "trust",
        "each daemon signs the unsigned sessions that have an active run, not the first one alone",
        "session = state.read(experiment.session, Session) if self._first else None",
        "session = state.read(experiment.session, Session)",
        (f"{_ELSEWHERE}test_no_unsigned_session_is_adopted_for_what_a_clone_can_have[a later one]",),
    ),
    Mutant(
        "dead-disk",
        "a question to a disk that does not answer is never given up",
        "with anyio.CancelScope(deadline=anyio.current_time() + ANSWER_S):",
        "with anyio.CancelScope():",
        (f"{_DISK}test_a_dead_disk_holds_few_threads_and_is_asked_again_when_it_has_answered",),
    ),
    Mutant(
        "dead-disk",
        "each request for a disk that is known not to answer waits as the first did",
        "if time.monotonic() - oldest >= ANSWER_S:",
        "if oldest < 0:",
        (f"{_DISK}test_a_dead_disk_holds_few_threads_and_is_asked_again_when_it_has_answered",),
    ),
    Mutant(
        "dead-disk",
        "the dead disk of one project is taken for everybody's",
        "disk = self._disks.get(project)\n",
        "disk = next(iter(self._disks.values()), None)\n",
        (f"{_DISK}test_a_dead_disk_holds_few_threads_and_is_asked_again_when_it_has_answered",),
    ),
    Mutant(
        "standstill",
        "who waits for a run that no daemon follows is told that it is still queued",
        "flight = await unfollowed.flight_of(self.context, experiment, run_id)\n"
        "        if flight is None:\n"
        "            view = await stored(",
        "flight = self.board.find(experiment, run_id)\n"
        "        if flight is None:\n"
        "            view = await stored(",
        (f"{_STOOD}[entry_deleted]",),
    ),
    Mutant(
        "standstill",
        "who waits for a run that is held is told that it is still queued",
        "if is_stuck(first, self.board):\n            unclean",
        "if first is None:\n            unclean",
        (f"{_STOOD}[held]",),
    ),
    Mutant(
        "standstill",
        "the exit code for a run that does not move by itself is the one that says: call again",
        "code, exit_code = -32050, 76",
        "code, exit_code = -32050, 75",
        (f"{_STOOD}[entry_deleted]",),
    ),
    Mutant(
        "logs",
        "the head of a log that is too long goes as well",
        "holes.punch(self.log, max(self.head, self.dropped), end)",
        "holes.punch(self.log, 0, end)",
        (f"{_MAX_LOG}test_of_a_long_log_the_head_and_the_tail_are_kept_and_all_who_show_it_say_so",),
    ),
    Mutant(
        "logs",
        "a log is removed before the line that says so is there",
        "durable.publish(path, line, durable.mode_of(path, 0o644))",
        "operations.unlink(path)\n        durable.publish(path, line, 0o644)",
        (
            f"{_OLD_LOGS}test_killed_at_any_operation_each_log_is_whole_or_gone_and_the_next_call_does_the_rest",
        ),
    ),
    Mutant(
        "logs",
        "the best's log goes as the others do",
        "if one.run.run_id != best and one.size >= WORTH_BYTES",
        "if one.size >= WORTH_BYTES",
        (f"{_OLD_LOGS}test_a_quota_takes_neither_the_best_nor_the_last_ones_nor_what_frees_nothing",),
    ),
    Mutant(
        "logs",
        "logs go though they are to stay",
        "if self.config.now.logs_stay or self._is_futile(project):",
        "if self._is_futile(project):",
        (_REFUSED,),
    ),
    Mutant(
        "logs",
        "logs go for what another disk has refused",
        "return os.stat(os.path.dirname(refused)).st_dev == os.stat(home).st_dev",
        "return True",
        (_REFUSED,),
    ),
    Mutant(
        "logs",
        "a user's quota that is used up makes no log go",
        "FULL = (errno.ENOSPC, errno.EDQUOT)",
        "FULL = (errno.ENOSPC,)",
        (_REFUSED,),
    ),
)
