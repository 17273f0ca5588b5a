"""Every point of the story at which it can be cut: recorded once, then each cut in a world of its own."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ardaemon.core.errors import ArdaemonError
from tests.support import lab as labs
from tests.support.lab import Lab, wait_until
from tests.support.promises import FULL
from tests.torture.story import Story, pictured

PROGRAM = "tests.support.faulty"
# How many cgroups are made after the last launch is a matter of timing.
CGROUPS = 6
CHUNKS = 8  # the points are dealt out to so many tests, so that every core has work to its end
BOOT, BEGIN = -1, 0  # the phases before the first run: until the project is touched, and from then on
OF_A_RUN = re.compile(r"\br(\d{4})\b")
PROMOTED = "/.ckpt/"


@dataclass(frozen=True)
class Point:
    """The NTH operation of that name on that subject, by the daemon or a shim."""

    who: str
    name: str
    subject: str
    nth: int
    phase: int = field(default=BEGIN, compare=False)  # the number of the run at work, or BOOT, or BEGIN
    since: int = field(default=BEGIN, compare=False)  # the phase in which such an operation came first

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
    since: dict[tuple[str, str, str], int] = {}
    found, phase = [], BOOT
    for facts in operations:
        key = (facts["who"], facts["name"], facts["subject"])
        phase = max(phase, _phase_of(facts["subject"]))
        seen[key] += 1
        since.setdefault(key, phase)
        if facts["name"] != "cgroup" or seen[key] <= CGROUPS:
            found.append(Point(*key, seen[key], phase, since[key]))
    return found


def _phase_of(subject: str) -> int:
    """The phase that an operation on this shows to have begun."""
    return max([BEGIN if "~/p/" in subject else BOOT, *map(int, OF_A_RUN.findall(subject))])


Check = Callable[[Lab, Story, Point], None]
Record = Callable[[str, object], None]


def none_wrong(
    mine: list[Point], do: str | int, check: Check, record: Record, kind: type[Story] = Story
) -> None:
    """Cut the story at each of these points; all that went wrong, at once."""
    record("cases", len(mine))
    groups = [[point] for point in mine] if FULL else together(mine)
    wrong = [said for group in groups for said in cut(group, do, check, kind)]
    record("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} at {len(mine)} points:\n" + "\n".join(wrong)


def together(mine: list[Point]) -> list[list[Point]]:
    """Those points that one telling can be cut at, one after the other: as few tellings as that gives.

    The operations of a later point come first in a later phase: those that a daemon repeats as it recovers
    are none of them, so its NTH is the same as alone. And the folder is then what an undisturbed one is, or
    the check at the end fails. At full size each point has a telling of its own.
    """
    groups: list[list[Point]] = []
    for point in sorted(mine, key=lambda point: point.phase):
        fitting = (group for group in groups if _goes_with(group[-1], point))
        if (group := next(fitting, None)) is None:
            groups.append([point])
        else:
            group.append(point)
    return groups


def _goes_with(former: Point, point: Point) -> bool:
    """A checkpoint that is not promoted is an end of its own: nothing else is cut in that telling."""
    alone = PROMOTED in former.subject + point.subject
    return not alone and former.phase < point.since


def cut(group: list[Point], do: str | int, check: Check, kind: type[Story] = Story) -> list[str]:
    """Tell the story in a new world, cut at these points; what went wrong.

    What cannot be met or goes wrong in company is tried alone, which tells the point that is to blame.
    """
    with world() as lab:
        plans = [planned(lab, point, do, number) for number, point in enumerate(group)]
        said, alone = [], group
        try:
            story, met = _told(lab, plans, kind)
            assert met or len(group) > 1, "the point was not met"
            check(lab, story, group[0])
            alone = [point for point, plan in zip(group, plans, strict=True) if plan["flag"] not in met]
        except (AssertionError, OSError, ValueError, ArdaemonError) as error:  # a torn file is no JSON
            names = " and ".join(map(str, group))
            said.append(f"{names} ({do}): {error} {error.__cause__ or ''}\n{_stderr(lab)}")
    if len(group) > 1:
        said += [one for point in alone for one in cut([point], do, check, kind)]
    return said


def planned(lab: Lab, point: Point, do: str | int, number: int = 0) -> dict[str, Any]:
    """What is to happen at that point, as faulty.py reads it; `reached` is there once it has."""
    return {
        "at": [point.who, point.name, point.subject, point.nth],
        "root": str(lab.root),
        "do": do,
        "flag": str(lab.root / f"reached{number or ''}"),
    }


def _told(lab: Lab, plans: list[dict[str, Any]], kind: type[Story]) -> tuple[Story, set[str]]:
    """The story, and the flags of those plans that have struck."""
    met: set[str] = set()

    def mend() -> None:
        for flag in (Path(plan["flag"]) for plan in plans):
            if flag.exists():
                met.add(str(flag))
                flag.rename(flag.with_name(f"mended-{flag.name}"))

    lab.environment["FAULT_PLAN"] = json.dumps({"faults": plans})
    story = kind(lab, mend)
    try:
        lab.start(PROGRAM)
    except AssertionError:
        assert any(os.path.exists(plan["flag"]) for plan in plans), "the daemon did not start"
    story.tell()
    mend()
    if isinstance(plans[0]["do"], int):
        formers_gone(lab, mend)
        lab.stop()  # and what is swept at a start goes with the next one
    story.settled()
    return story, met


def formers_gone(lab: Lab, mend: Callable[[], None]) -> None:
    """Wait until the former bests are removed; what strikes only now is mended too, as an audit's point."""

    def gone() -> bool:
        mend()
        return not _formers(lab)

    wait_until(gone, "what could not be removed to be gone after another try")


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
