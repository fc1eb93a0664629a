"""Figures of planes, overlays, groups and other measurements: no clipped word, one scale, gaps and marks said so."""

from __future__ import annotations

import dataclasses
from functools import partial

import matplotlib
import pytest

from helpers.landscapes import make_landscape
from helpers.regions import make_group, make_plane_landscape, make_study, make_trajectory, with_measurements
from safebasin.records import Estimate, Landscape
from safebasin.report.figures import Figures, files
from safebasin.report.figures.blocks import draw_group
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.lines import draw_asr
from safebasin.report.figures.measurements import draw_measurements
from safebasin.report.figures.overlays import draw_multiples, draw_overlay
from safebasin.report.figures.planes import draw_plane, draw_plane_multiples, draw_rims
from safebasin.report.layout import groups, overlays, slugs

LONG = "org/" + "long-name" * 20


def legend(figure) -> str:
    return "\n".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def plane(**fields) -> Landscape:
    return make_plane_landscape(**{"points": 7, "prompts": 6, **fields})


def lines(**fields) -> Landscape:
    return make_landscape(**{"points": 5, "prompts": 6, "panels": 3, **fields})


def long_plane():
    mapped = plane(target=LONG, trajectory=True)
    path = dataclasses.replace(mapped.trajectories[0], name=LONG)
    return draw_plane(dataclasses.replace(mapped, model=LONG, trajectories=(path,)), mapped.panels[0])


def gaps():
    return draw_plane(plane(gaps=0.2), plane(gaps=0.2).panels[0])


def planes():
    landscape = plane(systems=2, model=LONG)
    return draw_plane_multiples(landscape, [(LONG, p, None) for p in landscape.panels * 2], LONG)


def rims():
    landscape = plane(systems=3, model=LONG)
    return draw_rims(landscape, overlays(landscape)[0])


def overlay():
    return draw_overlay(lines(model=LONG), overlays(lines())[0])


def multiples():
    return draw_multiples(lines(model=LONG), overlays(lines())[1])


def blocks(count: int):
    landscape = dataclasses.replace(make_group(blocks=count, points=3, prompts=4), model=LONG)
    return draw_group(landscape, groups(landscape)[0])


def measurements():
    landscape = with_measurements(lines(model=LONG))
    return draw_measurements(landscape, landscape.panels[0])


DRAWINGS = [long_plane, gaps, planes, rims, overlay, multiples, measurements, partial(blocks, 2), partial(blocks, 24)]


@pytest.mark.slow
@pytest.mark.parametrize("draw", DRAWINGS)
def test_no_word_is_clipped(draw):
    with matplotlib.rc_context(STYLE):
        figure = draw()
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert -0.01 <= box.x0 < box.x1 <= width + 0.01
    assert -0.01 <= box.y0 < box.y1 <= height + 0.01
    for axes in figure.axes:
        assert axes.get_xlabel() or axes.get_ylabel() or axes.get_title(), "axes without a name"


def test_all_maps_share_one_scale():
    landscape = plane(systems=2)
    with matplotlib.rc_context(STYLE):
        panels = [(p.system, p, None) for p in landscape.panels]
        figures = [draw_plane(landscape, landscape.panels[1]), draw_plane_multiples(landscape, panels, "t")]
    for figure in figures:
        shown = [c for axes in figure.axes for c in axes.collections if c.get_array() is not None]
        assert shown
        assert {c.get_clim() for c in shown if len(c.get_array()) > 1} <= {(0, 100)}


def test_the_legend_of_a_plane_says_what_is_marked():
    landscape = plane(target="./tuned", trajectory=True, gaps=0.2)
    with matplotlib.rc_context(STYLE):
        words = legend(draw_plane(landscape, landscape.panels[0]))
    for part in ("origin", "target: ./tuned", "50% rim, radius 0.85 [0.75, 0.95]", "not measured: ", "off the plane"):
        assert part in words


@pytest.mark.slow
def test_an_adaptive_plane_shows_what_is_measured():
    landscape = plane(auto=True, points=13)
    panel = landscape.panels[0]
    with matplotlib.rc_context(STYLE):
        words = legend(draw_plane(landscape, panel))
    assert f"measured: {len(panel.points)} points, else interpolated" in words
    assert "not measured" not in words


def test_a_mean_of_planes_shows_the_rim_of_each_and_no_path():
    landscape = plane(planes=3, trajectory=True)
    with matplotlib.rc_context(STYLE):
        mean, own = draw_plane(landscape, landscape.panels[0]), draw_plane(landscape, landscape.panels[0], direction=0)
    assert "50% rim of each plane" in legend(mean)
    assert "harmful fine-tuning" not in legend(mean)
    assert "harmful fine-tuning" in legend(own)


def test_a_censored_radius_has_an_open_mark():
    landscape = make_group(blocks=2, points=3, prompts=4)
    never = Estimate(value=1.5, n_censored=6)
    panels = tuple(dataclasses.replace(p, summary={**p.summary, "radius": never}) for p in landscape.panels)
    landscape = dataclasses.replace(landscape, panels=panels)
    with matplotlib.rc_context(STYLE):
        radii = draw_group(landscape, groups(landscape)[0]).axes[1]
    drawn = [line for line in radii.lines if len(line.get_xdata()) == 1]
    assert [line.get_markerfacecolor() for line in drawn] == ["white", "white"]


def test_checkpoints_stand_on_the_curve_of_their_line():
    landscape = make_landscape(points=5, prompts=6)
    path = make_trajectory(landscape.panels[0].region)
    landscape = dataclasses.replace(landscape, trajectories=(path,))
    with matplotlib.rc_context(STYLE):
        figure = draw_asr(landscape, landscape.panels[0])
    assert {"0", "1", "3", "5"} <= {text.get_text() for text in figure.axes[0].texts}
    assert any("off the line" in t.get_text() for t in figure.axes[0].get_legend().get_texts())


def test_a_study_has_a_figure_of_everything():
    names = slugs(job.name for job in files._jobs(make_study(points=3, prompts=2)))
    assert {name for name in names if not name.startswith(("asr", "outcomes"))} == {
        "measurements-random",
        "plane-to-tuned-random-harmful",
        "overlay-random-prompts",
        "overlay-random-system-harmful",
        "multiples-random-system-harmful",
        "blocks-each-block-harmful",
    }


@pytest.mark.parametrize("fields", [{"gaps": 1.0}, {"points": 1}, {"points": 2}, {"rim": 9}, {"rim": -1}])
@pytest.mark.slow
def test_little_or_nothing_of_a_plane_still_draws(tmp_path, fields):
    assert Figures(plane(**fields)).save(tmp_path)


@pytest.mark.slow
def test_planes_give_the_same_bytes(tmp_path):
    landscape = plane(points=5, gaps=0.2, trajectory=True)
    first, second = (Figures(landscape).save(tmp_path / name) for name in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
