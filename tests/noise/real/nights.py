"""The parts on real training, each through a daemon of its own: the noise of an example, and one night."""

import json
from collections.abc import Iterator, Sequence

from tests.noise.real import edits, scripted
from tests.noise.real.edits import Edit
from tests.noise.real.plan import EDITS, FRESH, LAUNCHES_MOST, SEEDS, SEEDS_OF_A_ROUND
from tests.noise.real.records import Kind, Night, Noise, Rule, Tried, Values
from tests.noise.real.site import Broken, Example, Site


def noise(example: Example) -> Noise:
    """Measure the noise with `arctl noise`, and what edits keep of the luck."""
    with Site(example) as site:
        site.start()
        site.run("baseline")
        view = json.loads(site.must("noise", "--runs", str(SEEDS - 1), "--json"))
        edited = {}
        for edit in scripted.KEEPING[example.name]:
            version = site.world.project / "edited.py"
            version.write_text(edit.made(example.text), encoding="utf-8")
            edited[edit.note] = site.values(version, range(SEEDS))
        return Noise(
            example=example.name,
            seeds=tuple(view["values"]),
            same=tuple(view["same"]),
            edited=edited,
            said=tuple(view["said"]),
            cpu_s=site.cpu_s(),
        )


def night(example: Example, kind: Kind, number: int, rule: Rule, launches: int | None) -> Night:
    """Play a night: each edit on the best so far, until the edits or the launches are spent."""
    text = edits.other_seeds(example.text, SEEDS_OF_A_ROUND * (number - 1)) if number > 1 else example.text
    with Site(example._replace(text=text)) as site:
        site.start("--verdict", rule, "--max-launches", str(launches or LAUNCHES_MOST))
        tried = tuple(_tries(site, scripted.of_a_night(example.name, kind, number, EDITS)))
        session, best = site.file(".ar-session.json"), site.file("best.json")
        return Night(
            example=example.name,
            kind=kind,
            round=number,
            rule=rule,
            tried=tried,
            launches=session["counters"]["launches"],
            confirmations=session["counters"]["confirmations"],
            best=best["run_id"],
            shown=best["value"],
            said=session["noise"],
            truths=_truths(site, tried) if kind == "scripted" else {},
            cpu_s=site.cpu_s(),
        )


def _tries(site: Site, made: Sequence[Edit]) -> Iterator[Tried]:
    """Run the baseline, then edit by edit; end when the session ends."""
    over = False
    for edit in (edits.NONE, *made):
        if over:
            return
        text = site.train.read_text(encoding="utf-8")
        edited = edit.made(text)
        site.train.write_text(edited, encoding="utf-8")
        result = site.run(edit.note) if edited != text or edit is edits.NONE else None
        if result is None:
            site.train.write_text(text, encoding="utf-8")
            yield Tried(note=edit.note)
            continue
        over = result["should_terminate"]
        yield Tried(
            note=edit.note,
            run=result["run_id"],
            verdict=result["verdict"],
            base=result["primary"]["best_run_before"] or "",
            value=result["values"][0].get("value") if result["values"] else result["primary"]["value"],
            p_better=result["p_better"],
            said=result["said"],
            attempts=result["attempts"],
        )


def _truths(site: Site, tried: Sequence[Tried]) -> dict[str, Values]:
    """Measure what each kept version shows with fresh seeds.

    Raises Broken where a launch without the daemon shows another value than the daemon has read: then the two
    cannot be compared.
    """
    found = {}
    for one in tried:
        if one.verdict == "advance" and one.run:
            first, *fresh = site.values(site.version(one.run), (0, *FRESH))
            if first != one.value:
                raise Broken(
                    f"{one.run} of {site.example.name}: {one.value} by the daemon, {first} without it"
                )
            found[one.run] = tuple(fresh)
    return found
