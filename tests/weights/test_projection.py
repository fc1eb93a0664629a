"""Projection: coefficients of a known combination come back, and what is off the plane is measured exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from helpers.fields import Line, Toy
from safebasin import testing
from safebasin.errors import ModelError
from safebasin.protocols import BaseWeights, Delta
from safebasin.records import DirectionSpec
from safebasin.weights.projection import Projection, project, project_all
from safebasin.weights.stream import prepare


class Sum:
    """Σ αᵢ·dᵢ."""

    def __init__(self, *terms: tuple[float, Delta]) -> None:
        self._terms = terms

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        parts = [(alpha, delta.rows(name, start, stop)) for alpha, delta in self._terms]
        moved = [alpha * rows.double() for alpha, rows in parts if rows is not None]
        return sum(moved[1:], moved[0]) if moved else None


def plane(*values: tuple[float, ...]) -> tuple[Toy, list[Line]]:
    """θ₀ = 0 of norm 0, or as many dimensions as given, and differences to points."""
    names = [f"x{i}" for i in range(len(values[0]))]
    base = Toy({n: torch.zeros(1) for n in names})
    return base, [Line({n: torch.tensor([v]) for n, v in zip(names, point, strict=True)}, base) for point in values]


def drawn(base: BaseWeights, *indices: int, **given: str) -> list[Delta]:
    specs = [DirectionSpec(kind="random", index=i, **given) for i in indices]
    return list(prepare(specs, base).values())


def test_by_hand_in_three_dimensions() -> None:
    base, (one, two, target) = plane((2.0, 0.0, 0.0), (2.0, 2.0, 0.0), (3.0, 4.0, 12.0))
    # (3, 4, 0) = −1/2·(2, 0, 0) + 2·(2, 2, 0); 12 of 13 is off the plane.
    found = project(base, [one, two], target)
    assert found.coords == pytest.approx((-0.5, 2.0), abs=1e-14)
    assert found.share == pytest.approx(12 / 13, rel=1e-14)


def test_norms_are_relative_to_the_model() -> None:
    base = Toy({"x": torch.tensor([6.0]), "y": torch.tensor([8.0]), "z": torch.tensor([0.0])})
    one = Line({"x": torch.tensor([7.0])}, base)
    target = Line({"x": torch.tensor([9.0]), "z": torch.tensor([4.0])}, base)
    assert project(base, [one], target) == Projection(
        coords=(3.0,), residual=0.4, distance=0.5, share=0.8, base_norm=10.0
    )


def test_a_combination_of_drawn_directions_comes_back_with_nothing_left_over() -> None:
    base = testing.small_weights()
    axes = drawn(base, 0, 1)
    found = project(base, axes, Sum((0.25, axes[0]), (-1.5, axes[1])))
    assert found.coords == pytest.approx((0.25, -1.5), rel=1e-13)
    assert found.share < 1e-14, "summed again: as a difference of squares it would be 1e-8"


def test_what_is_off_the_plane_is_measured_exactly() -> None:
    base = testing.small_weights()
    axes = drawn(base, 0, 1)
    off = prepare([spec := DirectionSpec(kind="random", index=2, normalize="none")], base)[spec]
    # Taken apart by numpy's least squares, which knows nothing of blocks.
    flat = [np.concatenate([whole(d, base, n) for n in base.names]) for d in (*axes, off)]
    target = Sum((0.3, axes[0]), (0.7, axes[1]), (0.01, off))
    table, vector = np.stack(flat[:2], axis=1), 0.3 * flat[0] + 0.7 * flat[1] + 0.01 * flat[2]
    coords, *_ = np.linalg.lstsq(table, vector, rcond=None)
    found = project(base, axes, target)
    theta = np.concatenate([base.rows(n, 0, n_rows(base, n)).double().numpy().ravel() for n in base.names])
    assert found.coords == pytest.approx(tuple(coords), rel=1e-11)
    assert found.residual == pytest.approx(np.linalg.norm(vector - table @ coords) / np.linalg.norm(theta), rel=1e-9)
    assert found.distance == pytest.approx(np.linalg.norm(vector) / np.linalg.norm(theta), rel=1e-12)
    assert found.base_norm == pytest.approx(np.linalg.norm(theta), rel=1e-12)


def n_rows(base: BaseWeights, name: str) -> int:
    return base.shape(name)[0] if base.shape(name) else 1


def whole(delta: Delta, base: BaseWeights, name: str) -> np.ndarray:
    rows = delta.rows(name, 0, n_rows(base, name))
    return np.zeros(math.prod(base.shape(name))) if rows is None else rows.double().numpy().ravel()


def test_a_target_may_move_what_no_axis_moves_and_the_other_way_round() -> None:
    base = Toy({n: torch.zeros(2) for n in "xyz"})
    axis = Line({"x": torch.tensor([3.0, 0.0]), "y": torch.tensor([0.0, 4.0])}, base)
    target = Line({"y": torch.tensor([0.0, 5.0]), "z": torch.tensor([12.0, 0.0])}, base)
    found = project(base, [axis], target)
    # (0, 5)·(3, 4)/25 = 0.8; the rest is √(13² − (0.8·5)²).
    assert found.coords == pytest.approx((0.8,))
    assert found.share == pytest.approx(math.sqrt(169 - 16) / 13)
    none = project(base, [Line({"x": torch.ones(2)}, base)], Line({"z": torch.ones(2)}, base))
    assert (none.coords, none.share) == ((0.0,), 1.0)


def test_nearly_parallel_axes_still_tell_apart() -> None:
    base, (one, two, target) = plane((1.0, 0.0), (1.0, 1e-3), (3.0, 2e-3))
    assert project(base, [one, two], target).coords == pytest.approx((1.0, 2.0), rel=1e-6)


@pytest.mark.parametrize("factor", [1.0, -2.0, 1e6])
def test_parallel_axes_are_refused(factor: float) -> None:
    base, (one, two) = plane((3.0, 4.0), (3.0 * factor, 4.0 * factor))
    with pytest.raises(ModelError, match="directions of a plane must be not parallel; got 'axes on one line'"):
        project(base, [one, two], one)


def test_axes_and_targets_of_zero_have_coordinates_of_zero() -> None:
    base, (zero, one, target) = plane((0.0, 0.0), (1.0, 0.0), (2.0, 0.0))
    assert project(base, [zero, one], target).coords == (0.0, 2.0)
    still = project(base, [one], zero)
    assert (still.coords, still.residual, still.distance, still.share) == ((0.0,), 0.0, 0.0, 0.0)
    assert project(base, [], target).share == 1.0


def test_several_at_once_are_as_one_by_one() -> None:
    base = testing.small_weights()
    axes, targets = drawn(base, 0, 1), drawn(base, 2, 3, only="up.*")
    assert project_all(base, axes, targets) == tuple(project(base, axes, target) for target in targets)


def test_it_sums_over_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safebasin.weights.layout.MAX_BLOCK_BYTES", 8 * 10 * 4)
    base = Toy({"x": torch.zeros(11, 10)})
    axis, target = (Line({"x": torch.full((11, 10), v)}, base) for v in (1.0, 3.0))
    asked: list[tuple[int, int]] = []

    class Watched:
        def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
            asked.append((start, stop))
            return axis.rows(name, start, stop)

    assert project(base, [Watched()], target).coords == pytest.approx((3.0,))
    assert set(asked) == {(0, 4), (4, 8), (8, 11)}
