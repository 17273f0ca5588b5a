"""The page as a file: its size, its policy, and that nothing in it leaves its place."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardaemon.core.facts import DIFF_MAX, RunFacts
from ardaemon.core.summary import Link
from ardaemon.report.page.build import PAGE_MAX
from ardaemon.report.page.link import OTHERS_POINTS
from ardaemon.report.page.records import RECORDS_BYTES, encoded
from ardaemon.report.tally import Frame
from tests.support.histories import history, run
from tests.support.pages import PRIMARY, built, chapter, data_of, page_of

HOSTILE = "</script><!-- <script>alert(1)</script> \u202e\x1b]0;x\x07 & < > \" ' ` \\ \u2028"


def hostile(count: int) -> Iterator[RunFacts]:
    """Runs whose every text is as long and as costly as it can be."""
    text = HOSTILE * 8
    for number in range(1, count + 1):
        yield run(
            number * 97_000,
            note=text,
            reason=text,
            diff=("<" * 400)[: DIFF_MAX // 2],
            ended_at=text[:99],
            value=1e300 / number,
            best_before=1.0,
            peak_vram_mb=1e12,
            verdict="advance" if number % 3 else "crash",
            status="ok" if number % 3 else "crash",
            normal=str(number % 50),
        )


def test_ten_thousand_runs_are_six_hundred_kilobytes_at_most_and_use_them() -> None:
    html = page_of(history(10_000))
    assert 0.9 * PAGE_MAX < len(html) <= PAGE_MAX
    records = data_of(html)["links"][0]["records"]
    assert 0.75 * RECORDS_BYTES < len(encoded(records)) <= RECORDS_BYTES + 2


def test_up_to_ten_thousand_runs_each_has_its_point_and_beyond_the_page_says_how_many_have() -> None:
    whole, longer = (data_of(page_of(history(count)))["links"][0] for count in (10_000, 10_500))
    assert (len(whole["points"]["kinds"]), whole["thinned"]) == (10_000, False)
    assert (len(longer["points"]["kinds"]) < 10_000, longer["thinned"]) == (True, True)
    assert longer["summary"]["runs"] == 10_500


def test_a_hostile_history_is_no_larger() -> None:
    frame = Frame(expr="261122-test", primary=PRIMARY, goal=HOSTILE * 400, constraints=(HOSTILE * 9,) * 99)
    assert len(page_of(hostile(3_000), frame)) <= PAGE_MAX


def test_a_chain_of_experiments_is_no_larger() -> None:
    rationale = "<" * 1_000
    chapters = []
    for place in range(8):
        slug = f"26112{place}-{'x' * 57}"
        chain = tuple(Link(expr=slug, rationale=rationale) for _ in range(8))
        frame = Frame(expr=slug, primary=PRIMARY, goal=HOSTILE * 40, chain=chain)
        most = 10_000 if place == 4 else OTHERS_POINTS
        chapters.append(chapter(hostile(1_000), frame, most))
    html = built(chapters, 4)
    assert len(html) <= PAGE_MAX
    assert [link["summary"]["expr"][:6] for link in data_of(html)["links"]] == [f"26112{n}" for n in range(8)]


def test_the_same_runs_give_the_same_bytes() -> None:
    assert page_of(history(300)) == page_of(history(300))


def test_nothing_in_the_data_can_end_its_element() -> None:
    html = page_of([run(1, note=HOSTILE, diff=HOSTILE)])
    data = html.partition(b'id="data">')[2].partition(b"</script>")[0]
    assert b"<" not in data
    assert data_of(html)["links"][0]["records"][0][1].startswith("</script><!-- <script>alert(1)</script> &")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300), st.text(max_size=900), st.text(max_size=100))
def test_whatever_a_run_said_comes_back_or_is_cleaned(note: str, diff: str, goal: str) -> None:
    frame = Frame(expr="261122-test", primary=PRIMARY, goal=goal)
    html = page_of([run(1, note=note, diff=diff, value=0.5)], frame)
    html.decode("utf-8")
    assert data_of(html)["links"][0]["summary"]["runs"] == 1


def test_the_policy_allows_the_one_style_and_the_one_script_and_no_connection() -> None:
    html = page_of(history(3)).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert policy
    assert script
    assert style
    hashes = [f"'sha256-{b64encode(sha256(part[1].encode()).digest()).decode()}'" for part in (style, script)]
    assert policy[1].split("; ")[:3] == [
        "default-src 'none'",
        f"style-src {hashes[0]}",
        f"script-src {hashes[1]}",
    ]


def test_the_page_names_nothing_outside_itself() -> None:
    html = page_of(history(3)).decode()
    assert set(re.findall(r"https?://[^\"' )]+", html)) == {
        "http://www.w3.org/2000/svg"
    }  # a name, not an address
    assert not re.search(
        r"<(link|img|iframe|object|embed)\b|@import|url\(|innerHTML|insertAdjacent|eval\(", html
    )


def test_an_experiment_without_a_run_has_a_page_too() -> None:
    assert data_of(page_of([]))["links"][0]["summary"]["runs"] == 0


def test_facts_that_no_daemon_wrote_make_no_page_fail() -> None:
    """The file may have come with a clone."""
    given = {"base": "../../etc", "normal": "same", "ended_at": "0001-01-01", "seconds": -1e308}
    values = (1.7e308, -1.7e308, 5e-324, -0.0)
    runs = [run(n, value=value, peak_vram_mb=value, **given) for n, value in enumerate(values, 1)]
    link = data_of(page_of([*runs, run(1, run_id="../x"), run(99, value=None)]))["links"][0]
    assert link["summary"]["runs"] == 5
    assert link["records"][0][4] is None
