"""Creates an experiment: copies the files in, writes program.md's front matter, seals."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ardaemon.core import constraints, file_kinds, files, lost_runs
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import FOLDER, ORIGINAL, Experiment, Project
from ardaemon.core.model import Direction, Placed, Primary, Session
from ardaemon.core.protocol import Init
from ardaemon.experiment import (
    climbing,
    generation,
    how_run,
    relative_imports,
    script_place,
    seal,
    train_file,
    versions,
    walking,
)
from ardaemon.experiment import program as program_md
from ardaemon.host import durable, operations, state
from ardaemon.metrics.readable import METRIC_NAME_MAX

PROSE = """
# {slug}

What to try, what is known, what is out of bounds: write it here, for the agent. This text may change
at any time; the lines between the two +++ above are sealed.
"""
# Words in which programs say which metric counts: "get the lowest val_bpb", "maximize `val/acc`".
_GOAL = re.compile(
    r"\b(lowest|lower|minimi[sz]e|smallest|highest|higher|maximi[sz]e)\b"
    r"[`*_\"']*(?: the| possible|:)*\s+[`*_\"']*"
    r"([A-Za-z][\w/.@-]*[\w@])",
    re.IGNORECASE,
)
_UP = ("highest", "higher", "maximi")
# Characters of program.md, and of each script, that are looked through for the metric: neither is data.
LOOKED_THROUGH_MAX = 1 << 20
# Different names of program.md that are looked for in the scripts, at 10 ms for each MiB of a script. Prose
# that wants more than a few things lowest or highest says nothing about which one counts.
NAMES_MAX = 32
# git's stash -u, clean -fd, add -A and reset --hard leave alone what it ignores: this file, too.
IGNORE_ALL = b"*\n"
SCOPE_PART_MAX = 256  # characters of one part of the mutation scope


def create(params: Init) -> tuple[Experiment, list[str]]:
    """Make the experiment, and return it with one line for each thing that was done.

    Nothing of it stays behind if an error is raised, but for a .gitignore, should the very last step fail.
    """
    experiment = Project(Path(params.project)).experiment(params.slug)
    with state.storage("create", experiment.folder):
        return experiment, _create(experiment, params)


def _create(experiment: Experiment, params: Init) -> list[str]:
    require_free(experiment)
    sources = _files(params)
    _check_seals(params)
    with made_aside(experiment) as partial:
        done = _fill(partial, params, sources)
        done += _ignored(Project(experiment.project))
    return done


def _ignored(project: Project) -> list[str]:
    """Have git ignore the experiments, and say so; a .gitignore that a person keeps there stays as it is.

    Right before the experiment gets its name: an init that fails earlier leaves nothing behind, and there is
    no experiment without this file, for no other init of its name would write it.
    """
    if not durable.write_new(project.ignore, IGNORE_ALL):
        return []
    return [f"{FOLDER}/.gitignore written: git leaves the experiments alone"]


def require_free(experiment: Experiment) -> None:
    """Raise UsageError if there is an experiment of that name."""
    if experiment.folder.exists():
        gone = lost_runs.are_gone(experiment)
        go_on = f"; or go on with it: {lost_runs.refusal(experiment).mend}" if gone else ""
        raise UsageError(
            f"experiment {experiment.slug!r} is there already ({experiment.folder})",
            f"choose another name{go_on}",
        )


def aside(experiment: Experiment) -> Experiment:
    """Return the experiment under the name that its folder has until it is whole."""
    return Experiment(experiment.folder.with_name(f".new-{experiment.slug}"))


@contextlib.contextmanager
def made_aside(experiment: Experiment) -> Iterator[Experiment]:
    """Yield the experiment under the name aside, to be filled; one rename puts it in place then.

    Nothing of it stays behind if the block fails.
    """
    home, partial = experiment.folder.parent, aside(experiment)
    durable.make_folder(home)
    durable.remove_tree(partial.folder)
    operations.mkdir(partial.folder)
    try:
        yield partial
        durable.rename(partial.folder, experiment.folder)
    except Exception:
        durable.remove_tree(partial.folder)
        with contextlib.suppress(OSError):
            operations.rmdir(home)  # removed only if it is empty: then it was made here
        raise


def _files(params: Init) -> dict[str, Path]:
    named = {"train.py": params.train, "prepare.py": params.prepare, "program.md": params.program}
    sources = {name: Path(path) for name, path in named.items() if path is not None}
    if params.source is not None:
        source = Path(params.source)
        for name in named:
            if name not in sources and (source / name).is_file():
                sources[name] = source / name
        if "train.py" not in sources:
            raise UsageError(
                f"there is no train.py in {source}", "name the folder that has it, or use --train PATH"
            )
    if "train.py" not in sources:
        raise UsageError("--train is missing", "name the training script: --train PATH")
    train_file.read(sources["train.py"], file_kinds.SOURCE_TRAIN)
    for name, path in sources.items():
        if not path.is_file():
            raise UsageError(f"{path} is not a file", f"it was to become the experiment's {name}")
    return sources


def _check_seals(params: Init) -> None:
    for path in params.seal:
        if not Path(path).exists():
            raise UsageError(f"--seal {path}: there is no such file or folder", "seal what exists")


def _fill(experiment: Experiment, params: Init, sources: dict[str, Path]) -> list[str]:
    done = [f"train.py copied from {sources['train.py']}"]
    for name, path in sources.items():
        if name != "program.md":
            data, mode = files.read(path, file_kinds.SOURCE), durable.mode_of(path, 0o644)
            durable.write(experiment.folder / name, data, mode, folder=False)
    done += _take_lock(experiment, sources["train.py"])
    if "prepare.py" in sources:
        done.append(f"prepare.py copied from {sources['prepare.py']}, and sealed")
    done += _write_program(experiment, params, sources.get("program.md"))
    seals = tuple(params.seal)
    origin = script_place.origin_of(sources["train.py"], experiment.project)
    original = train_file.sha256(train_file.snapshot(experiment.train))
    state.write(experiment.contract, seal.make(experiment, seals, origin, original))
    done += [f"sealed {path}" for path in seals]
    done += _notes(experiment, params, origin)
    placed = keep_original(experiment)
    state.write(
        experiment.session, Session(last_run=0, generation=1, lineage=generation.lineage(), placed=placed)
    )
    return done


def _take_lock(experiment: Experiment, train: Path) -> list[str]:
    """Copy uv's lock of the script's dependencies (uv lock --script), if there is one."""
    lock = script_place.lock_of(train)
    if not lock.is_file():
        return []
    target = script_place.lock_of(experiment.train)
    durable.write(target, files.read(lock, file_kinds.SOURCE), durable.mode_of(lock, 0o644), folder=False)
    return [f"{target.name} copied from {lock}"]


def _notes(experiment: Experiment, params: Init, origin: str | None) -> list[str]:
    """Return a line for each way in which a run's copy of the script cannot find what the original does."""
    source = train_file.snapshot(experiment.train)
    notes = [*climbing.notes(source, origin, params.slug), *walking.notes(source, origin, params.slug)]
    if script_place.in_subfolder(origin):
        assert origin is not None
        notes += relative_imports.notes(source, *script_place.package(experiment, origin))
    return [*notes, *script_place.notes(experiment, origin)]


