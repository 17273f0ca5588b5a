"""TensorBoard's event files, read as they lie; nothing of TensorBoard is needed for it.

A tag is named as it was written. Where several folders hold event files (`add_scalars`, `add_hparams` and
Keras make one for each curve), it may be named with its folder too, from the folder above all of them on:
`loss_val/loss`. Where two of them have the same tag, the outermost folder's has the short name; where there
is no such one, only the long names tell them apart, and the short one is an error.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core.config import NAME_MAX
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.formats.events import Decoder
from ardaemon.metrics.formats.tfrecord import RECORD_MAX
from ardaemon.metrics.logdir import Folder
from ardaemon.metrics.own import RUN_DIR, Mine
from ardaemon.metrics.series import Series

# Where scripts write that were not told where: SummaryWriter, Lightning, Keras' guide, Hydra. Nothing there
# is bound to a run, so that they are only looked at to say what is to be done.
USUAL = ("runs", "lightning_logs", "tb_logs", "logs", "tensorboard", "outputs", "multirun")
_SHOWN = 3  # names, or problems, in one line

Place = tuple[str, str]  # a folder as names have it ("" for the outermost), and a tag in it


def environment(run_folder: Path, _: str) -> dict[str, str]:
    """What binds event files to a run: Hugging Face's Trainer goes by it (transformers 5)."""
    return {"TENSORBOARD_LOGGING_DIR": str(run_folder / "tensorboard")}


class TensorboardBackend:
    """`tensorboard`: the scalars of the attempt's event files, anywhere in its run's folder by default."""

    name = "tensorboard"
    names = "*tfevents*"  # as TensorBoard itself tells them

    def pattern(self, _: Evidence, query: Query) -> str:
        """The session's, else anywhere in the run's folder."""
        return query.path or RUN_DIR

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """Everything from the start."""
        follower = self.follower(evidence, query)
        follower.feed()
        return follower.readings()

    def follower(self, evidence: Evidence, query: Query) -> "EventsFollower":
        """For a run that goes on."""
        return EventsFollower(self, evidence, query)


class EventsFollower:
    """The event files of a run that goes on: each `feed` reads what was added since the last one."""

    def __init__(self, backend: TensorboardBackend, evidence: Evidence, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._backend, self._evidence, self._query = backend, evidence, query
        self._tree = _Tree(query)

    def feed(self) -> None:
        """Read on; never raises for what the files hold."""
        pattern = self._backend.pattern(self._evidence, self._query)
        self._tree.feed(self._evidence.mine(pattern, self._backend.names))
        if self._tree.primary is not None:
            self.latest, self.step = self._tree.primary.latest, self._tree.primary.step

    def readings(self) -> Readings:
        """The answer from all that was fed."""
        if self._tree.folders:
            return self._tree.readings(self._evidence)
        pattern = self._backend.pattern(self._evidence, self._query)
        problem = self._evidence.absent(pattern)
        elsewhere = self._elsewhere() if self._query.path is None else None
        if elsewhere is not None:
            problem += f"; there are new event files in {elsewhere}: --metric-path {elsewhere}"
        return Readings(self._backend.name, {}, problem=problem, absent=elsewhere is None)

    def _elsewhere(self) -> str | None:
        """The first of the usual places that has event files of the attempt's time."""
        return next((place for place in USUAL if self._evidence.mine(place, self._backend.names)), None)


class _Tree:
    """Folders of event files, and the names of what they hold."""

    def __init__(self, query: Query) -> None:
        self.folders: dict[Path, Folder] = {}
        self.places: dict[str, Place] = {}  # by name
        self._query, self._decoder = query, Decoder()
        self._named: dict[str, Folder] = {}  # by the path from the one that holds all

    def feed(self, files: list[Mine]) -> None:
        for mine in files:
            folder = self.folders.setdefault(mine.path.parent, Folder(self._query, self._decoder))
            folder.add(mine)
        for folder in self.folders.values():
            folder.read()
        self._named = _named(self.folders)
        self.places = places({name: folder.tags for name, folder in self._named.items()})

    @property
    def primary(self) -> Series | None:
        """The primary metric's values."""
        place = self.places.get(self._query.primary.metric)
        found = self._named[place[0]].tags[place[1]] if place is not None else None
        return found if isinstance(found, Series) else None

    def readings(self, evidence: Evidence) -> Readings:
        """The answer. A value is none where its folder has damage: what is missing may be what counts."""
        name = self._query.primary.metric
        place, series = self.places.get(name), self.primary or Series(self._query)
        for shown, other in shortest(self.places).items():
            last = self._named[other[0]].tags[other[1]].primary
            if other != place and last is not None and len(shown) <= NAME_MAX:
                series.add(shown, *last)
        problems = [problem for folder in self.folders.values() for problem in folder.problems()]
        found = series.readings(
            TensorboardBackend.name, _line(problems, "; "), self._detail(evidence), absent=self._absent()
        )
        if place is None or self._named[place[0]].sound:
            return found
        others = {key: metric for key, metric in found.metrics.items() if key != name}
        return replace(found, metrics=others, value=None, counted=None)

    def _detail(self, evidence: Evidence) -> str:
        """Which folder, or which one all are in."""
        place = self.places.get(self._query.primary.metric)
        chosen = [path for path, folder in self.folders.items() if place and folder is self._named[place[0]]]
        return evidence.shown(Path(os.path.commonpath(chosen or self.folders)))

    def _absent(self) -> str:
        """Why the primary metric is not there."""
        name = self._query.primary.metric
        several = [long for long, (_, tag) in self.places.items() if tag == name]
        if several:
            return f"{name} is in {len(several)} folders: which one is meant of {_line(several, ', ')}?"
        if not self.places:
            return "the event files hold no scalar: was the writer flushed, or closed?"
        large = sum(folder.passed_over() for folder in self.folders.values())
        beyond = (
            f", but for {large} records above {RECORD_MAX >> 20} MiB, which are not read" if large else ""
        )
        return f"{name} is in no event file{beyond}"


def _named(folders: Mapping[Path, Folder]) -> dict[str, Folder]:
    """The folders by their paths from the one that holds all of them."""
    if not folders:
        return {}
    root = Path(os.path.commonpath(folders))
    paths = {path: str(path.relative_to(root)) for path in folders}
    return {"" if paths[path] == "." else paths[path]: folder for path, folder in folders.items()}


def places(tags: Mapping[str, Collection[str]]) -> dict[str, Place]:
    """Every name by which a tag can be asked for; `tags` are by folder."""
    found: dict[str, Place] = {}
    alone: dict[str, list[Place]] = {}
    for folder in sorted(tags, key=lambda name: (name.count("/"), name)):
        for tag in tags[folder]:
            found.setdefault(f"{folder}/{tag}" if folder else tag, (folder, tag))
            alone.setdefault(tag, []).append((folder, tag))
    return found | {tag: where[0] for tag, where in alone.items() if len(where) == 1 and tag not in found}


def shortest(named: Mapping[str, Place]) -> dict[str, Place]:
    """One name for each place."""
    best: dict[Place, str] = {}
    for name, place in named.items():
        if place not in best or len(name) < len(best[place]):
            best[place] = name
    return {name: place for place, name in best.items()}


def _line(words: Collection[str], between: str) -> str | None:
    """The first few, and how many more there are; None of none."""
    more = f"{between}{len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return between.join(list(words)[:_SHOWN]) + more if words else None
