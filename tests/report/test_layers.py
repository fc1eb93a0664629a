"""The page of located layers: what it says, what it never shows, and that hostile names are data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from helpers.browser import on_a_phone
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.layers import draw_layers
from safebasin.report.layers import render_layers, save_layers


def number(value: float | None) -> dict[str, Any]:
    return {"value": value, "low": None if value is None else value - 1, "high": None if value is None else value + 1}


def document(**changes: Any) -> dict[str, Any]:
    kinds = ("benign-benign", "harmful-harmful", "benign-harmful")
    curves = {
        "cosine": {kind: [0.9, 0.8, 0.7] for kind in kinds},
        "spread": {kind: [0.1, 0.1, 0.1] for kind in kinds},
        "angle_gap": [number(0.0), number(5.0), number(6.0)],
        "rise": [number(0.0), number(5.0), number(1.0)],
        "cosine_gap": [0.0, 0.1, 0.1],
        "contrast": [number(0.0), number(4.0), number(4.5)],
        "contrast_rise": [number(0.0), number(4.0), number(0.5)],
    }
    bands = [{"first": 1, "last": last} for last in (1, 2)]
    candidates = [
        {"band": bands[0], "refused": number(0.4), "lead": None},
        {"band": bands[1], "refused": number(0.1), "lead": {"value": 0.3, "low": 0.2, "high": 0.4}},
    ]
    scaling = {
        "factor": 1.2, "spread": 0.1, "plain": number(0.1), "judge": "refusal", "prompts": "b.csv, 9 prompts",
        "sweeps": [{"bound": "last", "candidates": candidates, "chosen": bands[0]}],
    }  # fmt: skip
    made = {
        "schema_version": 1, "band": bands[0], "model": "org/chat", "n_layers": 3, "pairs": 500, "seed": 0,
        "prompts": {"harmful": "h.csv, 9 prompts"}, "curves": curves, "control": None, "control_model": None,
        "bands": {"angle": bands[0], "cosine": None}, "scaling": scaling, "notes": [],
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.slow
def test_it_says_band_and_command_and_writes_what_it_says(tmp_path: Path) -> None:
    page = save_layers(document(), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "Layers 1 to 1 of 3" in text
    assert "sppft(layers=1-1)" in text
    assert "apart from the chosen one" in text
    assert json.loads((tmp_path / "out" / "layers.json").read_text())["band"] == {"first": 1, "last": 1}
    assert (tmp_path / "out" / "figures" / "layers.png").read_bytes()[:4] == b"\x89PNG"
    assert "<script" not in text


def test_without_a_band_it_says_so() -> None:
    text = render_layers(document(band=None, scaling=None, bands={"angle": None, "cosine": None}))
    assert "No layer is found" in text
    assert "sppft(" not in text


def test_the_control_stands_beside() -> None:
    given = document()
    text = render_layers({**given, "control": given["curves"], "control_model": "org/base"})
    assert "gap of org/base" in text


def test_hostile_names_are_data() -> None:
    text = render_layers(document(model="<img src=x onerror=alert(1)>\u202e"))
    assert "<img src=x" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("changes", [{}, {"scaling": None}, {"model": "long/" * 60}])
def test_no_word_is_clipped(changes: dict[str, Any]) -> None:
    with matplotlib.rc_context(STYLE):
        figure = draw_layers(document(**changes))
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert -0.01 <= box.x0 < box.x1 <= width + 0.01
    assert -0.01 <= box.y0 < box.y1 <= height + 0.01


@pytest.mark.browser
def test_nothing_sticks_out_on_a_phone(browser, tmp_path: Path) -> None:
    assert (
        on_a_phone(
            browser, render_layers(document(model="an-organisation/" + "long-name-" * 9)), tmp_path / "report.html"
        )
        == []
    )
