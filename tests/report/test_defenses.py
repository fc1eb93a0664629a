"""The page and table of a comparison of defenses: the stress test in words and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import pytest

from helpers.browser import on_a_phone
from safebasin.report.budgets import budget_cells, falls, gaps, has_budgets, held_alike
from safebasin.report.defenses import render_defenses, save_defenses
from safebasin.report.figures.budgets import draw_budgets
from safebasin.report.figures.canvas import STYLE


def estimate(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n_censored": 0, **more}


def budget(name: str, smallest: dict[str, Any] | None, amounts: list[float], gap: str = "") -> dict[str, Any]:
    rates = [estimate(0.25 * place) for place in range(len(amounts))]
    return {"name": name, "smallest": smallest, "amounts": amounts, "rates": rates, "gap": gap}


def arm(name: str, budgets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name, "stage": "", "measures": [], "headroom": None, "moved": None,
        "cost": {"training": 1.0, "asking": 2.0}, "budgets": budgets,
    }  # fmt: skip


def document(*, stressed: bool = True) -> dict[str, Any]:
    held = [
        budget("steps", estimate(16.0, 9.0, n_censored=1), [0, 4, 16]),
        budget("more_steps", estimate(2.0, 1.0, 4.0), [0, 4, 16]),
        budget("line", estimate(0.25, 0.125, 0.5), [0, 0.5, 1]),
        budget("refusal_direction", None, [], "<b>none</b> is allowed"),
        budget("radius", estimate(1.5, 1.25, n_censored=2), []),
    ]
    broken = [budget("steps", estimate(1.0, 1.0, None), [0, 4, 16]), budget("more_steps", estimate(0.0), [0])]
    pairs = [
        {"budget": "steps", "first": "no defense", "second": "held", "apart": False},
        {"budget": "steps", "first": "no defense", "second": "other", "apart": True},
        {"budget": "steps", "first": "no defense", "second": "third", "apart": False},
    ]
    arms = [arm("before the attack", [])]
    arms += [arm("no defense", broken if stressed else []), arm("held", held if stressed else [])]
    return {
        "base": "org/base", "attack": "harmful_examples", "method": "full", "seed": 0, "sets": [], "judges": [],
        "arms": arms, "pairs": [], "budget_pairs": pairs if stressed else [],
    }  # fmt: skip


def test_budgets_say_what_was_tried_and_what_is_not_known() -> None:
    made = document()
    none, held = made["arms"][1:]
    assert [value for _, value, _ in budget_cells(held)] == [
        "> 16 [9, ∞)",
        "2 [1, 4]",
        "0.25 [0.12, 0.50]",
        "–",
        "> 1.50 [1.25, ∞)",
    ]
    assert [value for _, value, _ in budget_cells(none)] == ["1 [1, ∞)", "0", "–", "–", "–"]
    assert budget_cells(held)[0][2] == "0: 0 %, 4: 25 %, 16: 50 %"
    assert held_alike(made) == [("steps under it", "no defense", ["held", "third"])]
    assert gaps(made) == ["refusal direction of held: <b>none</b> is allowed"]
    assert falls(made) == []  # as of a folder of an earlier release, which does not say
    held["budgets"][1]["falls"] = True
    assert falls(made) == ["steps after it of held: attack success falls again, so that every budget was asked"]
    assert has_budgets(made)
    assert not has_budgets(document(stressed=False))


def test_a_mean_over_seeds_may_be_no_whole_number_and_some_may_have_broken_it() -> None:
    some = arm("some", [budget("steps", estimate(6.7, 2.0, n_censored=1), [0, 4, 16])])
    every = arm("every", [budget("steps", estimate(2.5, 1.25, 4.0), [0, 4, 16])])
    assert [budget_cells(one)[0][1] for one in (some, every)] == ["≥ 6.7 [2, ∞)", "2.5 [1.2, 4]"]


@pytest.mark.slow
def test_names_break_between_their_parts_and_stay_text(tmp_path: Path) -> None:
    made = document()
    made["arms"][1]["name"] = "resta(unaligned=a/b, <i>)"
    page = save_defenses(made, tmp_path / "made").read_text(encoding="utf-8")
    assert '<th scope="row">resta(<wbr>unaligned=<wbr>a/<wbr>b,<wbr> &lt;i&gt;)' in page


@pytest.mark.slow
def test_the_page_says_over_what_its_intervals_are(tmp_path: Path) -> None:
    one, several = (
        save_defenses({**document(), "stress_seeds": n}, tmp_path / str(n)).read_text(encoding="utf-8") for n in (1, 3)
    )
    assert "of one training." in one
    assert "over 3 training seeds too" in several
    assert "Steps are means over 3 training seeds" in several


@pytest.mark.slow
def test_the_page_has_them_where_they_were_asked_for(tmp_path: Path) -> None:
    made = document()
    made["arms"][2]["budgets"][0]["falls"] = True
    text = save_defenses(made, tmp_path).read_text(encoding="utf-8")
    assert "The smallest budget that breaks it" in text
    assert "<li>steps under it of held: attack success falls again" in text
    assert "&gt; 16 [9, ∞)" in text
    assert "by steps under it: no defense from held; third" in text
    assert "&lt;b&gt;none" in text
    assert "<script" not in text
    assert (tmp_path / "figures" / "budgets.png").read_bytes()[:4] == b"\x89PNG"
    plain = save_defenses(document(stressed=False), tmp_path / "plain").read_text(encoding="utf-8")
    assert "smallest budget" not in plain
    assert not (tmp_path / "plain" / "figures" / "budgets.png").exists()


@pytest.mark.filterwarnings("error")
def test_what_is_censored_is_an_open_sign_and_what_is_missing_none() -> None:
    with matplotlib.rc_context(STYLE):
        figure = draw_budgets(document())
    steps, more, line, direction, radius = figure.axes
    signs = [drawn for drawn in steps.get_lines() if drawn.get_marker() in (">", "D")]
    assert [drawn.get_marker() for drawn in signs] == ["D", ">"]
    assert signs[1].get_markerfacecolor() == "white"
    assert [tick.get_text() for tick in steps.get_xticklabels()] == ["0", "4", "16"]
    assert len(line.get_lines()) == 2  # an interval and a value
    assert not direction.get_lines()
    assert [drawn.get_marker() for drawn in radius.get_lines()] == ["None", ">"]
    assert len(more.get_lines()) == 3


@pytest.mark.browser
def test_nothing_sticks_out_on_a_phone(browser, tmp_path: Path) -> None:
    assert on_a_phone(browser, render_defenses(document()), tmp_path / "report.html") == []
