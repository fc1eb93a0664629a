"""The page of forced beginnings: what it says, what it never shows, and that hostile names are data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from helpers.browser import on_a_phone
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.prefill import draw_prefill
from safebasin.report.prefill import prefill_words, render_prefill, save_prefill


def share(value: float | None, half: float = 0.1) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value, "low": value - half, "high": value + half, "n": 40}


def after(tokens: int, refused: float, change: float | None) -> dict[str, Any]:
    moved = None if change is None else share(change)
    return {"tokens": tokens, "refused": share(refused), "success": share(1 - refused), "change": moved, "shorter": 0}


def document(**changes: Any) -> dict[str, Any]:
    made = {
        "schema_version": 1, "model": "org/chat", "fingerprint": "f", "judge": "refusal", "system": "default",
        "text": None, "rows": {"harmful": "h.jsonl, 40 rows"}, "notes": ["2 rows are short"],
        "sides": {"harmful": [after(0, 1.0, None), after(1, 0.95, -0.05), after(4, 0.2, -0.8)],
                  "benign": [after(0, 0.0, None), after(1, 0.0, 0.0)]},
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.slow
def test_it_says_what_is_told_apart_and_no_more(tmp_path: Path) -> None:
    assert prefill_words(document()) == [
        "Of harmful requests 100 % [90, 110] are refused with nothing forced, "
        "and 20 % [10, 30] behind 4 forced tokens.",
        "Of benign requests 0 % [-10, 10] are refused with nothing forced; "
        "behind a forced beginning no change is told from none.",
    ]
    page = save_prefill(document(), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "20.0 [10.0, 30.0]" in text
    assert "−80.0 [−90.0, −70.0]" in text
    assert "2 rows are short" in text
    assert json.loads((tmp_path / "out" / "prefill.json").read_text())["model"] == "org/chat"
    assert (tmp_path / "out" / "figures" / "prefill.png").read_bytes()[:4] == b"\x89PNG"
    assert "<script" not in text


def test_what_nobody_could_judge_is_no_zero() -> None:
    unknown = {**after(0, 0.5, None), "refused": share(None), "success": share(None)}
    found = document(sides={"harmful": [unknown]})
    assert prefill_words(found)[0].startswith("Of harmful requests an unknown share are refused")
    assert 'class="number">–</td>' in render_prefill(found)


def test_the_figure_draws_both_sides_with_every_number_of_tokens() -> None:
    with matplotlib.rc_context(STYLE):
        figure = draw_prefill(document())
    above, below = figure.axes
    assert [line.get_label() for line in above.get_lines()] == ["harmful requests", "benign requests"]
    assert list(above.get_lines()[0].get_ydata()) == pytest.approx([1.0, 0.95, 0.2])
    assert list(below.get_lines()[0].get_ydata()) == pytest.approx([0.0, 0.05, 0.8])
    assert [label.get_text() for label in below.get_xticklabels()] == ["0", "1", "4"]


@pytest.mark.parametrize("key", ["model", "text", "judge"])
def test_hostile_names_are_data(key: str) -> None:
    page = render_prefill(document(**{key: "<script>alert(1)</script>"}))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.browser
def test_nothing_sticks_out_on_a_phone(browser, tmp_path: Path) -> None:
    assert (
        on_a_phone(
            browser, render_prefill(document(model="an-organisation/" + "long-name-" * 9)), tmp_path / "report.html"
        )
        == []
    )
