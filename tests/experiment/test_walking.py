"""Where a script looks through the folders beside it, which are links beside a run's copy."""

from ardaemon.experiment.walking import notes, walks
from tests.support.every import every

HEAD = "import os, glob, pathlib\nfrom pathlib import Path\nHERE = Path(__file__).resolve().parent\n"


@every(
    "line",
    [
        "x = HERE.rglob('*.png')",
        "x = sorted(Path(__file__).parent.rglob('*'))",
        "for path in pathlib.Path(__file__).parents[0].rglob('*.yaml'): pass",
        "x = HERE.glob('**/*.png')",
        "x = os.walk(HERE)",
        "for a, b, c in os.walk(os.path.dirname(os.path.abspath(__file__))): pass",
        "x = os.fwalk(os.path.join(os.path.dirname(__file__), '..'))",
        "x = (HERE / '..').rglob('*')",
        "x = HERE.parent.rglob('*')",
        "ROOT = str(HERE)\nx = os.walk(ROOT)",
    ],
)
def test_a_look_through_the_own_folder_is_seen_however_it_is_written(line: str) -> None:
    found = walks((HEAD + line + "\n").encode())
    assert found is not None
    assert found.line == 4 + line.count("\n")


@every(
    "line",
    [
        "x = (HERE / 'data').rglob('*.png')",  # the folder itself may be a link
        "x = HERE.joinpath('data').rglob('*')",
        "x = os.walk(os.path.join(HERE, 'data'))",
        "x = HERE.glob('*.png')",
        "x = HERE.glob('data/*.png')",
        "x = glob.glob(f'{HERE}/**/*.png', recursive=True)",  # follows links
        "x = os.walk(HERE, followlinks=True)",
        "x = HERE.rglob('*', recurse_symlinks=True)",
        "x = os.walk('data')",
        "x = Path('data').rglob('*')",
        "x = ast.walk(HERE)",
        "x = '''HERE.rglob('*')'''",
        "def broken(",
    ],
)
def test_no_other_look_is(line: str) -> None:
    assert walks((HEAD + line + "\n").encode()) is None


def test_the_note_names_the_line_and_both_ways() -> None:
    source = (HEAD + "x = HERE.rglob('*')\n").encode()
    [note] = notes(source, "train.py", "261122-x")
    assert "train.py line 4" in note
    assert "(HERE.rglob('*'))" in note
    assert note.endswith(
        'Path(__file__).parent / "data"; or, to run it in its own place:'
        " arctl session start --seconds 600 --exec live --expr 261122-x"
    )
    [outside] = notes(source, "/elsewhere/train.py", "261122-x")
    assert "--exec live" not in outside
    assert notes(b"print(1)\n", "train.py", "261122-x") == []
