"""The rooms and their arrows, on small trees that break one rule each; and what `make rooms` says of them."""

from pathlib import Path

import pytest

from tests import rooms
from tests.support.every import every
from tests.support.imports import plant
from tests.support.rooms import arrows, circles, levels, module_graph, reduced, room_graph, upward_arrows


@every(
    "file, text, other",
    [
        ("ardaemon/core/a.py", "import ardaemon.host.b", "ardaemon/host/b.py"),
        ("ardaemon/judging/a.py", "from ardaemon.host.b import c", "ardaemon/host/b.py"),
        ("ardaemon/shim/a.py", "import ardaemon.gpus.b", "ardaemon/gpus/b.py"),
        ("ardaemon/host/a.py", "from ardaemon.shim import b", "ardaemon/shim/b.py"),
        ("ardaemon/measuring/a.py", "from ardaemon.gpus import b", "ardaemon/gpus/b.py"),
        ("ardaemon/metrics/a.py", "from ardaemon.shim import b", "ardaemon/shim/b.py"),
        ("ardaemon/metrics/formats/a.py", "from ardaemon.metrics import b", "ardaemon/metrics/b.py"),
        ("ardaemon/metrics/formats/a.py", "from ..b import c", "ardaemon/metrics/b.py"),
        ("ardaemon/pipeline/a.py", "import ardaemon.metrics.formats.b", "ardaemon/metrics/formats/b.py"),
        ("ardaemon/experiment/a.py", "from ardaemon.pipeline.b import c", "ardaemon/pipeline/b.py"),
        ("ardaemon/checkpoints/a.py", "from ardaemon.experiment.b import c", "ardaemon/experiment/b.py"),
        ("ardaemon/engines/a.py", "from ardaemon.pipeline.b import c", "ardaemon/pipeline/b.py"),
        ("ardaemon/engines/a.py", "from ardaemon.engines.local import b", "ardaemon/engines/local/b.py"),
        ("ardaemon/pipeline/a.py", "from ardaemon.engines.local import b", "ardaemon/engines/local/b.py"),
        ("ardaemon/pipeline/a.py", "def f():\n    import ardaemon.rpc.server", "ardaemon/rpc/server.py"),
        ("ardaemon/pipeline/a.py", "from ardaemon.queue import b", "ardaemon/queue/b.py"),
        ("ardaemon/queue/a.py", "from ardaemon.machine import b", "ardaemon/machine/b.py"),
        ("ardaemon/queue/a.py", "from ardaemon.experiment import b", "ardaemon/experiment/b.py"),
        ("ardaemon/machine/a.py", "from ardaemon.handlers import b", "ardaemon/handlers/b.py"),
        ("ardaemon/rpc/a.py", "from ardaemon.handlers import b", "ardaemon/handlers/b.py"),
        ("ardaemon/host/a.py", "from ..engines import b", "ardaemon/engines/b.py"),
        ("ardaemon/host/a.py", "if True:\n    from ardaemon.metrics.b import c", "ardaemon/metrics/b.py"),
        ("ardaemon/host/a.py", "from ardaemon.handlers.b import c", "ardaemon/handlers/b.py"),
        ("ardaemon/handlers/a.py", "from ardaemon import journal", "ardaemon/journal.py"),
        ("ardaemon/daemon.py", "from arctl import client", "arctl/client.py"),
        ("arctl/a.py", "import ardaemon.daemon", "ardaemon/daemon.py"),
        ("arctl/a.py", "from arctl.render import b", "arctl/render/b.py"),
        ("arctl/render/a.py", "from arctl.commands import b", "arctl/commands/b.py"),
        ("arctl/commands/a.py", "from ardaemon.host.b import c", "ardaemon/host/b.py"),
        ("ardaemon/other/a.py", "from ardaemon.host.b import c", "ardaemon/host/b.py"),  # has no rule
        ("ardaemon/pipeline/a.py", "from ardaemon.job.auto import b", "ardaemon/job/auto/b.py"),
        ("ardaemon/job/capture/a.py", "import ardaemon.core.z", "ardaemon/core/z.py"),
    ],
)
def test_an_upward_import_is_found(tmp_path: Path, file: str, text: str, other: str) -> None:
    tree = plant(tmp_path, {file: text, other: "", "ardaemon/core/z.py": ""})
    assert len(upward_arrows(tree)) == 1


