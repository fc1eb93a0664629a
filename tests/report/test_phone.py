"""Every page at the size of a phone, with names as long as those of real models: nothing sticks out, nothing is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import on_a_phone
from helpers.landscapes import make_landscape, make_manifest, make_samples
from helpers.regions import make_compared, make_group, make_study
from helpers.verdicts import make_condition, make_metric, make_verdict
from safebasin.audit.verdict import to_json
from safebasin.report.audit import render_audit
from safebasin.report.comparison import render_comparison
from safebasin.report.fleet import render_fleet
from safebasin.report.html import render_html
from safebasin.report.sweep import render_sweep

pytestmark = pytest.mark.browser
NAME = "an-organisation/a-model-of-7-billion-parameters-that-was-tuned-on-something-with-a-long-name"


def rate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def fleet() -> dict[str, Any]:
    def metric(name: str) -> dict[str, Any]:
        return {"name": name, "base": 0.125, "tuned": 0.875, "difference": 0.75, "bound": 0.81, "decision": "fail"}

    names = ("asr", "asr_outcome", "over_refusal", "capability", "radius")
    model = {"name": NAME, "decision": "fail", "unsafe": True, "relative": 0.0123, "reason": f"worse than {NAME}",
             "metrics": [metric(name) for name in names]}  # fmt: skip
    lost = {
        **model,
        "decision": None,
        "metrics": [],
        "relative": None,
        "reason": f"model must be a folder; got '{NAME}'",
    }
    return {"base": NAME, "decision": "fail", "level": 0.975, "models": [model, lost]}


def sweep() -> dict[str, Any]:
    model = {"name": NAME, "rate": rate(0.5), "difference": rate(0.4), "p_adjusted": 1.25e-7, "told": "higher",
             "outcomes": {"refusal": 100, "complied": 12, "incoherent": 8}}  # fmt: skip
    table = {"prompts": "jailbreak/mismatched_generalisation", "system": "default", "judge": "keyword/peng2024",
             "is_benign": False, "base": rate(0.1), "models": [model] * 3}  # fmt: skip
    return {"base": NAME, "tables": [table], "failed": {NAME: f"'{NAME}' is of another architecture"}, "level": 0.05}


def audit() -> str:
    changes = make_condition(make_metric(gained=60), make_metric("capability", gained=2), system=NAME)
    return render_audit(json.loads(to_json(make_verdict(changes))))


def study(landscape: Any) -> str:
    return render_html(landscape, make_manifest(), make_samples(landscape), title=f"Safety basin of {NAME}")


@pytest.mark.parametrize(
    "made",
    [
        lambda: study(make_landscape(points=11, prompts=12, panels=2, model=NAME)),
        lambda: study(make_study(points=5, prompts=6)),
        lambda: study(make_group(blocks=6, points=5, prompts=6)),
        lambda: render_comparison(make_compared(first=NAME), title="Compared"),
        audit,
        lambda: render_fleet(fleet()),
        lambda: render_sweep(sweep()),
    ],
    ids=["lines", "planes", "group", "comparison", "audit", "fleet", "sweep"],
)
def test_nothing_sticks_out(browser, tmp_path: Path, made) -> None:
    assert on_a_phone(browser, made(), tmp_path / "report.html") == []


def test_what_sticks_out_is_found(browser, tmp_path: Path) -> None:
    page = "<!DOCTYPE html><meta name=viewport content='width=device-width'><h1>x</h1>{}"
    wide = "<div style='width: 500px'>wide</div>"
    found = on_a_phone(browser, page.format(wide), tmp_path / "a.html")
    assert found == ["the page scrolls sideways", "sticks out: div wide"]
    assert on_a_phone(browser, page.format(f"<p style='overflow-x: auto'>{wide}</p>"), tmp_path / "b.html") != []
    assert on_a_phone(browser, page.format(f"<div style='overflow-x: auto'>{wide}</div>"), tmp_path / "c.html") == []
    cut = "<p style='width: 50px; overflow: hidden; white-space: nowrap'>a long line of text</p>"
    assert on_a_phone(browser, page.format(cut), tmp_path / "d.html") == ["is cut: p a long line of text"]
