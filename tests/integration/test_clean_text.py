"""Logs, notes and names are data: the bytes that `arctl` prints about hostile ones act on no terminal."""

import json
import os
import pty
import re
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import client
from tests.support import lab as labs
from tests.support.lab import DEADLINE_S, wait_until
from tests.support.shell import Shell, shells

pytestmark = pytest.mark.promise("clean-text")

# Clear the screen, retitle the window, write the clipboard, blink, move the cursor, C1 introducers,
# answerback, overwrite the line, reverse the reading order, hide, tag characters, and bytes that are no text.
EVIL = (
    "\x1b[2J\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[5;41m\x1b[10A\x9b31m\x9d0;c1\x9c\x05\x07\x08\x7f"
    "\u202etxt.exe\u202c\u2066\u200b\ufeff\U000e0041\x1bP1$r\x1b\\"
)
MARK = "evilmark"
BYTES = EVIL.encode() + b"\xff\xfe\x80\x1b(0"
# What may be in text: printable characters and line ends. A terminal may get colours of ours too, no others.
ACTS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e0fff]"
)
OURS = re.compile("\x1b\\[(?:0|1|2|3|3[0-7]|1;3[0-7]|39)?m")
ACTIONS = [
    ["status"],
    ["status", "--compact"],
    ["status", "--last", "9"],
    ["result", "r0001"],
    ["result", "r0002"],
    ["tail", "r0001"],
    ["tail", "r0002"],
    ["tail", "r0002", "--follow"],
    ["wait", "r0002"],
    ["diff", "r0002"],
    ["diff", "r0002", "--against", "r0000"],
    ["report"],
    ["report", "--all"],
    ["history"],
    ["history", "--best", "9"],
    ["queue"],
    ["session", "show"],
    ["seal"],
    ["doctor"],
    ["daemon", "logs"],
    ["daemon", "status"],
]
# Words of the command line itself, and names that it finds nowhere.
MISTAKES = [
    [f"no{EVIL}such"],
    ["status", f"--no{EVIL}"],
    ["status", "--expr", f"x{EVIL}"],
    ["result", f"r{EVIL}"],
    ["diff", "r0002", "--against", EVIL],
    ["init", f"x{EVIL}", "--train", f"./no{EVIL}.py"],
    ["session", "start", "--seconds", "5", "--runner", f"no{EVIL} train.py"],
    ["session", "start", "--seconds", "5", "--constraint", f"{EVIL}<1"],
    ["seal", "--add", f"no{EVIL}"],
]


def clean(data: bytes, why: object) -> str:
    """The text, if nothing in it acts."""
    text = data.decode()  # invalid UTF-8 would raise
    found = [text[max(0, hit.start() - 60) : hit.end() + 20] for hit in ACTS.finditer(text)]
    assert found == [], why
    return text


def script(value: float, *, crash: bool) -> str:
    """It says all of it in its log, in a metric's name, in its note, and as it ends."""
    end = f"raise RuntimeError({MARK + EVIL!r})\n" if crash else ""
    return (
        f"RUN_NOTE = {MARK + EVIL!r}\nimport sys\nwrite = sys.stdout.buffer.write\n"
        f"write({BYTES!r} + b' {MARK}\\n')\n"
        f"write({f'acc{EVIL}uracy: 0.5'.encode()!r} + b'\\n' + {BYTES!r} * 3 + b'\\rfaster {MARK}\\n')\n"
        f"sys.stdout.flush()\nprint('val/loss: {value}')\n# {EVIL} {MARK}\n{end}"
    )


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """Two runs full of it, and an input whose name is."""
    lab = labs.make()
    try:
        with shells(lab) as made:
            (lab.project / f"data{EVIL}").write_text("x")
            made("session", "stop")
            made("seal", "--accept", "--add", f"data{EVIL}")
            made("session", "start", "--seconds", "20", "--settle", "1", "--resume", "continue")
            for value, crash in ((0.9, False), (0.8, True)):
                lab.write(script(value, crash=crash))
                made.end(made.start("run", "--wait", "--note", f"{MARK}{EVIL}"))
            yield made
    finally:
        lab.close()


def printed(shell: Shell, *arguments: str) -> tuple[bytes, bytes]:
    given = {"env": shell.lab.environment, "cwd": shell.lab.project}
    done = client.run(*arguments, timeout=DEADLINE_S, **given)
    return done.stdout, done.stderr


