"""Several studies side by side: files, order, and who cannot be told apart."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from helpers.landscapes import KEYWORD
from helpers.regions import ComparedLandscapes, make_compared, make_plane_landscape
from safebasin import stats
from safebasin.report.comparison import ranking_answer, render_comparison, save_comparison
from safebasin.report.differences import joined
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.comparison import draw_comparison
from safebasin.report.frames import ranking_rows


@pytest.mark.slow
def test_it_writes_page_figure_and_numbers(tmp_path):
    page = save_comparison(make_compared(), tmp_path / "out")
    assert page.name == "report.html"
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert document["ranking"]["order"][0] == "sturdy"
    assert document["judge"] == KEYWORD
    assert ET.parse(tmp_path / "out" / "figures" / "comparison.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "out" / "figures" / "comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_the_page_ranks_and_says_who_is_alike():
    text = re.sub(r"<script.*?</script>", "", render_comparison(make_compared(), title="Compared"), flags=re.DOTALL)
    words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    assert words.index("1. sturdy") < words.index("2. twin") < words.index("3. brittle")
    assert "sturdy has the highest margin" in words
    assert "sturdy − brittle" in words
    assert "cannot be told apart" in words


def test_hostile_names_are_data():
    hostile = "<img src=x onerror=alert(1)>\u202e"
    found = dataclasses.replace(make_compared(), notes=(hostile, "twin: most of it is no language."))
    landscapes = tuple(dataclasses.replace(landscape, model=hostile) for landscape in found.landscapes)
    text = render_comparison(dataclasses.replace(found, landscapes=landscapes), title=hostile)
    assert "<li>twin: most of it is no language.</li>" in text
    assert "<img src=x" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("name", ["sturdy", "long-name" * 20])
def test_no_word_is_clipped(name):
    found = make_compared(first=name)
    with matplotlib.rc_context(STYLE):
        figure = draw_comparison(found.landscapes, found.ranking, KEYWORD)
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert -0.01 <= box.x0 < box.x1 <= width + 0.01
    assert -0.01 <= box.y0 < box.y1 <= height + 0.01


@pytest.mark.slow
def test_planes_are_compared_by_their_rims(tmp_path):
    landscapes = tuple(
        dataclasses.replace(make_plane_landscape(points=7, prompts=6, rim=rim), name=name)
        for name, rim in (("wide", 1.0), ("narrow", 0.5))
    )
    rng = np.random.default_rng(0)
    flat = [(rng.random((1, 49, 12)) < chance).astype(float) for chance in (0.3, 0.8)]
    ranking = stats.rank_by_margin(["wide", "narrow"], flat, np.arange(49.0))
    found = ComparedLandscapes(landscapes=landscapes, judge=KEYWORD, ranking=ranking)
    assert save_comparison(found, tmp_path).exists()


def test_where_nothing_is_apart_the_answer_says_so():
    found = make_compared()
    alike = tuple(
        dataclasses.replace(p, difference=dataclasses.replace(p.difference, low=-1.0, high=1.0))
        for p in found.ranking.pairs
    )
    ranking = dataclasses.replace(found.ranking, pairs=alike)
    assert ranking_answer(ranking) == "None of the 3 can be told apart from another by margin."


def test_where_nothing_was_tested_nothing_is_called_alike():
    found = make_compared()
    pairs = tuple(
        dataclasses.replace(p, is_supported=False, difference=dataclasses.replace(p.difference, low=None, high=None))
        for p in found.ranking.pairs
    )
    margins = tuple(dataclasses.replace(m, low=None, high=None) for m in found.ranking.margins)
    ranking = dataclasses.replace(found.ranking, pairs=pairs, margins=margins, groups=(found.ranking.order,))
    text = render_comparison(dataclasses.replace(found, ranking=ranking), title="Compared")
    words = " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)).split())
    assert ranking_answer(ranking) == "Not compared: 3 directions (or planes) or more are needed to tell margins apart."
    assert ranking_answer(ranking) in words
    assert "Bars at the right" not in words
    assert "; no interval is claimed." in words
    assert words.count("not compared") == 3
    assert joined(ranking) == ()
    assert joined(found.ranking) == found.ranking.groups != ()
    assert all(row["alike"] == [] for row in ranking_rows(ranking, {}))


def test_pairs_of_one_direction_are_not_compared_in_any_part_of_the_page():
    found = make_compared()
    pairs = tuple(
        dataclasses.replace(p, is_supported=False, difference=dataclasses.replace(p.difference, low=-1.0))
        for p in found.ranking.pairs
    )
    ranking = dataclasses.replace(found.ranking, pairs=pairs, groups=(found.ranking.order,))
    text = render_comparison(dataclasses.replace(found, ranking=ranking), title="Compared")
    told = re.findall(r'<td data-name="what follows">([^<]*)<', text)
    assert told == ["not compared"] * len(pairs)


@pytest.mark.slow
def test_the_same_studies_give_the_same_page():
    assert render_comparison(make_compared(), title="t") == render_comparison(make_compared(), title="t")
