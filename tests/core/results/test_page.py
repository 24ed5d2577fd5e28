"""The page holds what the report says, needs nothing else, and does nothing that a query tells it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.results import reporting
from pdistill.core.results.disagreements import Confusions, LabelPair
from pdistill.core.results.page import page
from pdistill.core.results.page.curve import curve
from pdistill.core.results.page.matrix import matrix
from pdistill.core.results.reporting import report_from
from tests.run_builder import Outcome, build_run

HOSTILE = (
    "</p></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<style>*{display:none}</style>\x00\x1b]0;owned\x07\u202e{{ 7*7 }}{% raw %}&amp;&#x3c;]]>--><!--"
)


class Tags(HTMLParser):
    """Counts the elements of a page, and remembers its addresses and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the report of a run whose queries, slices and answers are hostile, and whose student always differs."""

    def hostile(at: int) -> Outcome:
        text = f"{at * 7919:x} {HOSTILE * (1 + 300 * (at == 1))} {at}"
        query = Query(text, f"{at}{HOSTILE}", HOSTILE, (HOSTILE,), number=at)
        return Outcome(query, "yes", "eval" if at % 2 else "train", {"student": text})

    run = build_run(tmp_path_factory.mktemp("page") / "run", list(map(hostile, range(42))), probes={}, labels=None)
    return reporting.report(run)


def test_hostile_text_is_shown_and_not_obeyed(report: dict[str, Any]) -> None:
    assert report["disagreements"]["n"] == 21
    changed = json.loads(json.dumps(report))
    changed["task"] = changed["student"] = changed["teacher"] = HOSTILE
    changed["confusions"] = {"labels": [HOSTILE], "rows": [{"teacher": HOSTILE, "student": HOSTILE, "n": 3}]}
    changed["worse_slices"] = dict.fromkeys(changed["arms"]["student"]["slices"], 0.01)
    changed["probes"]["leakage"]["alarm"] = True
    changed["probes"]["leakage"]["longest"]["student"]["text"] = HOSTILE
    changed["probes"]["welcome"] = {"alarm": None, "not_run": HOSTILE}
    changed["verdict"] = {"state": "not yet", "reason": HOSTILE, "next": HOSTILE}
    changed["fields"] = {"all": {"n": 3, "value": 0.5, "low": None, "high": None}, "by_name": {}}
    changed["fields"]["by_name"][HOSTILE] = {"n": 3, "value": 0.5, "low": 0.1, "high": 0.9}
    for row in changed["disagreements"]["rows"]:
        row["fields"] = [HOSTILE]
        row["query"] = row["teacher"] = row["reference"] = row["student"]["response"] = HOSTILE
    text = page(report_from(changed), HOSTILE)
    tags = Tags(text)
    assert {name: tags.counts.get(name, 0) for name in ("script", "style", "img", "title")} == {
        "script": 1,
        "style": 1,
        "img": 0,
        "title": 1,
    }
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
    assert r"\x00\x1b]0;owned\x07\u202e{{ 7*7 }}{% raw %}&amp;&#x3c;]]>" in tags.text


def test_the_page_needs_nothing_else(report: dict[str, Any]) -> None:
    text = page(report_from(report), HOSTILE)
    assert all(address.startswith("#") for address in Tags(text).addresses)
    assert not re.search(r"https?://|url\(|@import", text)


def test_figures_of_the_report_are_on_the_page(report: dict[str, Any]) -> None:
    shown = re.sub(r"\s+", " ", Tags(page(report_from(report), HOSTILE)).text)
    student = report["arms"]["student"]["agreement"]
    assert f"the student agrees with the teacher on {student['value']:.1%}" in shown
    assert f"{student['low']:.1%} to {student['high']:.1%}" in shown
    assert f"{report['tokens']['saved_per_call']:,.0f}" in shown
    assert f"{report['training']['steps']:,} steps" in shown


def test_every_heading_table_and_field_has_its_name(report: dict[str, Any]) -> None:
    tags = Tags(page(report_from(report), HOSTILE))
    assert (tags.counts["h1"], tags.counts["html"]) == (1, 1)
    assert tags.counts["label"] == tags.counts["input"] == 1
    assert len(re.findall(r"<th(?= scope=)", page(report_from(report), HOSTILE))) == tags.counts["th"]


def test_missing_parts_of_a_report_are_left_out(report: dict[str, Any]) -> None:
    changed = {**report, "loss": [], "confusions": None, "preflight": None}
    changed["disagreements"] = {"n": 0, "rows": []}
    changed["recovery"] = {"value": None, "low": None, "high": None}
    shown = Tags(page(report_from(changed), HOSTILE)).text
    assert "undefined, because the teacher is no better than the base" in shown
    assert "There are none: the student agrees" in shown
    assert "nats per trained token" not in shown


def test_costs_are_shown_by_stage(report: dict[str, Any]) -> None:
    cost = report["cost"]
    asked = {"prompt_tokens": 12_345, "sampled_tokens": 678, "usd": 0.1234}
    trained = {"sequence_tokens": 98_765, "usd": None}
    paid = {
        "generate": asked,
        "train": trained,
        "break_even_calls": 4_321,
        "break_even_in": "usd",
        "saved_usd_per_call": 1e-5,
    }
    shown = Tags(page(report_from({**report, "cost": {**cost, **paid}}), HOSTILE)).text
    for figure in ("12,345", "678", "0.1234", "98,765", "save $10.00", "after 4,321 calls"):
        assert figure in shown
    assert "prices" not in shown
    shown = Tags(
        page(report_from({**report, "cost": {**cost, "break_even_calls": 4_321, "break_even_in": "tokens"}}), HOSTILE)
    ).text
    assert "pays for itself after 4,321 calls (the run's tokens divided by" in shown


def test_a_curve_spans_its_drawing() -> None:
    drawn = curve([[1, 4.0], [2, 2.0], [4, 1.0]])
    assert drawn is not None
    assert drawn.points == "150.0,0.0 300.0,75.0 600.0,150.0"
    flat = curve([[1, 0.0], [2, 0.0]])
    assert flat is not None
    assert flat.points == "300.0,0.0 600.0,0.0"
    assert curve([[1, 4.0]]) is None


def test_a_matrix_holds_only_labels_that_occur() -> None:
    rows = [LabelPair("a", "a", 9), LabelPair("a", None, 1)]
    drawn = matrix(Confusions(["a", "b"], rows))
    assert drawn is not None
    assert drawn.columns == ["a", None]
    assert [(cell.n, cell.same, cell.shade) for cell in drawn.rows[0][1]] == [(9, True, 5), (1, False, 1)]
    assert drawn.mistakes == rows[1:]
    assert matrix(None) is None


@pytest.mark.slow
def test_page_runs_no_injected_script(report: dict[str, Any], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    place = tmp_path / "report.html"
    place.write_text(page(report_from(report), HOSTILE), "utf-8")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", place.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert re.search(r"<title>prompt: student fake:rule</title>", shown)
    assert re.search(r'<form id="filter" class="filter">', shown)  # the page's own script has run
    assert Tags(shown).counts["script"] == 1
