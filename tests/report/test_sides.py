"""A line to a target: the nearer crossing in the headline, each side its own tint and row, no mean over both."""

from __future__ import annotations

import dataclasses
import html
import re

import pytest

from helpers.browser import Visit
from helpers.landscapes import make_landscape, make_line_to_target, make_manifest, make_samples
from safebasin.records import Comparison, Estimate, Landscape
from safebasin.report.differences import difference_words
from safebasin.report.explanations import explanation, in_order
from safebasin.report.figures import draw_asr
from safebasin.report.headlines import headline
from safebasin.report.html import render_html
from safebasin.report.layout import target_name
from safebasin.report.sides import Rim, alpha_words, rim_words, rims
from safebasin.report.terminal import terminal_curve

LINE = make_line_to_target()
PANEL = LINE.panels[0]


def page(landscape: Landscape) -> str:
    text = render_html(landscape, make_manifest(), [], title="Basin")
    plain = re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    return " ".join(html.unescape(plain).split())


def test_each_side_has_its_own_rim():
    assert rims(PANEL) == (Rim(alpha=pytest.approx(0.28), is_bound=False), Rim(alpha=-0.5, is_bound=True))
    assert rim_words(PANEL) == "radius 0.28 toward, ≥ 0.50 away"


def test_both_sides_of_drawn_directions_are_at_the_mean():
    panel = make_landscape().panels[0]
    left, right = rims(panel)
    assert (-left.alpha, left.is_bound) == (right.alpha, right.is_bound) == (panel.summary["radius"].value, False)
    assert rim_words(panel).startswith("mean radius ")
    assert rims(make_landscape(rim=9).panels[0])[0].is_bound


def test_a_line_with_one_side_has_one_rim():
    panel = make_line_to_target(reach=0).panels[0]
    assert [rim.alpha for rim in rims(panel)] == pytest.approx([0.28])
    assert rim_words(panel) == "radius 0.28 toward"
    assert "ends toward the target (α > 0) at α ≈ +0.28" in headline(panel)


def test_the_nearer_crossing_is_in_the_headline():
    said = headline(PANEL)
    assert "its basin ends toward the target (α > 0) at α ≈ +0.28" in said
    assert "away from the target (α < 0) it does not end up to α = −0.50, the end of the range" in said
    assert "at least" not in said
    assert "beyond the nearer end, 0.0% of the responses" in said
    assert said in " ".join(terminal_curve(LINE, width=100).split())
    assert said in page(LINE)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "; along the line to org/unsafe its basin ends"),
        ({"target": "/home/me/tuned/step-100"}, "; along the line to step-100 its basin ends"),
        ({"kind": "adapter", "target": "org/lora"}, "; along the line to the adapter org/lora its basin ends"),
        ({"kind": "quant", "target": "int4"}, "; its basin ends"),
        ({"kind": "task", "target": "org/a,org/b"}, "; its basin ends"),
        ({"target": "org/" + "x" * 60}, "; its basin ends"),
    ],
)
def test_the_headline_names_the_model_that_a_line_leads_to(fields, words):
    region = PANEL.region
    spec = dataclasses.replace(region.axes[0].directions[0], **fields)
    there = dataclasses.replace(region, axes=(dataclasses.replace(region.axes[0], directions=(spec,)),), name="line")
    panel = dataclasses.replace(PANEL, region=there)
    assert words in headline(panel)
    landscape = dataclasses.replace(LINE, panels=(panel,))
    assert words in " ".join(terminal_curve(landscape, width=100).split())
    assert words in page(landscape)


def test_so_does_that_of_prompts_that_should_be_answered():
    half = Estimate(value=0.28)
    answers = {"answered": Estimate(value=1.0), "answer_radius_toward": half, "answer_radius_away": half}
    said = headline(dataclasses.replace(PANEL, summary=answers | {"answer_radius": half}))
    assert "; along the line to org/unsafe half are answered up to α = +0.28 and up to α = −0.28" in said


def test_a_plane_and_drawn_directions_lead_to_no_model():
    assert target_name(make_landscape().panels[0].region) == ""
    region = PANEL.region
    assert target_name(dataclasses.replace(region, axes=region.axes * 2)) == ""


def test_a_line_that_ends_on_neither_side_says_how_far_it_was_measured():
    safe = {name: dataclasses.replace(e, n_censored=1) for name, e in PANEL.summary.items() if "radius" in name}
    said = headline(dataclasses.replace(PANEL, summary=dict(PANEL.summary) | safe))
    assert "ASR stays below 50% over the whole measured range, α = −0.50 to +0.28" in said


def test_tables_list_sides_and_no_whole():
    names = in_order(PANEL.summary)
    assert {"radius_toward", "radius_away", "margin_toward", "margin_away"} <= set(names)
    assert not {"radius", "margin", "collapse", "harm_radius"} & set(names)
    assert names.index("radius_toward") + 1 == names.index("radius_away")
    assert names[-1].startswith("visage")
    assert explanation("radius", PANEL).title == explanation("radius_toward", PANEL).title == "radius, toward"
    assert "average over sides" not in explanation("radius_away", PANEL).plain
    assert "both sides together" in explanation("visage", PANEL).caveat
    assert "average over sides" in explanation("radius", make_landscape().panels[0]).plain


