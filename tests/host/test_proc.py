"""Processes as /proc shows them."""

import os
import signal
import subprocess

from ardaemon.host import proc


def test_sigkill_has_an_effect_on_what_lives_and_none_on_what_it_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert not proc.unkillable(child.pid)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert not proc.unkillable(child.pid), "a stopped process is ended by it"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert proc.unkillable(child.pid), "a zombie"
    assert proc.unkillable(child.pid), "gone"
