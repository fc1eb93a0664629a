"""Surfaces are the cells of a plane, regrouped: checked against hand-made panels."""

from __future__ import annotations

import dataclasses

import pytest

from helpers.landscapes import KEYWORD
from helpers.regions import make_plane_landscape, plane_panel, plane_region
from safebasin.records import Axis, Cell, DirectionSpec, Estimate, Panel, Region
from safebasin.report.curves import plane_labels
from safebasin.report.surfaces import mean_surface, surfaces, target_marks


def panel(cells: dict[tuple[int, float, float], float | None], *, points: str = "grid", planes: int = 1) -> Panel:
    one = Axis(directions=tuple(DirectionSpec(kind="random", index=i) for i in range(planes)), alphas=(-1.0, 0.0, 1.0))
    two = Axis(directions=(DirectionSpec(kind="random", seed=1),), alphas=(0.0, 2.0))
    made = tuple(
        Cell(
            point=str(i),
            coords=(a, b),
            direction=direction,
            asr={"judge": Estimate(value=value)},
            outcomes={},
            n_planned=4,
        )
        for i, ((direction, a, b), value) in enumerate(cells.items())
    )
    region = Region(axes=(one, two), name="r", points=points)
    return Panel(region=region, system="default", prompts="p", points=made, summary={}, judge="judge")


def test_rows_are_betas_and_gaps_stay_gaps():
    made = panel({(-1, 0, 0): 0.0, (0, -1, 0): 0.5, (0, 1, 0): 0.25, (0, -1, 2): 1.0, (0, 1, 2): None})
    (surface,) = surfaces(made, "judge")
    assert surface.asr == ((0.5, 0.0, 0.25), (1.0, None, None))
    assert (surface.n_gaps, surface.size) == (2, 6)
    assert (1, 2) not in surface.measured


def test_the_mean_is_over_the_planes_that_know_the_place():
    cells = {(-1, 0, 0): 0.0, (0, 1, 0): 0.25, (1, 1, 0): 0.75, (1, 1, 2): 1.0}
    mean = mean_surface(panel(cells, planes=2), "judge")
    assert mean is not None
    assert mean.asr == ((None, 0.0, 0.5), (None, None, 1.0))
    assert mean.name == "mean of 2 planes"


def test_between_measured_places_an_adaptive_plane_is_linear():
    corners = {(-1, 0, 0): 0.5, (0, -1, 0): 0.0, (0, 1, 0): 1.0, (0, -1, 2): 0.0, (0, 1, 2): 1.0}
    (surface,) = surfaces(panel(corners, points="auto"), "judge")
    assert surface.asr[1] == pytest.approx((0.0, 0.5, 1.0))
    assert len(surface.measured) == 5


def test_an_adaptive_plane_that_has_only_begun_is_not_filled():
    (surface,) = surfaces(panel({(-1, 0, 0): 0.5, (0, -1, 0): 0.0}, points="auto"), "judge")
    assert surface.asr == ((0.0, 0.5, None), (None, None, None))


def test_nothing_measured_is_no_surface():
    assert mean_surface(panel({(-1, 0, 0): None}), "judge") is None
    assert surfaces(panel({(-1, 0, 0): 0.1}), "judge") == ()  # the origin alone is no plane


def test_targets_stand_at_one_unless_they_yield():
    region = plane_region(target="./tuned")
    assert target_marks(plane_panel(region)) == ((1.0, 0.0, "./tuned"),)
    first, second = (DirectionSpec(kind="to", target=name, normalize="none") for name in ("a", "b"))
    second = dataclasses.replace(second, orthogonal_to=(first,))
    axes = tuple(Axis(directions=(spec,), alphas=(0.0, 1.0), name=f"to:{spec.target}") for spec in (first, second))
    both = dataclasses.replace(plane_panel(region), region=Region(axes=axes, name="both"))
    assert target_marks(both) == ((1.0, 0.0, "a"),)
    assert plane_labels(both) == (
        "α along to a\n(1 = the target)",
        "β along to b\n(1 = as far as the other target; orthogonal to it)",
    )


def test_labels_name_the_axes_and_their_units():
    several = make_plane_landscape(planes=3).panels[0]
    assert plane_labels(several)[0] == "α along 3 random directions\n(in units of ‖θ‖ per tensor)"
    assert plane_labels(several, 2)[1] == "β along random, seed 0, direction 5\n(in units of ‖θ‖ per tensor)"
    assert len(surfaces(several, KEYWORD)) == 3
