"""Processes that are forked from one that has imported everything."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.support.lab import DEADLINE_S, Lab

ASKING = 8  # threads: of a daemon, its event loop and those that start and sweep shims


def test_how_a_process_ended_is_told_to_all_threads_that_ask_at_once(lab: Lab) -> None:
    lab.start()
    process = lab.process
    assert process is not None
    process.terminate()
    barrier = Barrier(ASKING)

    def asked(_: int) -> int:
        barrier.wait(DEADLINE_S)
        return process.wait(DEADLINE_S)

    with ThreadPoolExecutor(ASKING) as threads:
        assert list(threads.map(asked, range(ASKING))) == [0] * ASKING
