"""What a pipeline reads of an audit: JUnit XML that parses whatever a model is called, and Markdown that is text."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import pytest

from helpers.verdicts import make_condition, make_metric, make_verdict
from safebasin.audit.records import Model
from safebasin.audit.verdict import to_json
from safebasin.report.gate import render_junit, render_summary, rules

HOSTILE = "]]><script>x</script>\x00\x1b[2J\ufffe\ud800 | `a` [l](http://x) @you\n# head"


def document(*conditions: Any, **fields: Any) -> dict[str, Any]:
    return json.loads(to_json(make_verdict(*conditions, **fields)))


def fleet(**model: Any) -> dict[str, Any]:
    metric = {"name": "asr", "base": 0.0, "tuned": 0.1, "difference": 0.1, "bound": 0.2, "decision": "undecided"}
    row = {"name": "step-1", "model": "m", "decision": "undecided", "reason": "few prompts", "metrics": [metric]}
    lost = {"name": "step-2", "model": "n", "decision": None, "reason": "no weights", "metrics": []}
    return {
        "decision": "undecided",
        "created": "2026-01-02T03:04:05+00:00",
        "level": 0.025,
        "models": [row | model, lost],
    }


def test_a_failure_is_said_with_the_bound_that_fails_it_and_each_limit() -> None:
    (asr, _) = rules(document(make_condition(make_metric(gained=60))))
    metric = make_metric(gained=60).difference
    assert (
        asr.said
        == f"attack success worse by +75.0 points, at least +{100 * (metric.low or 0):.1f} points, limit 5 points"
    )
    (asr, _) = rules(document(make_condition(make_metric(gained=2))))
    assert "at most +" in asr.said
    failed = {"name": "asr", "difference": 0.6, "low": 0.4, "bound": 0.8, "limit": 0.05, "decision": "fail"}
    asr = next(rule for rule in rules(fleet(metrics=[failed])) if rule.name == "asr")
    assert asr.said == "attack success worse by +60.0 points, at least +40.0 points, limit 5 points"


def test_a_fleet_has_its_floors_fails_first_and_says_a_reason_once() -> None:
    floor = {"name": "base_answers", "share": 1.0, "low": 0.9, "floor": 0.5, "met": True}
    found = fleet(floors=[floor])
    first, lost = found["models"]
    found["models"] = [first, first | {"name": "step-3"}, first | {"name": "step-4", "decision": "fail"}, lost]
    assert [rule.name for rule in rules(found) if rule.model == "step-1"] == ["asr", "base_answers", "verdict"]
    assert list(dict.fromkeys(rule.model for rule in rules(found))) == ["step-4", "step-2", "step-1", "step-3"]
    text = render_summary(found)
    assert "4 models\\: 1 failed \\(step\\-4\\), 1 not measured, 2 not decided\\." in text
    assert text.count("few prompts") == 1


def tags(text: str) -> Counter[str]:
    return Counter(element.tag for element in ElementTree.fromstring(text.encode()).iter())


@pytest.mark.parametrize(("gained", "tag"), [(0, "system-out"), (2, "skipped"), (60, "failure")])
def test_a_rule_is_a_case_and_so_is_the_verdict(gained: int, tag: str) -> None:
    found = document(make_condition(make_metric(gained=gained), make_metric("capability", limit=None), floors=()))
    counted = tags(render_junit(found))
    assert counted["testcase"] == 2, "one limit, one verdict; what has no limit is no rule"
    assert counted[tag] == 2


def test_the_counts_are_those_of_the_cases() -> None:
    root = ElementTree.fromstring(render_junit(fleet()).encode())
    assert {key: root.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3", "failures": "0", "skipped": "2", "errors": "1",
    }  # fmt: skip
    assert [suite.get("tests") for suite in root] == ["1", "2"], (
        "what could not be measured is before what is not decided"
    )


def test_hostile_names_are_text_in_both() -> None:
    verdict = document(make_condition(make_metric()))
    verdict["tuned"] = dataclasses.asdict(Model(model=HOSTILE, fingerprint="f", kind="checkpoint"))
    for found in (verdict, fleet(name=HOSTILE, reason=HOSTILE)):
        junit = render_junit(found)
        assert tags(junit)["script"] == 0
        assert "\x1b" not in junit
        table = render_summary(found)
        assert "<script" not in table
        assert "[l](" not in table
        assert not any(line.startswith("# ") for line in table.splitlines())
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_the_summary_names_every_rule() -> None:
    found = document(make_condition(make_metric(gained=60)))
    text = render_summary(found)
    assert text.startswith("## safebasin: Fail\n")
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + len(rules(found))
