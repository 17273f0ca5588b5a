"""The hidden audit in the page, where a person has asked for it. Pure."""

from msgspec import Struct

from ardaemon.core.protocol import AuditView
from ardaemon.core.text import one_line

WORDS_MAX = 120  # characters of a reason in a row


class PageAudit(Struct, frozen=True):
    """What the audit has shown: rows of run, primary value, audit value, and words for how that stands."""

    rows: tuple[tuple[str, float | None, float | None, str], ...]
    warning: str


def page_audit(view: AuditView) -> PageAudit:
    """Return the newest audits as the page has them."""
    rows = ((row.run_id, row.primary, row.value, row.trend or row.problem) for row in view.rows)
    shown = tuple((run, primary, value, one_line(words, WORDS_MAX)) for run, primary, value, words in rows)
    return PageAudit(shown, view.warning)
