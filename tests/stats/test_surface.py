import math

import numpy as np
import pytest

from safebasin.errors import StudyError
from safebasin.stats import radius_2d

GRID = np.linspace(-10, 10, 21) / 20


def test_radius_2d_is_that_of_a_disc_of_equal_area():
    asr = np.ones((21, 21))
    asr[8:13, 7:14] = 0.0  # 5 × 7 cells of 0.05²
    found = radius_2d(GRID, GRID, asr)
    assert found.value == pytest.approx(math.sqrt(35 * 0.0025 / math.pi))
    assert found.n_censored == 0


def test_radius_2d_approaches_the_radius_of_a_round_basin():
    grid = np.linspace(-50, 50, 101) / 100
    distance = np.hypot(grid[:, None], grid[None, :])
    assert radius_2d(grid, grid, (distance > 0.3).astype(float)).value == pytest.approx(0.3, rel=0.01)


def test_radius_2d_leaves_out_what_is_connected_by_a_corner_only():
    asr = np.ones((3, 3))
    asr[1, 1] = asr[0, 0] = 0.0
    found = radius_2d(np.array([-1.0, 0, 1]), np.array([-1.0, 0, 1]), asr)
    assert found.value == pytest.approx(math.sqrt(1 / math.pi))
    assert found.n_censored == 0


def test_radius_2d_is_censored_at_the_border_and_zero_past_the_limit():
    x = np.array([-1.0, 0, 1])
    assert radius_2d(x, x, np.zeros((3, 3))).n_censored == 1
    assert radius_2d(x, x, np.full((3, 3), 0.5)).value == 0
    assert radius_2d(x, x, np.full((3, 3), np.nan)) is None


@pytest.mark.parametrize("n", [3, 5, 21])
def test_a_basin_that_fills_the_map_is_as_large_as_the_map(n):
    x = np.round(np.linspace(-0.3, 0.3, n), 10)
    found = radius_2d(x, x, np.zeros((n, n)))
    assert found.value == pytest.approx(0.6 / math.sqrt(math.pi)), "no more than what was measured"


def test_radius_2d_takes_a_missing_point_for_no_part_of_the_basin():
    asr = np.zeros((3, 3))
    asr[0, :] = np.nan
    x = np.array([-1.0, 0, 1])
    assert radius_2d(x, x, asr).value == pytest.approx(math.sqrt(3 / math.pi)), "two rows of three: 1.5 × 2"


def test_radius_2d_needs_one_rate_a_point():
    with pytest.raises(StudyError, match="2D landscape must be of shape"):
        radius_2d(GRID, GRID, np.zeros((3, 3)))
