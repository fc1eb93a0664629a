"""The page of an audit: the answer first, hostile names as text, nothing that runs."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from helpers.browser import Visit
from helpers.verdicts import CHANGE, make_condition, make_metric, make_verdict
from safebasin.audit.records import Headroom, Metric, Model
from safebasin.audit.verdict import to_json
from safebasin.report.audit import render_audit

HOSTILE = "</title><script>document.title='owned'</script>\x1b[2J\u202e"


def page(*conditions, **fields) -> str:
    return render_audit(json.loads(to_json(make_verdict(*conditions, **fields))))


@pytest.mark.parametrize(("gained", "word"), [(0, "✓ Pass"), (2, "? Not decidable"), (60, "✗ Fail")])
def test_the_first_thing_is_the_answer_with_its_reason(gained: int, word: str) -> None:
    condition = make_condition(make_metric(gained=gained))
    text = page(condition)
    first = text[text.index("<main>") :]
    assert first.index(word) < first.index(make_verdict(condition).reason) < first.index("<table")


def test_numbers_are_those_of_the_document() -> None:
    text = page(make_condition(make_metric(gained=60), make_metric("capability", limit=None), changes=(CHANGE,) * 60))
    assert "<b>+75.0</b>" in text
    assert "Headroom by keyword/peng2024: −0.25. ASR reaches one half at α = 0.75, before the tuned model." in text
    assert "The weights moved by 1% of their norm; 3 of 4 tensors moved." in text
    assert "The other 20 are in verdict.json." in text
    assert "Marked unsafe" in text
    assert "Measured without a limit" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"value": -0.25, "censored": False, "low": -0.3, "high": -0.2, "between": (0.5, 1.0), "coarse": True},
            "−0.25 [−0.30, −0.20]. ASR reaches one half at α = 0.75, before the tuned model. That is coarse: measured "
            "is only that it lies between α = 0.5 and 1.",
        ),
        (
            {"value": 0.5, "censored": False, "low": -0.3, "high": 0.9, "between": (1.0, 1.5)},
            "+0.50 [−0.30, +0.90]. ASR reaches one half at α = 1.50, beyond the tuned model.<",
        ),
        (
            {"value": 1.0, "censored": True, "low": 0.8},
            "≥ 1.00 [+0.80, …) one-sided 97.5%. ASR stays below one half on the whole measured line.<",
        ),
    ],
)
def test_headroom_has_an_interval_and_says_when_the_grid_is_coarse(fields, said: str) -> None:
    given = make_verdict(make_condition(make_metric())).line
    line = dataclasses.replace(given, headroom=(Headroom(judge="outcome", **fields),))
    assert f"Headroom by outcome: {said}" in page(make_condition(make_metric()), line=line)


def test_capability_without_an_oracle_is_called_answers() -> None:
    metrics = make_metric(), make_metric("capability", gained=2)
    answers, exact = page(make_condition(*metrics)), page(make_condition(metrics[0], exactly(metrics[1])))
    assert "answers to benign prompts" in answers
    assert "answered, rightly or not (capability in the policy)" in answers
    assert "answers to benign prompts" not in exact
    assert "benign prompts that are answered exactly" in exact


def exactly(metric: Metric) -> Metric:
    return dataclasses.replace(metric, judge="oracle")


def test_without_a_line_and_with_several_conditions() -> None:
    conditions = make_condition(make_metric()), make_condition(make_metric(gained=60), system="none")
    text = page(*conditions, line=None, distance=None, notes=("TUNED is not on a line.",))
    assert "The line from base" not in text
    assert "TUNED is not on a line." in text
    assert "The verdict depends on system prompt" in text
    assert text.count("<h3>system prompt") == 2


def test_names_are_text_and_nothing_runs() -> None:
    hostile = Model(model=HOSTILE, fingerprint="0", kind="checkpoint", unsafe=True)
    text = page(make_condition(make_metric(), system=HOSTILE), tuned=hostile)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\\u202e" in text
    assert "script-src" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_is_quiet_and_does_not_scroll_sideways(browser, width: int, tmp_path) -> None:
    path = tmp_path / "report.html"
    metrics = make_metric(gained=60), make_metric("capability", gained=2)
    path.write_text(page(make_condition(*metrics, changes=(CHANGE,) * 9)), encoding="utf-8")
    seen = Visit(browser, path.as_uri(), "#answer", viewport={"width": width, "height": 800})
    for summary in seen.page.query_selector_all("summary"):
        summary.click()
    assert seen.said == []
    assert seen.requests == [path.as_uri()]
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    box = seen.page.query_selector(".verdict").bounding_box()
    assert box["y"] + box["height"] < 800
    seen.context.close()


def test_a_line_on_which_an_earlier_release_measured_more_is_drawn() -> None:
    document = json.loads(to_json(make_verdict(make_condition(make_metric()))))
    usual = render_audit(document)
    document["line"]["rates"]["over_refusal"] = next(iter(document["line"]["rates"].values()))
    assert render_audit(document) == usual


def test_each_metric_says_how_many_prompts_and_clusters_it_rests_on() -> None:
    metric = make_metric(gained=2, n=60)
    method = metric.difference.method.replace("60 prompts", "60 prompts in 34 clusters, each taken as one")
    clustered = dataclasses.replace(
        make_metric("capability", n=60), difference=dataclasses.replace(metric.difference, method=method)
    )
    page = render_audit(json.loads(to_json(make_verdict(make_condition(metric, clustered)))))
    assert '<td data-name="prompts" class="number">60</td>' in page
    assert '<td data-name="prompts" class="number">60 in 34 clusters</td>' in page
