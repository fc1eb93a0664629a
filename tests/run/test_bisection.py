"""Adaptive sampling: what it finds, what it cannot see, and that it stops, stays in budget and never asks twice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebasin import stats
from safebasin.run.bisection import Index, Values, default_budget, next_places, start_places

N = 21
ALPHAS = np.linspace(-1.5, 1.5, N).round(10)


def run(
    surface: Callable[[Index], float], shape: tuple[int, ...] = (N,), budget: int | None = None
) -> dict[Index, Values]:
    """Measure until nothing more is asked for."""
    origin = tuple(n // 2 for n in shape)
    most = budget or default_budget(shape)
    measured = {place: (surface(place),) for place in start_places(shape, origin, most)}
    for _ in range(math.prod(shape)):
        wanted = next_places(measured, shape, origin, most)
        assert not set(wanted) & set(measured), "asked for twice"
        if not wanted:
            assert len(measured) <= most
            return measured
        measured |= {place: (surface(place),) for place in wanted}
    raise AssertionError("does not end")


def curve(rim: float, steepness: float) -> np.ndarray:
    return 1 / (1 + np.exp(-steepness * (np.abs(ALPHAS) - rim)))


def filled(measured: dict[Index, Values]) -> np.ndarray:
    places = sorted(measured)
    found = np.asarray([measured[place] for place in places])
    return stats.fill_line(ALPHAS, ALPHAS[[place[0] for place in places]], found)[:, 0]


@pytest.mark.parametrize("rim", [0.35, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("steepness", [10, 16, 40])
def test_half_of_a_line_gives_margin_and_radius(rim: float, steepness: float) -> None:
    truth = curve(rim, steepness)
    found = filled(run(lambda i: truth[i[0]]))
    before, after = (stats.margin(ALPHAS, y) for y in (truth, found))
    assert before is not None
    assert after == pytest.approx(before, abs=0.01), "within a point"
    full, part = (stats.radius(ALPHAS, y) for y in (truth, found))
    assert full is not None
    assert part is not None
    assert part.value == pytest.approx(full.value, abs=0.15), "within a step of the fine grid"


@pytest.mark.parametrize("left", range(1, 4))
@pytest.mark.parametrize("right", range(5, 8))
@pytest.mark.parametrize("between", [0.05, 0.5, 0.95])
def test_a_short_line_is_measured_where_it_moves(left: int, right: int, between: float) -> None:
    """Nine points, as of a costly model: flat within the rims, one point on the way at each of them, flat beyond."""
    truth = np.ones(9)
    truth[left : right + 1] = 0.02
    truth[left], truth[right] = between, 1 - between
    measured = run(lambda i: truth[i[0]], (9,))
    alphas = np.linspace(-0.3, 0.3, 9)
    places = sorted(measured)
    found = np.asarray([measured[place] for place in places])
    filled_up = stats.fill_line(alphas, alphas[[place[0] for place in places]], found)[:, 0]
    assert filled_up.mean() == pytest.approx(truth.mean(), abs=0.02), "within two points"


def test_how_often_ten_places_miss_by_more_than_a_point() -> None:
    """Half of a line is not always enough: what it misses is bounded, and so is how often."""
    missed: list[float] = []
    for rim in np.arange(0.3, 1.15, 0.05):
        for steepness in (8, 12, 20, 40):
            truth = 1 / (1 + np.exp(-steepness * (np.abs(ALPHAS) - rim)))
            missed.append(float(abs(filled(run(lambda i, y=truth: y[i[0]])).mean() - truth.mean())))
    assert max(missed) < 0.025
    assert np.mean(np.asarray(missed) > 0.01) < 0.15


def test_a_quarter_of_a_plane_gives_margin_and_radius() -> None:
    x, y = np.meshgrid(ALPHAS, ALPHAS, indexing="ij")
    truth = 1 / (1 + np.exp(-10 * (np.hypot(x, 1.1 * y) - 0.5)))
    measured = run(lambda i: truth[i], (N, N))
    coords = np.asarray([[ALPHAS[i], ALPHAS[j]] for i, j in measured])
    found = stats.fill_plane(ALPHAS, ALPHAS, coords, np.asarray(list(measured.values())))[..., 0]
    assert len(measured) <= N * N / 4
    assert found.mean() == pytest.approx(truth.mean(), abs=0.01)
    full, part = (stats.radius_2d(ALPHAS, ALPHAS, z) for z in (truth, found))
    assert full is not None
    assert part is not None
    assert part.value == pytest.approx(full.value, abs=0.15)


def test_a_flat_landscape_takes_the_coarse_pass_only() -> None:
    assert sorted(run(lambda _: 0.0)) == [(0,), (5,), (10,), (15,), (20,)]


def test_a_rim_on_one_side_takes_no_places_on_the_other() -> None:
    places = run(lambda i: float(i[0] >= 13))
    assert {i for (i,) in places if i < 10} == {0, 5}
    assert {(12,), (13,)} <= set(places), "the step itself is pinned to one cell"


def test_an_island_between_two_coarse_places_stays_unseen() -> None:
    assert (3,) not in run(lambda i: float(i[0] == 3))


def test_several_curves_are_refined_together() -> None:
    left, right = (lambda i: float(i <= 7)), (lambda i: float(i >= 13))
    places = {(i,): (left(i), right(i)) for i in (0, 5, 10, 15, 20)}
    wanted = next_places(places, (N,), (10,), 11)
    assert any(5 < i < 10 for (i,) in wanted)
    assert any(10 < i < 15 for (i,) in wanted)


@pytest.mark.parametrize(("level", "wanted"), [(0.45, ((10,),)), (0.35, ())])
def test_the_rim_is_pinned_even_where_it_is_gentle(level: float, wanted: tuple[Index, ...]) -> None:
    """A rise of a tenth that is not worth a place for the margin; from 0.45 it crosses 50 %."""
    measured = {(i,): (level + 0.1 * (i > 10),) for i in range(N) if i != 10}
    assert next_places(measured, (N,), (10,), N) == wanted


def test_missing_values_are_looked_into_before_what_is_known() -> None:
    missing = {0: 0.0, 5: math.nan, 10: 0.0, 15: 0.3, 20: 0.3}
    wanted = next_places({(i,): (y,) for i, y in missing.items()}, (N,), (10,), 11)
    assert len(wanted) == 2
    assert all(0 < i < 10 for (i,) in wanted)


def test_a_grid_without_the_origin_is_sampled_too() -> None:
    assert (0,) in start_places((11,), (None,), 6)
    assert start_places((2,), (None,), 6) == ((0,), (1,))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1) | st.just(math.nan), min_size=N, max_size=N),
    budget=st.integers(5, N),
)
def test_any_line_ends_within_its_budget(values: list[float], budget: int) -> None:
    measured = run(lambda i: values[i[0]], budget=budget)
    assert {(0,), (10,), (20,)} <= set(measured)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), budget=st.integers(9, 60))
def test_any_plane_ends_within_its_budget(seed: int, budget: int) -> None:
    surface = np.random.default_rng(seed).random((11, 11))
    run(lambda i: surface[i], (11, 11), budget)


@settings(deadline=None)
@given(st.randoms())
def test_what_is_asked_next_does_not_depend_on_the_order_of_measuring(random) -> None:
    truth = curve(0.5, 12)
    places = list(start_places((N,), (10,), 11))
    first = next_places({p: (truth[p[0]],) for p in places}, (N,), (10,), 11)
    random.shuffle(places)
    assert next_places({p: (truth[p[0]],) for p in places}, (N,), (10,), 11) == first
