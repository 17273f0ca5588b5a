"""`--max-log`: a job may print what it likes; its log takes no more of the disk, and everybody says so."""

import json
import re
from pathlib import Path

import pytest

from ardaemon.core.errors import UsageError
from tests.support.jobs import launched
from tests.support.lab import SLUG, Lab, wait_until

pytestmark = pytest.mark.promise("logs")
MIB = 1 << 20
# 6 MiB of numbered lines, then the result.
CHATTY = """import os
print("the configuration: lr=0.1", flush=True)
{first}
for part in range(6):
    os.write(1, b"".join(b"line %010d\\n" % (part * 65536 + n) for n in range(65536)))
{last}
"""
GONE = "MiB of the log were dropped (--max-log 2MiB)"


def chatty(first: str = "", last: str = "") -> str:
    return CHATTY.format(first=first, last=last)


def taken(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_of_a_long_log_the_head_and_the_tail_are_kept_and_all_who_show_it_say_so(lab: Lab) -> None:
    lab.start().init()
    for size in (0.5, 1e9):
        with pytest.raises(UsageError, match="--max-log"):
            lab.session(max_log=size)
    lab.session(max_log=2)
    lab.write(chatty(last="print('val/loss: 0.5')"))
    result = lab.run()
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5)
    log = lab.folder / f"runs/{result['run_id']}/a1/run.log"
    assert taken(log) <= 2 * MIB
    text = log.read_bytes()
    assert len(text) > 6 * MIB
    assert text.startswith(b"the configuration: lr=0.1\n")
    assert text.endswith(b"line 0000393215\nval/loss: 0.5\n")
    (said,) = lab.wait(result["run_id"])["warnings"]
    assert re.fullmatch(rf"r0001: \d+ {re.escape(GONE)}, from the middle; to keep all: --max-log none", said)
    lines = lab.get("run.tail", run_id=result["run_id"], lines=4)["text"].split("\n")
    assert lines[0].startswith("… ")
    assert GONE in lines[0]
    assert lines[1:] == ["line 0000393214", "line 0000393215", "val/loss: 0.5"]

    lab.write(chatty(first="print('val/loss: 0.1', flush=True)"))
    result = lab.run()
    assert (result["verdict"], result["status"]) == ("revert", "invalid"), "it may not be its last value"
    assert GONE in result["reason"]

    lab.get("session.set", given={"max_log": None})
    lab.write(chatty(first="print('val/loss: 0.1', flush=True)", last="# all is kept"))
    assert lab.run()["verdict"] == "advance"
    assert lab.wait(None)["warnings"] == []


def test_a_shim_that_is_killed_as_it_makes_a_hole_leaves_every_line_and_the_run_is_judged_once(
    lab: Lab,
) -> None:
    log = lab.project / f".autoresearch/{SLUG}/runs/r0001/a1/run.log"
    at = ["shim", "punch", f"~/{log.relative_to(lab.root)}", 1]
    plan = {"at": at, "root": str(lab.root), "do": "kill", "flag": str(lab.root / "flag")}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    lab.init()
    lab.session(max_log=2)
    lab.write(chatty(last="print('val/loss: 0.5')"))
    result = lab.run()
    assert (lab.root / "flag").exists()
    assert result["status"] == "crash", "nobody saw how it ended"
    lines = log.read_bytes().splitlines()
    assert lines[1:-1] == [b"line %010d" % number for number in range(len(lines) - 2)][: len(lines) - 2]
    assert b"\0" not in log.read_bytes()
    assert len((lab.folder / "results.tsv").read_text().splitlines()) == 2


def test_who_follows_is_told_what_was_dropped_before_it_could_be_sent(lab: Lab) -> None:
    lab.ready(max_log=2)
    go = lab.root / "go"
    wait = f"import time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    run_id = launched(lab, chatty(last=f"{wait}\nprint('val/loss: 0.5')"))
    log = lab.folder / f"runs/{run_id}/a1/run.log"
    lab.kill()  # the shim needs nobody
    wait_until(lambda: log.stat().st_size > 6 * MIB and taken(log) <= 2 * MIB, "a log that is kept small")
    lab.start()
    client = lab.rpc()
    client.send_raw(request(lab, run_id))
    go.touch()
    pieces = []
    while "method" in (message := client.receive()):
        pieces.append(message["params"]["text"])
    text = "".join(pieces)
    assert text.startswith("the configuration: lr=0.1\nline 0000000000\n")
    assert f"{GONE} …\n" in text
    assert text.endswith("val/loss: 0.5\n")
    assert len(text) < 3 * MIB


def request(lab: Lab, run_id: str) -> bytes:
    params = {"project": str(lab.project), "run_id": run_id, "follow": True, "offset": 0}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "run.tail", "params": params}).encode() + b"\n"
