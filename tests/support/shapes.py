"""Trees of processes as jobs make them, and as a job would that wants to outlive its run."""

# Every process of a shape says one byte on a pipe once it is as it shall be; then the run is ready, and its
# limit of a moment begins.
PRELUDE = """
import ctypes, os, pathlib, signal, time
libc = ctypes.CDLL(None)
told, tell = os.pipe()
LAST = time.monotonic() + 60  # should nobody kill them
def rest():
    os.write(tell, b".")
    time.sleep(60)
def child(work):
    pid = os.fork()
    if pid == 0:
        try: work()
        finally: os._exit(1)
    return pid
def until(reached):
    while not reached(): time.sleep(.001)
def state(pid): return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
def respawn(work):
    while time.monotonic() < LAST: os.waitpid(child(work), 0)
def session(work):
    os.setsid()
    work()
def ready(count):
    for _ in range(count): os.read(told, 1)
    print("val/loss: 1", flush=True)
    pathlib.Path(os.environ["AR_RUN_DIR"], "ready").touch()
"""
END = "time.sleep(60)\n"

SHAPES = {
    "a session of its own": "child(lambda: session(rest))\nready(1)\n",
    "a double fork": "os.waitpid(child(lambda: session(lambda: child(rest) and os._exit(0))), 0)\nready(1)\n",
    "60 wide": "for _ in range(60): child(rest)\nready(60)\n",
    "6 deep, a session each": (
        "def deeper(left):\n"
        "    if left: child(lambda: session(lambda: deeper(left - 1)))\n"
        "    rest()\n"
        "child(lambda: deeper(5))\nready(6)\n"
    ),
    "respawning": "child(lambda: respawn(rest))\nready(1)\n",
    "respawning in new sessions, by a grandchild": (
        "above = lambda: child(lambda: respawn(lambda: session(rest))) and os._exit(0)\n"
        "child(lambda: session(above))\nready(1)\n"
    ),
    "two that replace each other": (
        "def one(): respawn(other)\n"
        "def other():\n"
        "    os.setsid()\n"
        "    above = os.getppid()\n"
        "    os.write(tell, b'.')\n"
        "    until(lambda: os.getppid() != above)\n"
        "    child(one)\n"
        "child(one)\nready(1)\n"
    ),
    "generations that are gone before they are seen": (
        "def flee():\n"
        "    os.write(tell, b'.')\n"
        "    while time.monotonic() < LAST and os.fork() == 0: pass\n"
        "    os._exit(0)\n"
        "child(flee)\nready(1)\n"
    ),
    "fleeing generations, a session each": (
        "def flee():\n"
        "    os.write(tell, b'.')\n"
        "    while time.monotonic() < LAST and os.fork() == 0: os.setsid()\n"
        "    os._exit(0)\n"
        "child(lambda: session(flee))\nready(1)\n"
    ),
    "TERM ignored": "signal.signal(15, signal.SIG_IGN)\nchild(lambda: session(rest))\nready(1)\n",
    "a stopped child": (
        "pid = child(lambda: session(rest))\nos.read(told, 1)\nos.kill(pid, signal.SIGSTOP)\n"
        "until(lambda: state(pid) == 'T')\nready(0)\n"
    ),
    "a stopped main process": (
        "child(lambda: session(rest))\nready(1)\nos.kill(os.getpid(), signal.SIGSTOP)\n"
    ),
    "closed descriptors": (
        "def close():\n"
        "    os.write(tell, b'.')\n"
        "    os.closerange(0, 99)\n"
        "    time.sleep(60)\n"
        "child(lambda: session(close))\nready(1)\n"
    ),
    "nothing of the run about it": (
        "def strip():\n"
        "    os.write(tell, b'.')\n"
        "    os.closerange(0, 99)\n"
        "    os.execve('/bin/sleep', ['sleep', '60'], {})\n"
        "pid = child(lambda: session(lambda: child(strip) and os._exit(0)))\nos.waitpid(pid, 0)\nready(1)\n"
    ),
    "below a subreaper of its own": (
        "def reaper():\n"
        "    libc.prctl(36, 1, 0, 0, 0)\n"
        "    os.waitpid(child(lambda: session(lambda: child(rest) and os._exit(0))), 0)\n"
        "    rest()\n"
        "child(reaper)\nready(2)\n"
    ),
    # In state D until its child, which shares its memory and is asleep, ends or executes (vfork(2)).
    "in uninterruptible sleep": (
        "libc.pause.restype = None\n"
        "stack = ctypes.create_string_buffer(65536)\n"
        "top = ctypes.c_void_p((ctypes.addressof(stack) + 65536) & ~15)\n"
        "VM, VFORK = 0x100, 0x4000\n"
        "fork = lambda: libc.clone(libc.pause, top, VM | VFORK | signal.SIGCHLD, None)\n"
        "pid = child(lambda: session(fork))\n"
        "until(lambda: state(pid) == 'D')\nready(0)\n"
    ),
}
# Each generation ends as soon as there is the next one, in some 50 microseconds: no walk sees it.
COMET = """
#include <signal.h>
#include <time.h>
#include <unistd.h>
int main(void) {
    time_t last = time(0) + 60;
    signal(SIGTERM, SIG_IGN);
    if (fork()) return 0;
    while (time(0) < last) {
        if (fork()) _exit(0);
        setsid();
    }
}
"""
# Each fork takes a token from a pipe: a net that no race tears, should nothing else stop it. The run is
# ready, and its limit begins, once the file `go` is there.
BOMB = """
tokens, fill = os.pipe()
os.write(fill, b"t" * 400)
os.set_blocking(tokens, False)
def bomb():
    while time.monotonic() < LAST:
        try: os.read(tokens, 1)
        except BlockingIOError: time.sleep(60)
        try:
            if os.fork() == 0: os.setsid()
        except OSError:
            os.write(fill, b"t")
            time.sleep(.01)
child(bomb)
until(lambda: os.path.exists(go))
ready(0)
"""
