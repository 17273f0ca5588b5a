"""Imports point downward, and what must start fast or survive alone stays light (DESIGN §3)."""

import pytest

from tests.support.imports import (
    ROOT,
    Imports,
    core_imports,
    filled_packages,
    heavy_imports,
    importers,
    read_tree,
)
from tests.support.rooms import (
    JOB,
    MAY_IMPORT,
    arrows,
    circles,
    module_graph,
    room_graph,
    rooms_of,
    upward_arrows,
)

# The client imports these at start: nothing outside the standard library, however indirectly.
LIGHT = tuple(
    f"ardaemon.core.{name}"
    for name in "errors layout metric_names owner places priority private project size text".split()
)
# These must work when nothing else does: the standard library alone, and helpers that need no more.
ALONE = ("ardaemon.shim.supervisor", "ardaemon.host.durable")
HELPERS = (
    *(
        "ardaemon.shim",
        "ardaemon.host",
        "ardaemon.core.files",
        "ardaemon.core.interrupting",
        "ardaemon.core.file_kinds",
        "ardaemon.core.owner",
        "ardaemon.core.shell_state",
    ),
    # Loaded only where a file is another user's: to ask whether he is trusted.
    *(f"ardaemon.core.{name}" for name in "trust config_text config_faults places errors toml text".split()),
)
WORKER = "ardaemon.gpus.nvml_worker"
SOURCE_WORKER = "ardaemon.source.worker"
NOISE = tuple(f"ardaemon.judging.noise.{name}" for name in ("decide", "best", "line"))
LIGHT = ("ardaemon.core.line", "ardaemon.core.text", "ardaemon.core.interval")
ONE_MODULE = ("psutil", "pynvml", "watchfiles")


@pytest.fixture(scope="module")
def tree() -> Imports:
    return read_tree(ROOT)


def test_imports_point_downward(tree: Imports) -> None:
    assert upward_arrows(tree) == {}


def test_no_rooms_and_no_files_import_each_other_in_a_circle(tree: Imports) -> None:
    assert circles(room_graph(tree)) == []
    assert circles(module_graph(tree)) == []


def test_every_room_has_a_rule_and_every_rule_a_room(tree: Imports) -> None:
    assert set(rooms_of(tree).values()) == MAY_IMPORT.keys()


def test_the_rules_themselves_lead_downward() -> None:
    """Whatever the rules allow, no circle comes of it."""
    assert circles(MAY_IMPORT) == []


def test_nobody_imports_what_the_training_job_imports(tree: Imports) -> None:
    assert [arrow for arrow in arrows(tree) if JOB in arrow] == []


def test_core_needs_msgspec_and_nothing_else(tree: Imports) -> None:
    assert core_imports(tree) == []


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_client_imports_at_start_is_light(tree: Imports, module: str) -> None:
    assert heavy_imports(tree, module) == []


@pytest.mark.parametrize("module", ALONE)
def test_the_shim_and_the_durable_write_stand_alone(tree: Imports, module: str) -> None:
    assert heavy_imports(tree, module, HELPERS) == []


def test_the_nvml_worker_needs_its_binding_and_nothing_else(tree: Imports) -> None:
    assert heavy_imports(tree, WORKER, ("ardaemon.gpus",)) == [f"{WORKER} imports pynvml"]


def test_the_source_worker_needs_the_standard_library_alone(tree: Imports) -> None:
    assert heavy_imports(tree, SOURCE_WORKER, ("ardaemon.source", "ardaemon.core.text")) == []


@pytest.mark.parametrize("module", NOISE)
def test_the_noise_aware_verdict_needs_the_standard_library_alone(tree: Imports, module: str) -> None:
    assert heavy_imports(tree, module, ("ardaemon.judging.noise", *LIGHT)) == []


@pytest.mark.parametrize("library", ONE_MODULE)
def test_a_library_with_native_code_is_imported_in_one_module(tree: Imports, library: str) -> None:
    assert len(importers(tree, library)) == 1, importers(tree, library)


def test_textual_is_loaded_by_the_screen_of_watch_alone(tree: Imports) -> None:
    """It takes longer to load than all else: not even the lines of `arctl watch` load it."""
    screen = importers(tree, "textual")
    assert {module.rpartition(".")[0] for module in screen} == {"arctl.watch"}
    others = {module: targets for module, targets in tree.items() if module not in screen}
    assert [m for m, targets in others.items() if targets & {"arctl.watch.app"}] == ["arctl.commands.watch"]
    assert heavy_imports(tree, "arctl.watch.plain") == ["arctl.base imports click"]


def test_every_init_is_empty() -> None:
    assert filled_packages(ROOT) == []
