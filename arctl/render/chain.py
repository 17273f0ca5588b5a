"""Makes the lines of `arctl chain`. Pure: no I/O."""

from arctl.dial import Answer
from arctl.render.line import NAME_MAX, SLUG_MAX, short_id
from ardaemon.core.line import number, short

LAST_MAX = 64  # links of one answer
RATIONALE_MAX = 300  # bytes of a rationale's line
LINE_MAX = 200  # bytes of the line of one link


def shown(view: Answer) -> list[str]:
    """Return the first line, then two for each link: its place and best, and why it follows."""
    lines = [f"chain: {_left(view)}, current {short(view['expr'], SLUG_MAX)}"]
    if view.get("earlier") and view.get("links"):
        lines.append(f"  … {view['earlier']} earlier")
    for link in view.get("links") or ():
        lines.append(f"  {short(_link(link), LINE_MAX)}")
        if link.get("rationale"):
            lines.append(f"     {short(link['rationale'], RATIONALE_MAX)}")
    return lines


def _left(view: Answer) -> str:
    if view["chain_mode"] == "disabled":
        return "stopped"
    return "no limit" if view.get("chain_remaining") is None else f"{view['chain_remaining']} left"


def _link(link: Answer) -> str:
    parent = f", after {short(link['parent'], SLUG_MAX)}" if link.get("parent") else ""
    best, how = link.get("best"), "live" if link.get("live") else (link.get("terminated_by") or "not live")
    shown_best = "no best"
    if best is not None:
        name = short(best["primary"]["metric"], NAME_MAX)
        shown_best = f"best {name}={number(best['value'])} @ {short_id(best)}"
    return f"{link['position']}. {short(link['expr'], SLUG_MAX)} — {shown_best} ({how}{parent})"