def test_a_downward_import_is_not_reported(tmp_path: Path) -> None:
    files = {
        "ardaemon/core/a.py": "import json",
        "ardaemon/host/b.py": "import ardaemon\nfrom ardaemon.core import a",
        "ardaemon/metrics/formats/f.py": "from ardaemon.core import a",
        "ardaemon/metrics/m.py": "from ardaemon.metrics.formats import f",
        "ardaemon/engines/base.py": "import ardaemon.host.b",
        "ardaemon/engines/local/e.py": "from ardaemon.engines import base",
        "ardaemon/pipeline/c.py": "import ardaemon.host.b, ardaemon.core.a, ardaemon.metrics.m",
        "ardaemon/daemon.py": "import ardaemon.pipeline.c, ardaemon.handlers.d, ardaemon.engines.local.e",
        "ardaemon/handlers/d.py": "import ardaemon.host.b",
        "arctl/cli.py": "from ardaemon.core.a import x\nfrom arctl import client",
        "arctl/client.py": "",
        "arctl/render/line.py": "from arctl import client",
        "arctl/commands/run.py": "from arctl.render import line",
    }
    assert upward_arrows(plant(tmp_path, files)) == {}


def test_an_arrow_names_the_imports_that_make_it(tmp_path: Path) -> None:
    tree = plant(
        tmp_path, {"ardaemon/host/a.py": "from ardaemon.metrics import b", "ardaemon/metrics/b.py": ""}
    )
    arrow = ("ardaemon/host", "ardaemon/metrics")
    assert arrows(tree) == {arrow: ["ardaemon.host.a imports ardaemon.metrics.b"]}


def test_a_circle_of_rooms_is_found_though_no_files_are_in_one(tmp_path: Path) -> None:
    files = {
        "ardaemon/host/a.py": "import ardaemon.shim.b",
        "ardaemon/shim/b.py": "",
        "ardaemon/shim/c.py": "import ardaemon.host.d",
        "ardaemon/host/d.py": "",
    }
    tree = plant(tmp_path, files)
    assert circles(room_graph(tree)) == [["ardaemon/host", "ardaemon/shim"]]
    assert circles(module_graph(tree)) == []


def test_a_circle_of_files_in_one_room_is_found(tmp_path: Path) -> None:
    files = {
        "arctl/a.py": "from arctl import b",
        "arctl/b.py": "def f():\n    import arctl.c",
        "arctl/c.py": "import arctl.a",
        "arctl/d.py": "import arctl.a",
    }
    assert circles(module_graph(plant(tmp_path, files))) == [["arctl.a", "arctl.b", "arctl.c"]]


def test_a_file_that_imports_itself_is_a_circle(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"arctl/a.py": "from arctl import a as itself"})
    assert circles(module_graph(tree)) == [["arctl.a"]]


def test_a_rooms_level_is_one_above_the_highest_that_it_imports_and_a_circle_is_one_room() -> None:
    graph = {"a": "bd", "b": "cd", "c": "be", "d": "e", "e": ""}
    assert levels({node: frozenset(to) for node, to in graph.items()}) == {
        "a": 4,
        "b": 3,
        "c": 3,
        "d": 2,
        "e": 1,
    }


def test_an_arrow_is_left_out_of_the_picture_only_where_a_longer_way_leads() -> None:
    graph = {"a": "bcd", "b": "d", "c": "", "d": "e", "e": ""}
    short = reduced({node: frozenset(to) for node, to in graph.items()})
    assert {node: "".join(sorted(to)) for node, to in short.items()} == graph | {"a": "bc"}


def test_make_rooms_counts_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"ardaemon/core/a.py": "X = 1\n" * 30, "ardaemon/host/b.py": "import ardaemon.core.a\n" * 10}
    plant(tmp_path, files)
    assert rooms.main(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        "3 rooms on 2 levels of imports, 1 arrows between rooms;"
        " circles: 0 of rooms, 0 of files; upward arrows: 0"
    )
    assert [line.split() for line in lines[1:3]] == [
        ["2", "ardaemon/host", "1", "10", "25.0%", "core"],
        ["1", "ardaemon", "0", "0", "0.0%", "–"],
    ]


def test_make_rooms_measures_a_function_without_its_docstring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        'class A:\n    async def f(self):\n        """One\n\n        two."""\n        return [\n        ]\n'
    )
    plant(tmp_path, {"ardaemon/core/a.py": text})
    rooms.main(tmp_path)
    assert "     3  A.f (ardaemon/core/a.py:2)" in capsys.readouterr().out.splitlines()


def test_make_rooms_fails_by_name_where_an_arrow_runs_upward(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path, {"ardaemon/host/a.py": "import ardaemon.queue.b", "ardaemon/queue/b.py": ""})
    assert rooms.main(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "upward arrow: ardaemon/host → ardaemon/queue",
        "  ardaemon.host.a imports ardaemon.queue.b",
    ]


def test_make_rooms_fails_by_name_where_there_is_a_circle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"arctl/a.py": "import arctl.b", "arctl/b.py": "import arctl.a"}
    plant(tmp_path, files)
    assert rooms.main(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[0] == "circle of files: arctl.a ↔ arctl.b"


def test_make_rooms_fits_the_columns_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    rooms.main()
    assert max(map(len, capsys.readouterr().out.splitlines())) <= rooms.WIDTH
