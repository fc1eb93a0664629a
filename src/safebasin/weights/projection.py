"""Where other weights lie, seen from a line or a plane: coordinates on its axes, and what is off it.

Least squares over the whole model in float64, block by block; the axes need not be orthogonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from safebasin.errors import ModelError, expected
from safebasin.protocols import BaseWeights, Delta
from safebasin.weights.layout import row_blocks

__all__ = ["Projection", "project", "project_all"]

_PARALLEL = 1e-10
"""Least eigenvalue of the axes' cosines below which they are parallel: an angle of about 1e-5."""

_CANCELS = 1e-6
"""Share of ‖target‖² below which the rest is summed again: as a difference of squares it has lost its digits."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The nearest point of a line or plane to some weights θ₀ + t, and how far they are from it."""

    coords: tuple[float, ...]
    """α of the nearest point, one for each axis; 0 on an axis that does not move."""
    residual: float
    """Distance from the line or plane, relative to ‖θ₀‖."""
    distance: float
    """‖t‖ relative to ‖θ₀‖."""
    share: float
    """Part of ‖t‖ that is off the line or plane, 0 to 1; 0 where t is zero."""
    base_norm: float
    """‖θ₀‖ over all parameters: `residual` and `distance` times this are norms."""


def project(base: BaseWeights, deltas: Sequence[Delta], target: Delta) -> Projection:
    """Project a difference from θ₀ onto the line or plane that directions span; see `project_all`."""
    return project_all(base, deltas, [target])[0]


def project_all(base: BaseWeights, deltas: Sequence[Delta], targets: Sequence[Delta]) -> tuple[Projection, ...]:
    """Project several at once, so that a drawn direction is drawn once for all.

    A tensor that a direction or a target leaves alone counts as zeros.

    Args:
        base: θ₀.
        deltas: the axes of the line or plane.
        targets: differences from θ₀.

    Raises:
        ModelError: where two axes are parallel, so that coordinates mean nothing.
    """
    # 1) All that is needed of the weights: inner products of every field with every other, in one pass over the model
    fields = [*deltas, *targets]
    gram, base_norm = _gram(base, fields)
    # 2) The normal equations of the axes, n × n
    n = len(deltas)
    solve = _inverse(gram[:n, :n])
    # 3) Each target by its column of the Gram matrix: ‖t − Σ αᵢ·dᵢ‖² = ‖t‖² − Σ αᵢ·⟨dᵢ, t⟩
    found: list[Projection] = []
    for i, target in enumerate(targets, start=n):
        coords = solve @ gram[:n, i]
        whole = float(gram[i, i])
        rest = whole - float(coords @ gram[:n, i])
        if rest < _CANCELS * whole:
            rest = _square_of_rest(base, deltas, coords, target)
        residual, distance = math.sqrt(rest), math.sqrt(whole)
        found.append(
            Projection(
                coords=tuple(float(c) for c in coords),
                residual=_ratio(residual, base_norm),
                distance=_ratio(distance, base_norm),
                share=min(1.0, _ratio(residual, distance)),
                base_norm=base_norm,
            )
        )
    return tuple(found)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _gram(base: BaseWeights, fields: Sequence[Delta]) -> tuple[Matrix, float]:
    """Inner products of all fields over the whole model, and ‖θ₀‖."""
    sums: list[Matrix] = []
    squares: list[float] = []
    for name in base.names:
        for start, stop in row_blocks(base.shape(name)):
            squares.append(float(base.rows(name, start, stop).double().square().sum()))
            rows = [field.rows(name, start, stop) for field in fields]
            moved = [(i, r.double().reshape(-1)) for i, r in enumerate(rows) if r is not None]
            products = np.zeros((len(fields), len(fields)))  # symmetric: only pairs from the diagonal on are computed
            for position, (i, left) in enumerate(moved):
                for j, right in moved[position:]:
                    # Summed in pairs: how far off a plain dot product is depends on the processor's kernel.
                    products[i, j] = products[j, i] = float((left * right).sum())
            sums.append(products)
    gram = np.sum(sums, axis=0) if sums else np.zeros((len(fields), len(fields)))
    return gram, math.sqrt(math.fsum(squares))


def _inverse(gram: Matrix) -> Matrix:
    """The inverse of the axes' Gram matrix; an axis of zeros keeps zeros."""
    norms = np.sqrt(np.diag(gram))
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    cosines = gram * np.outer(scale, scale)  # scaled, so that "parallel" does not depend on the lengths of the axes
    cosines[norms == 0, norms == 0] = 1.0
    if len(gram) and float(np.linalg.eigvalsh(cosines)[0]) < _PARALLEL:
        remedy = "Take another second axis."
        raise ModelError(expected("directions of a plane", "not parallel", "axes on one line", remedy))
    return np.asarray(np.linalg.inv(cosines) * np.outer(scale, scale), dtype=np.float64)


def _square_of_rest(base: BaseWeights, deltas: Sequence[Delta], coords: Matrix, target: Delta) -> float:
    """‖t − Σ αᵢ·dᵢ‖², summed over what is left."""
    squares: list[float] = []
    for name in base.names:
        for start, stop in row_blocks(base.shape(name)):
            parts = [(1.0, target), *((-float(c), d) for c, d in zip(coords, deltas, strict=True))]
            moved = [(factor, field.rows(name, start, stop)) for factor, field in parts]
            left = [factor * rows.double() for factor, rows in moved if rows is not None]
            if left:
                rest: torch.Tensor = sum(left[1:], left[0])
                squares.append(float(rest.square().sum()))
    return math.fsum(squares)
