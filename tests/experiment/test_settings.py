"""Settings as they are given: what a shell leaves as it is."""

from typing import Any

import pytest

from arctl.commands.init import init
from ardaemon.core.protocol import SomeSettings
from ardaemon.experiment.settings import inherit


@pytest.mark.parametrize("name", ["metric_path", "checkpoint_glob"])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("~/logs/*.csv", "/home/me/logs/*.csv"),
        ("{run_dir}/~/x", "{run_dir}/~/x"),
        ("a~b", "a~b"),
        (None, None),
    ],
)
def test_the_home_folder_may_be_written_as_a_tilde(
    monkeypatch: pytest.MonkeyPatch, name: str, given: Any, wanted: Any
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    settings, _ = inherit(None, SomeSettings(seconds=60, **{name: given}), lambda: "python3 train.py")
    assert getattr(settings, name) == wanted


def test_so_it_may_in_the_options_of_init(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "train.py").write_text("pass\n")
    options = ["x", "--train=~/train.py", "--from=~", "--seal=~/data"]
    with init.make_context("init", options) as context:
        given = context.params
    home = str(tmp_path)
    assert (given["train"], given["source"], given["seal"]) == (f"{home}/train.py", home, (f"{home}/data",))
