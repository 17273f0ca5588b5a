"""Where a script climbs from its own file to what a run's copy would not find."""

import pytest

from ardaemon.core.literals import WHOLE_MAX
from ardaemon.experiment.climbing import allowed, climbs, notes
from tests.support.every import every


@every(
    "line, levels",
    [
        ("x = Path(__file__).parent / 'data'", 1),
        ("x = os.path.join(os.path.dirname(__file__), 'data')", 1),
        ("x = Path(__file__).resolve().parents[0]", 1),
        ("x = Path(__file__).with_name('data')", 0),
        ("x = Path(__file__).resolve().parents[1] / 'data'", 2),
        ("x = Path(__file__).absolute().parent.parent", 2),
        ("x = pathlib.Path(__file__).parents[2]", 3),
        ("x = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))", 2),
        ("x = os.path.join(os.path.dirname(__file__), '..', '..', 'data')", 3),
        ("x = os.path.join(os.path.dirname(__file__), '../data')", 2),
        ("x = os.path.join(os.path.dirname(__file__), os.pardir)", 2),
        ("x = Path(__file__).parent / '../../data'", 3),
        ("x = Path(__file__).parent.joinpath('..')", 2),
        ("x = Path(sys.argv[0]).resolve().parent.parent", 2),
        ("here = Path(__file__).parent\ndef f():\n    return here.parent / 'data'", 2),
        ("HERE: Path = Path(__file__).parent\nROOT = HERE.parent", 2),
        ("sys.path.insert(0, str(Path(__file__).resolve().parents[1]))", 2),
        ("x = Path('a').parent.parent / '..'", 0),
        ("x = Path.cwd().parent", 0),
    ],
)
def test_a_climb_is_seen_however_it_is_written(line: str, levels: int) -> None:
    source = f"import os, sys, pathlib\nfrom pathlib import Path\n{line}\n".encode()
    seen = [most for most in range(5) if climbs(source, most) is not None]
    assert len(seen) == levels
    if levels > 1 and (climb := climbs(source, 1)) is not None:
        assert climb.line == 3 + line.count("\n")


@pytest.mark.parametrize(
    ("origin", "levels"),
    [("train.py", 1), ("src/train.py", 2), ("a/b/c.py", 3), ("/x/y/train.py", 1), (None, 1)],
)
def test_a_script_may_climb_up_to_the_projects_root(origin: str | None, levels: int) -> None:
    assert allowed(origin) == levels


def test_the_note_names_the_line_and_the_way() -> None:
    source = b"from pathlib import Path\nDATA = Path(__file__).parents[1] / 'data'\n"
    assert notes(source, "src/train.py", "261122-x") == []
    [note] = notes(source, "train.py", "261122-x")
    assert "line 2" in note
    assert "Path(__file__).parents[1]" in note
    assert note.endswith("arctl session start --seconds 600 --exec live --expr 261122-x")
    [outside] = notes(source, "/elsewhere/train.py", "261122-x")
    assert "--exec live" not in outside, "the daemon runs nothing in a folder outside the project"


@pytest.mark.parametrize(
    "source", [b"def broken(__file__", b"\xff__file__", b"#__file__\n" * WHOLE_MAX, b"x = '\\d' + __file__"]
)
def test_a_source_that_cannot_be_read_says_nothing(source: bytes) -> None:
    assert climbs(source, 0) is None
