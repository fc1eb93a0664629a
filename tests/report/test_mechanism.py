"""The page of a mechanism: what it says, what it never shows, and that hostile names are data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from helpers.browser import on_a_phone
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.mechanism import draw_mechanism
from safebasin.report.mechanism import mechanism_words, render_mechanism, save_mechanism


def number(value: float, half: float = 1.0) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half}


def sides(benign: float, harmful: float) -> dict[str, Any]:
    return {"benign": number(benign), "harmful": number(harmful)}


def document(**changes: Any) -> dict[str, Any]:
    columns = {"rank": 8, "rank_change": 2, "sines": [1.0, 0.9], "chance": 0.9, "sine": None}
    matrices = [
        {"name": f"layers.{layer}.up", "layer": layer, "columns": columns if layer else None, "control": None,
         "firing": sides(1.0, 3.0), "firing_gap": number(2.0 * layer)}
        for layer in range(2)
    ]  # fmt: skip
    made = {
        "schema_version": 1, "base": "org/base", "tuned": "org/chat", "control": None, "fingerprint": "f",
        "n_layers": 2, "prompts": {"harmful": "h.csv, 12 prompts"}, "seed": 0, "notes": [],
        "layers": [{"layer": layer, "base": sides(0.1, 0.1), "tuned": sides(3.0 * layer, -3.0 * layer)}
                   for layer in range(2)],
        "matrices": matrices,
        "sensitivity": {"base": sides(5.0, 5.0), "tuned": sides(5.0, 2.0), "change": sides(0.0, -3.0)},
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.slow
def test_it_says_what_is_told_apart_and_no_more(tmp_path: Path) -> None:
    assert mechanism_words(document()) == [
        "TUNED tells harmful requests from benign ones after layer 1; BASE after no layer.",
        "The change answers more strongly to harmful requests in 1 of 2 matrices.",
        "It writes outside the column space of its matrix more than a random change would in 1 of 2.",
        "The largest logit became flatter on harmful prompts.",
        "The slope of the largest logit on benign prompts is not told from what it was.",
    ]
    page = save_mechanism(document(), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "after layer 1; BASE after no layer" in text
    assert "unchanged" in text
    assert json.loads((tmp_path / "out" / "mechanism.json").read_text())["base"] == "org/base"
    assert (tmp_path / "out" / "figures" / "mechanism.png").read_bytes()[:4] == b"\x89PNG"
    assert "<script" not in text


def test_layers_in_a_row_are_said_as_one() -> None:
    apart, alike = sides(3.0, -3.0), sides(0.1, 0.1)
    layers = [
        {"layer": n, "base": apart if n == 2 else alike, "tuned": alike if n in (0, 4) else apart} for n in range(6)
    ]
    said = mechanism_words(document(layers=layers))[0]
    assert said == "TUNED tells harmful requests from benign ones after layers 1 to 3, 5; BASE after layer 2."


def test_without_gradients_nothing_is_said_of_slopes() -> None:
    text = render_mechanism(document(sensitivity=None))
    assert "Local sensitivity" not in text
    assert len(mechanism_words(document(sensitivity=None))) == 3


def test_where_no_interval_is_claimed_no_difference_is_told() -> None:
    """All prompts alike, such as where nothing changed: tables and figure stand, without an interval."""
    bare = {"value": 0.0, "low": None, "high": None}
    none = {"benign": bare, "harmful": bare}
    given = document(
        layers=[{"layer": 0, "base": none, "tuned": none}],
        matrices=[{"name": "up", "layer": 0, "columns": None, "control": None, "firing": none, "firing_gap": bare}],
        sensitivity={"base": none, "tuned": none, "change": none},
    )
    said = mechanism_words(given)
    assert said[0] == "TUNED tells harmful requests from benign ones after no layer; BASE after no layer."
    assert said[-1] == "The slope of the largest logit on benign prompts is not told from what it was."
    assert "Local sensitivity" in render_mechanism(given)


def test_the_control_stands_beside() -> None:
    given = document(control="org/more")
    given["matrices"][1]["control"] = given["matrices"][1]["columns"]
    assert "control <code>org/more</code>" in render_mechanism(given)


def test_hostile_names_are_data() -> None:
    text = render_mechanism(document(base="<img src=x onerror=alert(1)>\u202e"))
    assert "<img src=x" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("changes", [{}, {"base": "long/" * 60}])
def test_no_word_is_clipped(changes: dict[str, Any]) -> None:
    with matplotlib.rc_context(STYLE):
        figure = draw_mechanism(document(**changes))
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert -0.01 <= box.x0 < box.x1 <= width + 0.01
    assert -0.01 <= box.y0 < box.y1 <= height + 0.01


@pytest.mark.browser
def test_nothing_sticks_out_on_a_phone(browser, tmp_path: Path) -> None:
    assert (
        on_a_phone(
            browser, render_mechanism(document(base="an-organisation/" + "long-name-" * 9)), tmp_path / "report.html"
        )
        == []
    )