def keep_original(experiment: Experiment) -> Placed:
    """Keep train.py as it is now as the original version, and return what it is."""
    data = train_file.snapshot(experiment.train)
    durable.make_folder(experiment.runs)
    original = experiment.run(ORIGINAL)
    durable.make_folder(original.folder)
    durable.write(original.train, data, durable.mode_of(experiment.train, 0o444))
    versions.keep(experiment, ORIGINAL, data)
    return Placed(ORIGINAL, train_file.sha256(data))


def _write_program(experiment: Experiment, params: Init, source: Path | None) -> list[str]:
    text = program_md.read_whole(source, file_kinds.SOURCE) if source is not None else ""
    front, prose = program_md.split_program(text)
    done = []
    if front is None:
        metric, direction, notes = _primary(params, text)
        done += notes
        head = program_md.fenced(_front(params, metric, direction))
    elif _says_something_of_program(params):
        raise UsageError(
            f"{source} has a front matter already", "leave out --primary-metric, --goal and the like"
        )
    else:
        head = text.removesuffix(prose)
    body = prose if source is not None else PROSE.format(slug=params.slug)
    program = program_md.encoded(head + how_run.with_part(body))
    mode = durable.mode_of(source, 0o644) if source is not None else 0o644
    durable.write(experiment.program, program, mode, folder=False)
    return [
        *done,
        "program.md written, with a part that says how arctl runs it; its prose is yours to change",
    ]


