"""Subspaces against closed forms: planted changes inside and outside a column space, chance, and clusters of none."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.stats.subspaces import columns, empirical_rank, estimate_gap, estimate_mean, firing, separation

RNG = np.random.default_rng(0)


def orthonormal(rows: int, n: int) -> np.ndarray:
    return np.linalg.qr(RNG.normal(size=(rows, n)))[0]


@pytest.mark.parametrize(
    ("values", "rank"),
    [([3.0, 4e-4], 1), ([1.0, 1.0, 1.0, 1.0], 4), ([10.0, 1.0], 1), ([9.0, 1.0], 2), ([0.0], 0), ([], 0)],
)
def test_the_empirical_rank_keeps_99_percent_of_the_squares(values: list[float], rank: int) -> None:
    assert empirical_rank(np.array(values)) == rank


def test_a_change_inside_the_column_space_has_sine_0_and_one_outside_has_1() -> None:
    frame = orthonormal(64, 16)
    matrix = frame[:, :8] @ RNG.normal(size=(8, 32))
    inside = columns(matrix, frame[:, :8] @ RNG.normal(size=(8, 1)) @ RNG.normal(size=(1, 32)))
    outside = columns(matrix, frame[:, 8:10] @ np.diag([2.0, 1.0]) @ orthonormal(32, 2).T)
    assert inside is not None
    assert outside is not None
    assert inside.sines == pytest.approx([0.0], abs=1e-7)
    assert outside.sines == pytest.approx([1.0, 1.0])
    assert (outside.rank, outside.rank_change) == (8, 2)
    assert outside.chance == pytest.approx(np.sqrt(1 - 8 / 64))


def test_the_angle_is_that_of_the_plane() -> None:
    matrix = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = columns(matrix, np.outer([np.cos(0.4), 0.0, np.sin(0.4)], [1.0, 0.0]))
    assert found is not None
    assert found.sine == pytest.approx(np.sin(0.4))


def test_chance_is_that_of_the_published_shape_and_random_changes_have_it() -> None:
    found = columns(
        RNG.normal(size=(768, 192)) @ np.diag(np.ones(192)), np.outer(RNG.normal(size=768), RNG.normal(size=192))
    )
    assert found is not None
    assert np.sqrt(1 - 192 / 768) == pytest.approx(0.8660, abs=1e-4)
    assert found.chance >= 0.866
    sines = []
    for _ in range(40):
        one = columns(np.eye(64)[:, :16], np.outer(RNG.normal(size=64), RNG.normal(size=16)))
        assert one is not None
        sines.append(one.sine)
    assert np.sqrt(np.mean(np.square(sines))) == pytest.approx(np.sqrt(1 - 16 / 64), abs=0.03)


def test_no_change_has_no_angle() -> None:
    assert columns(np.eye(3), np.zeros((3, 3))) is None


def test_a_change_fires_on_what_it_reads_and_not_on_the_rest() -> None:
    frame = orthonormal(20, 3)
    change = 2.0 * np.outer(orthonormal(8, 1)[:, 0], frame[:, 0])
    fired = firing(change, np.stack([5 * frame[:, 0], frame[:, 1], np.zeros(20), frame[:, 0] + frame[:, 2]]), top=1)
    assert fired == pytest.approx([2.0, 0.0, 0.0, 2.0 / np.sqrt(2)])


def test_separation_is_the_difference_of_distances_and_has_its_sign() -> None:
    harmful = np.array([True] * 4 + [False] * 4)
    states = np.array([[3.0, 0.0]] * 4 + [[0.0, 0.0]] * 4)
    assert separation(states, harmful) == pytest.approx([-3.0] * 4 + [3.0] * 4)


def test_what_nothing_tells_apart_leans_to_neither_side() -> None:
    harmful = np.arange(400) % 2 == 0
    found = separation(RNG.normal(size=(400, 50)), harmful)
    lean = found[~harmful].mean() - found[harmful].mean()
    assert abs(lean) < 4 * found.std() / np.sqrt(100)


def test_values_that_are_all_alike_claim_no_interval() -> None:
    alike, other, spread = np.ones(3), np.zeros(2), np.array([0.0, 0.5, 1.0])
    for found in (estimate_mean(alike), estimate_gap(alike, other), estimate_gap(spread, alike)):
        assert (found.low, found.high) == (None, None)
        assert found.method.endswith("no interval is claimed, since all of a kind are alike")
    assert estimate_gap(alike, other).value == 1
    gap = estimate_gap(spread, spread + 2)
    assert gap.low is not None
    assert gap.low < -2 < gap.high  # type: ignore[operator]
