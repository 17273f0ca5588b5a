"""What report and history need of a committed run: the type of one line of facts.jsonl.

All of it is derived from files that stand elsewhere (result.json, run.json, the snapshot and the version that
it was edited from), so a lost or torn line is made anew and never asked of a person.
"""

from msgspec import Struct

from ardaemon.core.model import Record, SeedValue, Status, Verdict

CHANGES_MAX = 16  # names whose values an edit changed: first those with two values, in the order of the text
VALUE_MAX = 80  # characters of a value as it is written
DIFF_MAX = 4096  # bytes of an edit's diff that are kept


class Change(Struct, frozen=True):
    """A name whose value an edit changed; values as they are written, None where there was, or is, none."""

    name: str
    before: str | None = None
    after: str | None = None


class RunFacts(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One committed run. Times in seconds, memory in MiB, `ended_at` in UTC as ISO 8601."""

    run_id: str
    ended_at: str = ""
    status: Status
    verdict: Verdict
    valid: bool = False
    value: float | None = None  # of the primary metric; of --verdict noise the mean of its launches
    best_before: float | None = None
    best_run_before: str | None = None
    note: str = ""
    reason: str | None = None
    tainted: str | None = None
    # Of --verdict noise: what each launch measured, how surely the edit is better, the value over all seeds.
    values: tuple[SeedValue, ...] = ()
    p_better: float | None = None
    estimate: float | None = None
    estimate_sd: float | None = None
    measure: bool = False  # a rerun of the best, which decides nothing
    base: str | None = None  # the run that it was edited from
    sha256: str = ""  # of the snapshot
    normal: str = ""  # hash of the snapshot's normal form: equal for edits that change nothing
    conditions: str = ""  # fingerprint of what makes values comparable
    checkpoint: str | None = None
    seconds: float = 0.0
    gpus: int = 0  # that it had
    peak_vram_mb: float | None = None
    peak_rss_mb: float | None = None
    changes: tuple[Change, ...] = ()
    added: int = 0  # lines of the diff
    removed: int = 0
    lines: int = 0  # of the snapshot, less blank ones and comments
    size: int = 0  # of the snapshot, in bytes
    diff: str = ""  # from the base to the snapshot, as lines that begin with -, + or @@; at most DIFF_MAX
    diff_cut: bool = False  # there is more of it
