"""The recipes of docs/notifications.md, as they are printed there, with stand-ins for what they call."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.page import DOCS

RECIPES = re.findall(r"```sh\n(.*?)```", (DOCS / "notifications.md").read_text(), re.DOTALL)
PROGRAMS = ("notify-send", "curl", "curl", "mail")  # what each of them calls
TEXT = '--help "a" $HOME `id` \\ <!channel> & ü'  # what a job may have put there
STAND_IN = '#!/bin/sh\nfor word; do echo "$word"; done > {called}\n[ -t 0 ] || cat > {stdin}\n'


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq, as the recipes do")
@pytest.mark.parametrize(
    ("recipe", "program"), [*zip(RECIPES, PROGRAMS, strict=True)], ids=["desktop", "ntfy", "slack", "mail"]
)
def test_a_recipe_hands_the_text_on_and_nothing_in_it_acts(tmp_path: Path, recipe: str, program: str) -> None:
    called, stdin = tmp_path / "called", tmp_path / "stdin"
    for name, text in ((program, STAND_IN.format(called=called, stdin=stdin)), ("notify", recipe)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".config/ardaemon").mkdir(parents=True)
    (tmp_path / ".config/ardaemon/slack-webhook").write_text("https://hooks.example\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    event = json.dumps({"event": "advance", "text": TEXT})
    subprocess.run([tmp_path / "notify"], input=event, env=environment, text=True, check=True)
    words, body = called.read_text().splitlines(), stdin.read_text() if stdin.exists() else ""
    match program, words[-1]:
        case "notify-send", _:
            assert words[-2:] == ["--", TEXT]
        case "mail", _:
            assert words == ["-s", TEXT, "you@example.org"]
        case "curl", "https://hooks.example":
            assert json.loads(body)["text"] == f":tada: {html.escape(TEXT, quote=False)}"
        case _:
            assert body == f"{TEXT}\n"
