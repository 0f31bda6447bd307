"""The report says what the verdict and the histories say, on a page that needs nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from plotly import graph_objects

from ha_verify.claims import CLAIMS
from ha_verify.findings import Finding, Violation
from ha_verify.history import History
from ha_verify.report import write_report
from ha_verify.verdict import Found, Judged, Place, Verdict
from support.chromium import NAMES, find_chromium, open_page
from support.histories import HistoryMaker, killed_leaders

HOSTILE = "</script><script>document.title = 'taken'</script><!--<b>{{ 7 * 7 }}&"


def judged(
    key: str, *violations: Found, trials: int = 59, measured: float | None = None, bound: float | None = None
) -> Judged:
    findings = tuple(Violation(violation.message) for violation in violations)
    finding = Finding(key, trials, findings, measured=measured, bound=bound, unit="s")
    figures = {"a.jsonl": {"SIGKILL the leader": [13.2, 15.4]}} if key == "failover" else {}
    return Judged(CLAIMS[key], finding, violations, figures)


def verdict(*claims: Judged, untried: tuple[str, ...] = ()) -> Verdict:
    return Verdict(("a.jsonl",), claims, untried)


def passed() -> Verdict:
    return verdict(*(judged(key) for key in CLAIMS))


def hostile_history() -> History:
    """Every text that the page shows is an attack."""
    maker = HistoryMaker()
    run = {"scenario": HOSTILE, "seed": HOSTILE, "target": HOSTILE, "command": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    maker.add(0, "info", "run", "run", run)
    maker.add(0.1, "info", "run", "phase", HOSTILE)
    fault = {"id": "1", "fault": HOSTILE, "class": HOSTILE}
    maker.add(1, "invoke", "nemesis", "fault", fault)
    maker.add(1.1, "ok", "nemesis", "fault", {**fault, "proof": {HOSTILE: HOSTILE}})
    maker.add(2, "info", "observer", "readiness", {"replica": HOSTILE, "ready": False, "reason": HOSTILE})
    maker.add(3, "info", "observer", "leader", {"epoch": 1, "holder": HOSTILE, "replica": HOSTILE, "timeline": 1})
    maker.add(4, "info", "observer", "startup", {"replica": HOSTILE, "failed": HOSTILE})
    columns = ["token", "job_id", "attempt", "worker_id", "outcome", "claimed_at", "finished_at"]
    rows = [[1, 1, 1, HOSTILE, "completed", 1_780_000_001.0, 1_780_000_002.0]]
    maker.add(5, "info", "observer", "table", {"table": "job_attempts", "columns": columns, "rows": rows})
    return maker.history()


def written(directory: Path, judgement: Verdict, histories: dict[str, History]) -> str:
    return write_report(judgement, histories, directory).read_text(encoding="utf-8")


def without_plotly(page: str) -> str:
    """The page up to Plotly's own code, which is the last but one script."""
    return page[: page.index("</main>")]


def specs(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="([^"]+)"[^>]*>(.*?)</script>', page, re.DOTALL)
    return {id_: json.loads(text) for id_, text in found}


def test_the_verdict_comes_first_with_every_claim(tmp_path: Path) -> None:
    page = without_plotly(written(tmp_path, passed(), {"a.jsonl": killed_leaders()}))
    assert page.index("✓ PASS") < page.index('id="claims"') < page.index('id="run-1"')
    assert all(f'id="claim-{key}"' in page for key in CLAIMS)
    assert "4.95%" in page  # 59 trials without a violation


def test_a_measured_figure_stands_against_its_bound(tmp_path: Path) -> None:
    judgement = verdict(judged("failover", measured=15.4, bound=17.0))
    page = without_plotly(written(tmp_path, judgement, {}))
    assert re.search(r">15\.4 s</td>\s*<td class=\"number\">17 s<", page)


