"""The names whose values edits changed, what was tried, and what came of it, collected in one pass. Pure."""

from dataclasses import dataclass, field

from ardaemon.core.facts import VALUE_MAX, Change, RunFacts
from ardaemon.core.model import Direction, Verdict
from ardaemon.core.summary import Parameter, Setting
from ardaemon.core.text import one_line
from ardaemon.report.limits import NAMES_MAX, SETTINGS_MAX
from ardaemon.report.reading import FAILED, rank

NAME_MAX = 64  # characters of a name


@dataclass(slots=True)
class _Setting:
    """One value of a name: how many runs had it, and the best of them, else the last."""

    runs: int
    run_id: str
    verdict: Verdict
    value: float | None


@dataclass(slots=True)
class _Name:
    """One name, and all that was tried of it."""

    runs: int = 0
    advances: int = 0
    failures: int = 0
    settings: dict[str | None, _Setting] = field(default_factory=dict)
    further: int = 0  # runs whose value found no room


class Parameters:
    """Collects names and values, the first NAMES_MAX and SETTINGS_MAX of them."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.names: dict[str, _Name] = {}
        self.settings = 0
        self.unnamed = 0

    def add(self, run: RunFacts, value: float | None) -> None:
        """Take in one more run; `value` is None where it cannot be compared."""
        if not run.changes and not run.measure and run.added + run.removed:
            self.unnamed += 1
        for change in run.changes:
            self._add(change, run, value)

    def _add(self, change: Change, run: RunFacts, value: float | None) -> None:
        text = change.name[:NAME_MAX]
        name = self.names.get(text)
        if name is None:
            if len(self.names) >= NAMES_MAX:
                return
            name = self.names[text] = _Name()
        name.runs += 1
        name.advances += run.verdict == "advance"
        name.failures += run.status in FAILED
        self._try(name, change.after and change.after[:VALUE_MAX], run, value)

    def _try(self, name: _Name, after: str | None, run: RunFacts, value: float | None) -> None:
        setting = name.settings.get(after)
        if setting is not None:
            setting.runs += 1
            if self._is_better(value, setting.value):
                setting.run_id, setting.verdict, setting.value = run.run_id, run.verdict, value
        elif self.settings < SETTINGS_MAX:
            self.settings += 1
            name.settings[after] = _Setting(1, run.run_id, run.verdict, value)
        else:
            name.further += 1

    def _is_better(self, value: float | None, before: float | None) -> bool:
        """Return whether a run is to stand for a setting in the place of the one before."""
        if value is None or before is None:
            return before is None
        return rank(value, self.direction) < rank(before, self.direction)

    def lines(self, names: int, settings: int) -> tuple[Parameter, ...]:
        """Return the names that most runs changed, and of each the settings that did best."""
        most = sorted(self.names.items(), key=lambda item: (-item[1].runs, item[0]))
        return tuple(self._line(text, name, settings) for text, name in most[:names])

    def _line(self, text: str, name: _Name, settings: int) -> Parameter:
        best_first = sorted(name.settings.items(), key=lambda item: self._place(*item))
        return Parameter(
            name=one_line(text, NAME_MAX),
            runs=name.runs,
            advances=name.advances,
            failures=name.failures,
            distinct=len(name.settings) + name.further,
            settings=tuple(
                Setting(
                    setting=None if value is None else one_line(value, VALUE_MAX),
                    runs=tried.runs,
                    run_id=tried.run_id,
                    verdict=tried.verdict,
                    value=tried.value,
                )
                for value, tried in best_first[:settings]
            ),
        )

    def _place(self, text: str | None, tried: _Setting) -> tuple[bool, float, int, str]:
        """Return a setting's place: those that were measured first, by their value, then by their runs."""
        if tried.value is None:
            return True, 0.0, -tried.runs, text or ""
        return False, rank(tried.value, self.direction), -tried.runs, text or ""
