"""The tensorboard backend: reads event files itself, without TensorBoard.

A tag has the name under which it was written. Where several folders hold event files (`add_scalars`,
`add_hparams` and Keras make one for each curve), a tag may also be named with its folder, from the folder
above all of them on: `loss_val/loss`. If two folders have the same tag, the short name means the one in the
outermost folder. If none is there, only the long names tell the tags apart, and the short name is an error.
"""

import contextlib
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core.config import NAME_MAX
from ardaemon.core.folders import Unsearched
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.formats.events import Decoder
from ardaemon.metrics.formats.tfrecord import RECORD_MAX
from ardaemon.metrics.logdir import Folder, FolderState
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import RUN_DIR, Mine
from ardaemon.metrics.series import Series

# Folders where scripts write by default: SummaryWriter, Lightning, Keras' guide, Hydra. Nothing there
# certainly belongs to this run, so these folders are looked at only to say which --metric-path to set.
USUAL = ("runs", "lightning_logs", "tb_logs", "logs", "tensorboard", "outputs", "multirun")
_SHOWN = 3  # names, or problems, in one line

TagPath = tuple[str, str]  # a folder's path from the outermost folder on ("" for that one), and a tag in it


def environment(run_folder: Path, _: str) -> dict[str, str]:
    """Return the variable that makes Hugging Face's Trainer (transformers 5) write into the run's folder."""
    return {"TENSORBOARD_LOGGING_DIR": str(run_folder / "tensorboard")}


class TensorboardBackend:
    """Reads the scalars of the attempt's event files, anywhere in its run's folder by default."""

    name = "tensorboard"
    names = "*tfevents*"  # TensorBoard itself recognises its files so

    def pattern(self, _: AttemptOutput, query: Query) -> str:
        """Return the session's path, else the run's folder, in which files are taken at any depth."""
        return query.path or RUN_DIR

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read everything from the start, or from the bookmark on."""
        follower = self.follower(attempt, query)
        files = attempt.mine(self.pattern(attempt, query), self.names)
        follower.begin(files, Bookmark(attempt, query, self.name, files))
        follower.feed()
        return follower.readings()

    def follower(self, attempt: AttemptOutput, query: Query) -> "EventsFollower":
        """Return a follower, for an attempt that is still running."""
        return EventsFollower(self, attempt, query)


class EventsFollower:
    """Follows the primary metric in event files."""

    def __init__(self, backend: TensorboardBackend, attempt: AttemptOutput, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self.not_finite = NotFinite()
        self._backend, self._attempt, self._query = backend, attempt, query
        self._tree = _Tree(query)

    def begin(self, files: list[Mine], bookmark: Bookmark) -> None:
        """Begin at the bookmark of these files, and keep it up to date."""
        self._tree.begin(files, bookmark)

    def feed(self) -> None:
        """Read what was added. Never raises for something that the files hold."""
        pattern = self._backend.pattern(self._attempt, self._query)
        self._tree.feed(self._attempt.mine(pattern, self._backend.names))
        if self._tree.primary is not None:
            self.latest, self.step = self._tree.primary.latest, self._tree.primary.step
            self.not_finite = self._tree.primary.not_finite

    def readings(self) -> Readings:
        """Make the answer from all that feed() has read."""
        if self._tree.folders:
            return self._tree.readings(self._attempt)
        pattern = self._backend.pattern(self._attempt, self._query)
        problem = self._attempt.absent(pattern, self._backend.names)
        elsewhere = self._elsewhere() if self._query.path is None else None
        if elsewhere is not None:
            problem += f"; there are new event files in {elsewhere}: --metric-path {elsewhere}"
        return Readings(self._backend.name, {}, problem=problem, absent=elsewhere is None)

    def _elsewhere(self) -> str | None:
        """Return the first of the USUAL folders with event files of the attempt's time, if there is one."""
        for place in USUAL:
            with contextlib.suppress(Unsearched):  # it would be but a hint
                if self._attempt.mine(place, self._backend.names):
                    return place
        return None


