"""Every point of the story at which it can be cut: recorded once, then each cut in a world of its own."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ardaemon.core.errors import ArdaemonError
from tests.support import lab as labs
from tests.support.lab import Lab, wait_until
from tests.torture.story import Story, pictured

PROGRAM = "tests.support.faulty"
# How many cgroups are made after the last launch is a matter of timing.
CGROUPS = 6
CHUNKS = 8  # the points are dealt out to so many tests, so that every core has work to its end


@dataclass(frozen=True)
class Point:
    """The NTH operation of that name on that subject, by the daemon or a shim."""

    who: str
    name: str
    subject: str
    nth: int

    def __str__(self) -> str:
        return f"{self.who}: {self.name} {self.subject} #{self.nth}"


@contextmanager
def world() -> Iterator[Lab]:
    """A lab of its own for one case, whose daemons can be struck; nothing of it is left."""
    lab = labs.make()
    lab.program = PROGRAM
    try:
        yield lab
    finally:
        lab.close()


def recorded(lab: Lab, kind: type[Story] = Story) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The undisturbed story: its operations in their order, and the picture that it leaves."""
    log = lab.root / "operations"
    story = kind(lab)
    lab.start(PROGRAM, FAULT_PLAN=json.dumps({"record": str(log), "root": str(lab.root)}))
    story.tell().settled()
    return [json.loads(line) for line in log.read_text().splitlines()], pictured(lab)


def points(operations: Iterable[dict[str, Any]]) -> list[Point]:
    """The operations as points that can be met again."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for facts in operations:
        key = (facts["who"], facts["name"], facts["subject"])
        seen[key] += 1
        if facts["name"] != "cgroup" or seen[key] <= CGROUPS:
            found.append(Point(*key, seen[key]))
    return found


Check = Callable[[Lab, Story, Point], None]
Record = Callable[[str, object], None]


def none_wrong(
    mine: list[Point], do: str | int, check: Check, record: Record, kind: type[Story] = Story
) -> None:
    """Cut the story at each of these points; all that went wrong, at once."""
    record("cases", len(mine))
    wrong = [said for point in mine if (said := cut(point, do, check, kind)) is not None]
    record("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} of {len(mine)}:\n" + "\n".join(wrong)


def cut(point: Point, do: str | int, check: Check, kind: type[Story] = Story) -> str | None:
    """Tell the story in a new world, cut at `point`; what went wrong, or None."""
    with world() as lab:
        plan = planned(lab, point, do)
        try:
            story = _told(lab, plan, kind)
            check(lab, story, point)
        except (AssertionError, OSError, ValueError, ArdaemonError) as error:  # a torn file is no JSON
            return f"{point} ({do}): {error} {error.__cause__ or ''}\n{_stderr(lab)}"
        return None


def planned(lab: Lab, point: Point, do: str | int) -> dict[str, Any]:
    """What is to happen at that point, as faulty.py reads it; `reached` is there once it has."""
    return {
        "at": [point.who, point.name, point.subject, point.nth],
        "root": str(lab.root),
        "do": do,
        "flag": str(lab.root / "reached"),
    }


def _told(lab: Lab, plan: dict[str, Any], kind: type[Story]) -> Story:
    reached: list[bool] = []
    flag = Path(plan["flag"])

    def mend() -> None:
        if flag.exists():
            reached.append(True)
            flag.rename(flag.with_name("mended"))

    lab.environment["FAULT_PLAN"] = json.dumps(plan)
    story = kind(lab, mend)
    try:
        lab.start(PROGRAM)
    except AssertionError:
        assert flag.exists(), "the daemon did not start"
    story.tell()
    mend()
    if isinstance(plan["do"], int):
        wait_until(lambda: not _formers(lab), "what could not be removed to be gone after another try")
        lab.stop()  # and what is swept at a start goes with the next one
    story.settled()
    assert reached, "the point was not met"
    return story


def _formers(lab: Lab) -> list[str]:
    """What is in .ckpt/ and is not the best's."""
    best = lab.folder / "best_ckpt"
    keep = os.path.basename(os.readlink(best)) if best.is_symlink() else ""
    found = os.listdir(lab.folder / ".ckpt") if (lab.folder / ".ckpt").exists() else []
    return [name for name in found if name != keep]


def _stderr(lab: Lab) -> str:
    return (lab.root / "stderr").read_text()[-2000:]


# A submit whose best cannot be put back (a full disk) is acknowledged with a warning: then train.py held the
# run's own version when that was judged, and so these say "kept" instead of "updated".
WARNED_OF = ("stood", "train_py")
VIEW = (
    "/curve.jsonl"  # for people alone: a disk that refuses it gets no second chance, and holds up no verdict
)


def without(value: Any, names: tuple[str, ...]) -> Any:
    """The same, less every field of these names."""
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in value.items() if key not in names}
    return tuple(without(item, names) for item in value) if isinstance(value, tuple) else value


def undisturbed(picture: dict[str, Any], but_for: tuple[str, ...] = ()) -> Check:
    """The check that everything is as if nothing had happened, but for the fields of that name."""

    def check(lab: Lab, story: Story, _point: Point) -> None:
        found, wanted = without(pictured(lab), but_for), without(picture, but_for)
        names = sorted(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
        names = [n for n in names if not (but_for and n.endswith(VIEW))]
        different = [f"{n}: {found.get(n)!r} instead of {wanted.get(n)!r}" for n in names]
        assert not different, "\n".join(different[:6])
        assert len(set(story.runs.values())) == len(story.runs), "a run id was used twice"

    return check