@pytest.mark.parametrize("arguments", ACTIONS, ids=" ".join)
def test_what_a_command_prints_into_a_pipe_acts_on_nothing(shell: Shell, arguments: list[str]) -> None:
    for out in printed(shell, *arguments):
        clean(out, arguments)


@pytest.mark.parametrize("arguments", ACTIONS, ids=" ".join)
def test_the_same_as_json_and_it_is_json(shell: Shell, arguments: list[str]) -> None:
    """Tabs and line ends are within strings, escaped."""
    out, err = printed(shell, *arguments, "--json")
    clean(err, arguments)
    for line in clean(out, arguments).splitlines():
        json.loads(line)


def test_json_decodes_to_what_was_there(shell: Shell) -> None:
    """Escaping loses nothing: a diff shows the script as it is."""
    lines = shell.json("diff", "r0002", "--against", "r0000")["lines"]
    assert any("\x9b" in line and "\u202e" in line for line in lines)


@pytest.mark.parametrize("arguments", MISTAKES, ids=[str(number) for number in range(len(MISTAKES))])
@pytest.mark.parametrize("as_json", [False, True])
def test_what_it_says_of_a_mistake_acts_on_nothing(shell: Shell, arguments: list[str], as_json: bool) -> None:
    out, err = printed(shell, *arguments, *["--json"][:as_json])
    assert clean(out, arguments) == ""
    said = clean(err, arguments)
    assert said
    assert "Traceback" not in said


def test_the_words_arrive_where_they_belong(shell: Shell) -> None:
    """So that the tests above have something to find."""
    for arguments in (["status", "--last", "9"], ["result", "r0002"], ["tail", "r0002"], ["diff", "r0002"]):
        assert MARK.encode() in printed(shell, *arguments)[0], arguments


def terminal(shell: Shell, *arguments: str) -> bytes:
    """What a command writes to a terminal."""
    master, theirs = pty.openpty()
    process = client.popen(
        *arguments,
        env={**shell.lab.environment, "TERM": "xterm-256color", "COLUMNS": "200"},
        cwd=shell.lab.project,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    data = b""
    while select.select([master], [], [], DEADLINE_S)[0]:
        try:
            data += os.read(master, 65536)
        except OSError:  # EIO: the last descriptor of the other side is closed
            break
    process.wait(DEADLINE_S)
    os.close(master)
    return data


@pytest.mark.parametrize("arguments", ACTIONS, ids=" ".join)
def test_a_terminal_gets_our_colours_and_nothing_else(shell: Shell, arguments: list[str]) -> None:
    data = terminal(shell, *arguments).replace(b"\r\n", b"\n")
    clean(OURS.sub("", data.decode()).encode(), arguments)


def test_a_run_that_goes_on_is_followed_cleanly(shell: Shell) -> None:
    """`run --wait`, `wait`, `queue` and `tail --follow`, also as JSON lines, while it says all of that."""
    shell.lab.write(
        script(0.7, crash=False) + f"import os, time\nwhile not os.path.exists({str(shell.go)!r}):\n"
        f"    write({BYTES!r} + b'{MARK}\\r')\n    sys.stdout.flush()\n    time.sleep(0.05)\n"
    )
    said: list[Any] = [shell.start("run", "--wait", "--note", EVIL, text=False)]
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    run_id = shell.json("queue")["runs"][0]["run_id"]
    said += [
        shell.start(*words, text=False)
        for words in (["tail", "-f"], ["tail", "-f", "--json"], ["wait"], ["wait", "--any", "--json"])
    ]
    clean(b"".join(printed(shell, "queue")), "queue")
    shell.release()
    outs = [client.communicate(timeout=DEADLINE_S) for client in said]
    for out, err in outs:
        clean(out, run_id)
        clean(err, run_id)
    pieces = [json.loads(line) for line in outs[2][0].splitlines()]
    assert MARK in outs[1][0].decode()
    assert MARK in "".join(piece["text"] for piece in pieces)
    assert pieces[-1]["state"] == "committed"


def test_the_files_that_people_read_are_as_clean(shell: Shell) -> None:
    """results.tsv and the JSON files, with `cat`; the log alone is as it was written."""
    folder = shell.lab.folder
    for path in (path for kind in ("*.tsv", "best.json", "runs/*/*.json") for path in folder.glob(kind)):
        clean(path.read_bytes().replace(b"\t", b" "), path)
    assert BYTES in (folder / "runs/r0001/run.log").read_bytes()
    clean(Path(shell.json("daemon", "status")["log"]).read_bytes(), "daemon.log")