def test_a_violation_links_to_the_lines_that_show_it(tmp_path: Path) -> None:
    violated = Found("w-7 is gone", (Place("a.jsonl", 3), Place("a.jsonl", 10_000_000)))
    judgement = verdict(judged("writes-kept", violated))
    page = without_plotly(written(tmp_path, judgement, {"a.jsonl": killed_leaders()}))
    href = re.search(r'<a href="#([^"]+)">a\.jsonl:3</a>', page)
    assert href
    excerpt = page[page.index(f'id="{href[1]}"') :]
    assert re.search(r'<span class="shown">3  {&#34;index&#34;:2,', excerpt)
    assert "a.jsonl:10000000" in page  # named, though there is no such line to show


def test_of_many_violations_the_first_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    judgement = verdict(judged("writes-kept", *(Found(f"w-{n}", ()) for n in range(25))))
    page = without_plotly(written(tmp_path, judgement, {}))
    assert "w-4\n" in page
    assert "w-5\n" not in page
    assert "and 20 more" in page


def test_every_plot_is_one_that_plotly_accepts(tmp_path: Path) -> None:
    drawn = specs(written(tmp_path, passed(), {"a.jsonl": killed_leaders()}))
    assert set(drawn) == {"failover-plot-spec", "run-1-time-spec", "run-1-ledger-spec"}
    for spec in drawn.values():
        graph_objects.Figure(json.loads(re.sub(r'"@\w+"', '"#123456"', json.dumps(spec))))


def test_every_colour_of_a_plot_is_known_in_light_and_in_dark(tmp_path: Path) -> None:
    page = written(tmp_path, passed(), {"a.jsonl": killed_leaders()})
    roles = {role for spec in specs(page).values() for role in re.findall(r'"@(\w+)"', json.dumps(spec))}
    assert roles
    for theme in ("LIGHT", "DARK"):
        palette = re.search(rf"const {theme} = {{(.*?)}};", page, re.DOTALL)
        assert palette
        assert roles <= set(re.findall(r"(\w+):", palette[1]))


def test_whatever_a_history_holds_is_shown_as_text(tmp_path: Path) -> None:
    name = f"{HOSTILE}.jsonl".replace("/", "")
    judgement = verdict(judged("writes-kept", Found(HOSTILE, (Place(name, 1),))), untried=(HOSTILE,))
    page = without_plotly(written(tmp_path, judgement, {name: hostile_history()}))
    assert "<script>document" not in page
    assert "<!--" not in page
    assert "<b>" not in page
    assert "{{ 7 * 7 }}" in page
    for spec in specs(page).values():
        assert "<script" not in json.dumps(spec)  # Plotly takes tags in its texts


def test_the_page_names_no_other_host_and_may_load_nothing(tmp_path: Path) -> None:
    page = without_plotly(written(tmp_path, passed(), {"a.jsonl": killed_leaders()}))
    assert not re.search(r"(?:src|href)=\"(?:\w+:)?//", page)
    assert "default-src 'none'" in page


def test_a_run_that_was_cut_short_is_shown_as_far_as_it_went(tmp_path: Path) -> None:
    histories = {
        "whole.jsonl": killed_leaders(),
        "cut.jsonl": History(list(killed_leaders())[:900]),
        "none": History([]),
    }
    assert 'id="run-3"' in written(tmp_path, passed(), histories)


@pytest.mark.parametrize("dark", [False, True])
def test_chromium_draws_every_plot_and_complains_of_nothing(tmp_path: Path, dark: bool) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"no Chromium here: none of {', '.join(NAMES)} is on the path")
    histories = {"a.jsonl": killed_leaders(), "hostile.jsonl": hostile_history()}
    written(tmp_path, passed(), histories)
    opened = open_page(chromium, tmp_path / "index.html", tmp_path / "profile", dark=dark)
    assert not opened.console
    assert len(re.findall(r'data-drawn="yes"', opened.dom)) == len(specs(opened.dom)) == 5
    paper = "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    assert f"background: {paper}" in opened.dom  # of the plots: as the page's
    assert "<title>PASS: verification report</title>" in opened.dom