class _Tree:
    """The folders of event files, and the names of the tags in them."""

    def __init__(self, query: Query) -> None:
        self.folders: dict[Path, Folder] = {}
        self.places: dict[str, TagPath] = {}  # by name
        self._query, self._decoder = query, Decoder()
        self._named: dict[str, Folder] = {}  # by the path from the folder that holds all of them

    def begin(self, files: list[Mine], bookmark: Bookmark) -> None:
        """Begin at the bookmark of these files, and keep it up to date."""
        self._add(files)
        states = bookmark.found(dict[str, FolderState]) or {}
        for path, folder in self.folders.items():
            if str(path) in states:
                folder.go_on(states[str(path)])
            folder.between = partial(bookmark.reached, state=self._states)

    def _states(self) -> dict[str, FolderState]:
        return {str(path): folder.state() for path, folder in self.folders.items()}

    def _add(self, files: list[Mine]) -> None:
        for mine in files:
            folder = self.folders.setdefault(mine.path.parent, Folder(self._query, self._decoder))
            folder.add(mine)

    def feed(self, files: list[Mine]) -> None:
        self._add(files)
        for folder in self.folders.values():
            folder.read()
        self._named = _named(self.folders)
        self.places = places({name: folder.tags for name, folder in self._named.items()})

    @property
    def primary(self) -> Series | None:
        """The values of the primary metric; None if no folder has it."""
        place = self.places.get(self._query.primary.metric)
        values = self._named[place[0]].tags[place[1]] if place is not None else None
        return values if isinstance(values, Series) else None

    def readings(self, attempt: AttemptOutput) -> Readings:
        """Make the answer.

        It has no value if the primary metric's folder has damage: the value that counts may be what is
        missing.
        """
        name = self._query.primary.metric
        place, series = self.places.get(name), self.primary or Series(self._query)
        for shown, other in shortest(self.places).items():
            last = self._named[other[0]].tags[other[1]].primary
            if other != place and last is not None and len(shown) <= NAME_MAX:
                series.add(shown, *last)
        problems = [problem for folder in self.folders.values() for problem in folder.problems()]
        readings = series.readings(
            TensorboardBackend.name, _line(problems, "; "), self._detail(attempt), absent=self._absent()
        )
        if place is None or self._named[place[0]].sound:
            return readings
        others = {key: metric for key, metric in readings.metrics.items() if key != name}
        return replace(readings, metrics=others, value=None, counted=None)

    def _detail(self, attempt: AttemptOutput) -> str:
        """Name the primary metric's folder; without one, the folder that holds all of them."""
        place = self.places.get(self._query.primary.metric)
        chosen = [path for path, folder in self.folders.items() if place and folder is self._named[place[0]]]
        return attempt.shown(Path(os.path.commonpath(chosen or self.folders)))

    def _absent(self) -> str:
        """Say why the primary metric is not there."""
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
    """Return the folders by their paths from the folder that holds all of them; its own path is ""."""
    if not folders:
        return {}
    root = Path(os.path.commonpath(folders))
    paths = {path: str(path.relative_to(root)) for path in folders}
    return {"" if paths[path] == "." else paths[path]: folder for path, folder in folders.items()}


def places(tags: Mapping[str, Collection[str]]) -> dict[str, TagPath]:
    """Return every name by which a tag can be asked for; `tags` are by folder."""
    by_name: dict[str, TagPath] = {}
    alone: dict[str, list[TagPath]] = {}
    for folder in sorted(tags, key=lambda name: (name.count("/"), name)):
        for tag in tags[folder]:
            by_name.setdefault(f"{folder}/{tag}" if folder else tag, (folder, tag))
            alone.setdefault(tag, []).append((folder, tag))
    short = {tag: where[0] for tag, where in alone.items() if len(where) == 1 and tag not in by_name}
    return by_name | short


def shortest(named: Mapping[str, TagPath]) -> dict[str, TagPath]:
    """Return one name, the shortest, for each tag of each folder."""
    best: dict[TagPath, str] = {}
    for name, place in named.items():
        if place not in best or len(name) < len(best[place]):
            best[place] = name
    return {name: place for place, name in best.items()}


def _line(words: Collection[str], between: str) -> str | None:
    """Join the first few words, and say how many more there are; None if there are no words."""
    more = f"{between}{len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return between.join(list(words)[:_SHOWN]) + more if words else None
