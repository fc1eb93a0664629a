"""Curves are the cells, regrouped: checked against hand-made panels."""

from __future__ import annotations

import dataclasses

import pytest

from helpers.landscapes import KEYWORD, make_landscape
from safebasin.records import Axis, Cell, DirectionSpec, Estimate, Panel, Region
from safebasin.report.colors import JUDGE_COLORS, JUDGE_COLORS_DARK, OUTCOME_COLORS
from safebasin.report.curves import axis_label, composition, curves, mean_curve, n_missing


def panel(*cells: tuple[float, int, float | None, dict[str, int]], directions: int = 2) -> Panel:
    axis = Axis(directions=tuple(DirectionSpec(kind="random", index=i) for i in range(directions)), alphas=(-1, 0, 1))
    made = tuple(
        Cell(
            point=f"{i}",
            coords=(alpha,),
            direction=direction,
            asr={"judge": Estimate(value=value, low=0.0, high=1.0)},
            outcomes=outcomes,
            n_planned=4,
        )
        for i, (alpha, direction, value, outcomes) in enumerate(cells)
    )
    return Panel(region=Region(axes=(axis,)), system="default", prompts="p", points=made, summary={}, judge="judge")


TWO = panel(
    (0.0, -1, 0.0, {"refusal": 4}),
    (-1.0, 0, 0.5, {"refusal": 2, "complied": 2}),
    (1.0, 0, 1.0, {"incoherent": 4}),
    (-1.0, 1, 1.0, {"complied": 4}),
    (1.0, 1, None, {}),
)


def test_every_direction_holds_the_origin_and_only_what_is_measured():
    first, second = curves(TWO, "judge")
    assert first.alphas == (-1.0, 0.0, 1.0)
    assert first.asr == (0.5, 0.0, 1.0)
    assert (second.alphas, second.asr) == ((-1.0, 0.0), (1.0, 0.0))
    assert (first.direction, second.direction) == (0, 1)


def test_mean_and_range_are_over_the_directions_that_are_there():
    mean = mean_curve(TWO, "judge")
    assert mean is not None
    assert mean.asr == (0.75, 0.0, 1.0)
    assert (mean.low, mean.high) == ((0.5, 0.0, 1.0), (1.0, 0.0, 1.0))
    assert mean.band == "range over 2 directions"


def test_one_direction_keeps_its_intervals():
    mean = mean_curve(panel((0.0, -1, 0.5, {}), directions=1), "judge")
    assert mean is not None
    assert (mean.low, mean.high, mean.band) == ((0.0,), (1.0,), "Wilson 95% interval")


def test_nothing_measured_is_no_curve():
    assert mean_curve(panel((0.0, -1, None, {})), "judge") is None
    assert curves(TWO, "another") == ()
    assert composition(panel((0.0, -1, None, {}))) == ()


def test_composition_pools_directions_and_names_what_occurs():
    left, origin, right = composition(TWO)
    assert left.n == 8
    assert left.shares == {"refusal": 0.25, "complied": 0.75, "incoherent": 0.0}
    assert list(origin.shares) == ["refusal", "complied", "incoherent"]
    assert right.shares["incoherent"] == 1.0


def test_shares_sum_to_one_on_a_whole_landscape():
    for place in composition(make_landscape(missing=0.05).panels[0]):
        assert sum(place.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "normalize", "words"),
    [
        ("random", "layer", "α (in units of ‖θ‖ per tensor)"),
        ("random", "filter", "α (in units of ‖θ‖ per row)"),
        ("random", "none", "α"),
        ("drawn-by-a-plugin", "layer", "α (in units of ‖θ‖ per tensor)"),
        ("to", "none", "α (1 = the target)"),
    ],
)
def test_axis_label_says_the_unit(kind, normalize, words):
    target = "./tuned" if kind == "to" else None
    axis = Axis(directions=(DirectionSpec(kind=kind, normalize=normalize, target=target),), alphas=(0.0, 1.0))
    assert axis_label(axis) == words


def test_every_direction_of_the_factory_has_its_curve():
    assert len(curves(make_landscape(directions=3).panels[0], KEYWORD)) == 3


def test_the_main_judge_wears_no_color_of_an_outcome():
    assert JUDGE_COLORS[0] not in OUTCOME_COLORS.values()
    assert len(JUDGE_COLORS) == len(set(JUDGE_COLORS)) == len(JUDGE_COLORS_DARK) == len(set(JUDGE_COLORS_DARK))


# --- gaps and adaptive sampling ---------------------------------------------------------------------------------------


def test_a_curve_is_broken_where_the_grid_is_not_measured():
    _, second = curves(TWO, "judge")
    assert second.missing == (1.0,)
    assert second.with_gaps() == ([-1.0, 0.0, 1.0], [1.0, 0.0, None], [0.0, 0.0, None], [1.0, 1.0, None])
    assert n_missing(TWO, "judge") == (1, 5)
    mean = mean_curve(TWO, "judge")
    assert mean is not None
    assert mean.missing == ()  # the other direction knows it


def test_between_its_points_a_curve_is_linear():
    first, _ = curves(TWO, "judge")
    assert first.at(-0.5)[0] == 0.25
    assert first.at(0.25)[0] == 0.25
    assert (first.at(-9)[0], first.at(9)[0]) == (0.5, 1.0)


def adaptive() -> Panel:
    """Two directions, each measured at an inner point of its own."""
    cells = (
        (0.0, -1, 0.0, {"refusal": 4}),
        (-1.0, 0, 1.0, {"complied": 4}),
        (1.0, 0, 1.0, {"complied": 4}),
        (0.5, 0, 1.0, {"complied": 4}),
        (-1.0, 1, 1.0, {"complied": 4}),
        (1.0, 1, 0.0, {"refusal": 4}),
    )
    made = panel(*cells)
    axis = dataclasses.replace(made.axis, alphas=(-1.0, -0.5, 0.0, 0.5, 1.0))
    return dataclasses.replace(made, region=Region(axes=(axis,), points="auto"))


def test_the_mean_of_an_adaptive_line_is_over_interpolated_directions():
    mean = mean_curve(adaptive(), "judge")
    assert mean is not None
    assert mean.alphas == (-1.0, -0.5, 0.0, 0.5, 1.0)
    assert mean.asr == (1.0, 0.5, 0.0, 0.5, 0.5)
    assert (mean.is_interpolated, mean.missing) == (True, ())
    assert n_missing(adaptive(), "judge")[0] == 0


def test_the_composition_of_an_adaptive_line_is_over_interpolated_directions():
    at = {share.alpha: share for share in composition(adaptive())}
    assert at[0.5].shares == {"refusal": 0.5, "complied": 0.5}
    assert (at[0.5].n, at[0.5].is_mean) == (4, True)
    assert at[-1.0].shares["complied"] == 1.0