def _says_something_of_program(params: Init) -> bool:
    """Tell whether an option was given that a program.md with a front matter already answers."""
    front = (params.primary_metric, params.primary_direction, params.goal, params.mutation_scope)
    return any(front) or bool(params.constraints)


def _front(params: Init, metric: str, direction: Direction) -> str:
    for text in params.constraints:
        constraints.parse(text)
    goal = params.goal or f"{'lower' if direction == 'min' else 'raise'} {metric}"
    scope = params.mutation_scope or program_md.SCOPE
    check_scope(scope)
    primary = Primary(metric, direction)
    front = program_md.Front(
        primary=primary, goal=goal, mutation_scope=scope, constraints=tuple(params.constraints)
    )
    return program_md.front_text(front)


def check_scope(scope: tuple[str, ...]) -> None:
    """Raise UsageError if a part of the mutation scope is no name."""
    for part in scope:
        if not part.strip() or not part.isprintable() or len(part) > SCOPE_PART_MAX:
            raise UsageError(
                f"--mutation-scope {part[:40]!r}: it is no name of a file or of a part of one",
                "give names with commas between them, as train.py",
            )


def _primary(params: Init, program: str) -> tuple[str, Direction, list[str]]:
    """Return the primary metric, its direction, and a line if program.md's prose names them."""
    metric, direction = params.primary_metric, params.primary_direction
    if metric and direction:
        return metric, direction, []
    goal = _goal_in_prose(program, params)
    if goal is None or (metric and metric != goal[0]):
        missing = "--primary-metric" if not metric else "--primary-direction"
        raise UsageError(
            f"{missing} is missing, and program.md does not say it in a way that is understood",
            "for example: --primary-metric val/loss --primary-direction min",
        )
    note = f"primary metric {goal[0]} ({direction or goal[1]}), as program.md says"
    return goal[0], direction or goal[1], [note]


def _goal_in_prose(program: str, params: Init) -> tuple[str, Direction] | None:
    """Return the first metric that the prose wants lowest or highest and that the scripts print so named."""
    scripts = "".join(_text(path) for path in (params.train, params.prepare, *_sources(params)) if path)
    for name, word in _wanted(program[:LOOKED_THROUGH_MAX]).items():
        if re.search(rf"(?<![\w/]){re.escape(name)}\s*[:=]", scripts):
            return name, "max" if word.startswith(_UP) else "min"
    return None


def _wanted(prose: str) -> dict[str, str]:
    """Return the first names that the prose wants lowest or highest, each with its first word for that."""
    names: dict[str, str] = {}
    for match in _GOAL.finditer(prose):
        if len(match[2]) <= METRIC_NAME_MAX:
            names.setdefault(match[2], match[1].lower())
        if len(names) == NAMES_MAX:
            break
    return names


def _sources(params: Init) -> list[str]:
    if params.source is None:
        return []
    return [str(Path(params.source) / name) for name in ("train.py", "prepare.py")]


def _text(path: str) -> str:
    try:
        return files.head(path, LOOKED_THROUGH_MAX, file_kinds.SOURCE).decode("utf-8", "replace")
    except OSError:
        return ""