def test_the_key_figures_name_both_sides():
    words = page(LINE)
    assert re.search(r"radius, toward 0\.28 .{0,40}until half of the prompts succeed; away: ≥ 0\.50", words)
    assert "Diamonds and tint: the radius of each side" in words


def test_figures_tint_each_side_to_its_own_end():
    figure = draw_asr(LINE, PANEL)
    spans = sorted(round(patch.get_x() + min(0, patch.get_width()), 3) for patch in figure.axes[0].patches)
    widths = sorted(round(abs(patch.get_width()), 3) for patch in figure.axes[0].patches)
    assert widths == [0.28, 0.5]
    assert spans[0] == -0.5


@pytest.mark.parametrize(("directions", "verdict"), [(1, "of 1 direction only: no verdict"), (3, "lower")])
def test_no_word_of_fewer_than_three_drawn_directions(directions, verdict):
    found = Estimate(value=-0.25, low=-0.33, high=-0.08, n=40)
    assert difference_words(found, make_landscape(directions=directions).panels[0].region)[2] == verdict
    assert difference_words(found, PANEL.region)[2] == "lower", "a line to a target is all there is"


def test_what_rounds_to_nothing_has_no_minus():
    assert difference_words(Estimate(value=-0.0004, low=-0.1, high=0.1), PANEL.region)[0] == "+0.0 points"


@pytest.mark.slow
def test_every_difference_names_its_region():
    row = Comparison(
        region=PANEL.region.name, kind="system", statistic="margin toward on harmful", before="default", after="none",
        estimate=Estimate(value=-0.25, low=-0.33, high=-0.08, n=40),
    )  # fmt: skip
    landscape = dataclasses.replace(LINE, comparisons=(row,))
    assert "to:org/unsafe: default → none, margin toward on harmful: −25.0 points" in terminal_curve(
        landscape, width=100
    )
    assert "margin toward on harmful to:org/unsafe −25.0 points" in page(landscape)


@pytest.mark.slow
def test_bands_of_one_direction_are_called_what_they_are():
    two = dataclasses.replace(LINE, panels=(PANEL, dataclasses.replace(PANEL, system="none")))
    assert "their range" not in page(two)
    assert "One direction. Shaded: 95% interval of each point." in page(two)
    assert "Lines: mean over 3 directions. Shaded: their range." in page(make_landscape(panels=2))


@pytest.mark.slow
def test_an_interval_where_prompts_were_left_out_is_called_what_it_is():
    first, *others = PANEL.points
    stopped = dataclasses.replace(PANEL, points=(dataclasses.replace(first, n_planned=first.n_planned - 1), *others))
    assert "Shaded: Wilson 95% interval of each point." in page(dataclasses.replace(LINE, panels=(PANEL,)))
    words = "Shaded: 95% interval (Wilson's; where prompts were left out, a confidence sequence) of each point."
    assert words in html.unescape(page(dataclasses.replace(LINE, panels=(stopped,))))


@pytest.mark.browser
def test_the_page_tints_each_side_to_its_own_end(browser, tmp_path):
    path = tmp_path / "report.html"
    two = dataclasses.replace(LINE, panels=(PANEL, dataclasses.replace(PANEL, system="none")))
    path.write_text(render_html(two, make_manifest(), make_samples(two), title="Basin"), encoding="utf-8")
    visit = Visit(browser, path.as_uri(), "#panel-1 .asr .scatterlayer .trace")
    shapes = visit.page.evaluate(
        "() => document.querySelector('#panel-1 .asr').layout.shapes.filter((s) => s.type === 'rect').map((s) => s.x1)"
    )
    marks = visit.page.evaluate(
        """() => document.querySelector('#panel-1 .asr').data.filter((t) => (t.name || '').startsWith('radius'))
            .map((t) => [t.name, t.x, t.marker.symbol])"""
    )
    assert shapes == pytest.approx([0.28, -0.5])
    assert marks == [["radius 0.28 toward, ≥ 0.50 away", pytest.approx([0.28, -0.5]), ["diamond", "diamond-open"]]]
    visit.page.wait_for_selector(".overlay .scatterlayer .trace", state="attached")
    overlay = visit.page.evaluate(
        "() => document.querySelector('.overlay').data.filter((t) => t.text).flatMap((t) => t.text).join(' ')"
    )
    assert "Wilson 95% interval:" in overlay
    assert "range" not in overlay
    assert not visit.said
    visit.context.close()


def test_a_fine_grid_has_the_digits_that_its_steps_need():
    steps = [0.0, 0.003, 0.006, 0.0095, 0.012, -0.0125, 0.0375]
    words = [alpha_words(step, sign=True) for step in steps]
    assert words[:5] == ["+0.00", "+0.003", "+0.006", "+0.0095", "+0.012"]
    assert len(set(words)) == len(steps)
    assert [alpha_words(x) for x in (0.05, 0.15, 1.0, 0.846)] == ["0.05", "0.15", "1.00", "0.85"]
