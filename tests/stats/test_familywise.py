"""Familywise error of rankings and the limits of intervals, with the generators of `bench/`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from safebasin import stats

sys.path.insert(0, str(Path(__file__).parents[2]))
from bench import coverage, ranking


def family(n_models: int, n_directions: int, name: str = "directions apart") -> ranking.Family:
    return ranking.Family(name=name, n_models=n_models, n_directions=n_directions, **ranking.SPREADS[name])


def test_the_simulation_calls_apart_what_the_ranking_does() -> None:
    """The shortcut of the simulation (Holm's first step, without the rest) against `rank_by_margin` itself."""
    rng = np.random.default_rng(3)
    for _ in range(15):
        models = family(3, 5).draw(rng)
        found = stats.rank_by_margin("abc", models, coverage.ALPHAS)
        shortcut = ranking.some_apart(models, level=0.95, most_df=4)
        assert any(pair.is_apart for pair in found.pairs) == shortcut


@pytest.mark.slow
def test_without_the_cap_equal_models_are_called_apart_too_often() -> None:
    free, capped = ranking.familywise_error(family(6, 3), 150)
    assert free > 0.12  # what it was
    assert capped <= 0.06 + 0.03


@pytest.mark.slow
@pytest.mark.parametrize("n_models", [4, 6])
@pytest.mark.parametrize("name", list(ranking.SPREADS))
def test_some_pair_of_equal_models_is_apart_in_at_most_six_percent(name: str, n_models: int) -> None:
    assert ranking.familywise_error(family(n_models, 3, name), 2000, seed=1)[1] <= 0.06


@pytest.mark.slow
def test_where_intervals_do_not_hold() -> None:
    """What the documentation says of outliers and clusters: not a claim of coverage, but of its lack."""
    outliers = {s.n_directions: s for s in coverage.LIMITS if s.outliers and s.side == 0.005}
    templates = {s.n_directions: s for s in coverage.LIMITS if s.clusters == (10,) * 8}
    seen = {n: coverage.coverage(s, "margin", 400).share for n, s in outliers.items()}
    assert 0.4 < seen[3] < 0.62
    assert seen[3] < seen[5] < seen[8] < 0.92
    assert coverage.coverage(templates[8], "margin", 400).share < coverage.coverage(templates[3], "margin", 400).share


@pytest.mark.slow
def test_a_flat_landscape_is_bounded_where_directions_may_differ() -> None:
    held, with_prompts_only = coverage.flat_coverage(3, 1000)
    assert held >= 0.95
    assert with_prompts_only < 0.6
