"""Lines of an experiment's memory, as `history.get` answers them. Pure types."""

from msgspec import Struct

from ardaemon.core.model import Verdict

GREP_MAX = 200  # characters of what is searched for


class HistoryLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run that was asked for; `why` says what of it answers the question."""

    run_id: str
    verdict: Verdict
    measure: bool = False  # a rerun of the best: it has decided nothing
    value: float | None = None  # of the primary metric
    note: str = ""
    why: str = ""
