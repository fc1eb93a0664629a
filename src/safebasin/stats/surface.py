"""The radius of a basin in a plane: that of a disk of its area. No figure.

A plane takes the place of a direction: one plane gives an interval over prompts, three or more one over planes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.axes import Points
from safebasin.stats.directions import is_open_above, over_directions
from safebasin.stats.landscape import Array, Radius, Side, curves_of
from safebasin.stats.method_words import OPEN_WORDS, percent

__all__ = ["estimate_disk", "radius_2d"]


def radius_2d(alphas: Array, betas: Array, asr: Array, *, limit: float = 0.5) -> Radius | None:
    """√(area / π) of the cells below the limit that are connected (edge to edge) with the origin.

    Each measured point owns the cell around it: half the way to its neighbors, and nothing beyond the border. A missing
    point (NaN) is not below the limit.

    Args:
        alphas: coordinates of the first axis, ascending, with 0 among them.
        betas: coordinates of the second axis, likewise.
        asr: ASR, shape (alphas, betas).
        limit: the rate to stay below.

    Returns:
        A radius with one side, censored where the basin touches the border; 0 if the origin is past the limit; None
        where the origin is not measured.
    """
    if asr.shape != (alphas.size, betas.size):
        shape = (alphas.size, betas.size)
        raise StudyError(expected("2D landscape", f"of shape {shape}", asr.shape, "Give one ASR for each point."))
    value, touches = _radii(alphas, betas, asr[None], limit)
    if np.isnan(value[0]):
        return None
    return Radius(value=float(value[0]), sides=(Side(float(value[0]), censored=bool(touches[0])),))


def _radii(alphas: Array, betas: Array, surfaces: Array, limit: float) -> tuple[Array, NDArray[np.bool_]]:
    """Radius and whether the basin touches the border, of surfaces (n, alphas, betas); NaN without an origin."""
    from scipy import ndimage  # pyright: ignore[reportMissingTypeStubs]

    label = cast("Callable[[NDArray[np.bool_]], tuple[NDArray[np.int32], int]]", ndimage.label)

    row, column = _origin(alphas, betas)
    areas = np.outer(_cell_widths(alphas), _cell_widths(betas))
    values, touches = np.full(len(surfaces), np.nan), np.zeros(len(surfaces), dtype=np.bool_)
    for i, surface in enumerate(surfaces):
        if row is None or column is None or np.isnan(surface[row, column]):
            continue
        regions = label(surface < limit)[0]
        basin = (regions == regions[row, column]) & (regions > 0)
        values[i] = np.sqrt(areas[basin].sum() / np.pi)
        touches[i] = basin[0].any() or basin[-1].any() or basin[:, 0].any() or basin[:, -1].any()
    return values, touches


def _origin(alphas: Array, betas: Array) -> tuple[int | None, int | None]:
    rows, columns = np.flatnonzero(alphas == 0), np.flatnonzero(betas == 0)
    return (int(rows[0]) if rows.size == 1 else None, int(columns[0]) if columns.size == 1 else None)


def _cell_widths(x: Array) -> Array:
    middles = (x[1:] + x[:-1]) / 2
    edges = np.concatenate((x[:1], middles, x[-1:]))
    return np.diff(edges)


def estimate_disk(
    success: Array,
    points: Points,
    origin: Array,
    *,
    limit: float = 0.5,
    level: float = 0.95,
    seed: int = 0,
    n_prompts: int | None = None,
) -> Estimate:
    """√(area / π) of the basin around the origin, mean over planes: `estimate_radius` of planes.

    Where a basin touches the border it may go on beyond: the value is then a lower bound, `n_censored` the number of
    such planes, and the interval has a lower bound only.

    Args:
        success: shape (planes, alphas, betas, prompts).
        points: of the plane.
        origin: success of each prompt at θ₀, shape (prompts,), put where the grid holds the origin.
        limit: the rate to stay below, in (0, 1].
        level: coverage of the interval; see `safebasin.stats.interval` for its kind.
        seed: of the bootstrap over prompts, used with one plane.
        n_prompts: as in `safebasin.stats.interval`.
    """
    alphas, betas = points.axes
    words = f"√(area/π) of the connected cells around the origin with ASR below {percent(limit)}, over {points.words}"
    row, column = _origin(alphas, betas)
    if row is None or column is None:
        return Estimate(value=None, level=level, method=words + "; the grid does not hold the origin")
    placed = success.copy()
    placed[:, row, column] = origin
    kept = points.off_origin(placed)

    def radius(surfaces: Array) -> Array:
        grids = surfaces.reshape(-1, alphas.size, betas.size)
        return _radii(alphas, betas, grids, limit)[0].reshape(surfaces.shape[:-1])

    def is_censored(surfaces: Array) -> Array:
        grids = surfaces.reshape(-1, alphas.size, betas.size)
        return _radii(alphas, betas, grids, limit)[1].astype(np.float64).reshape(surfaces.shape[:-1])

    end = float(np.sqrt(np.ptp(alphas) * np.ptp(betas) / np.pi))
    n_measured = np.count_nonzero(~np.isnan(radius(curves_of(points.flat(kept)))))
    bounds = 0.0, np.inf if n_measured > 1 else end  # other planes' basins do not end where the range does
    found = over_directions(points.flat(placed), points.flat(kept), radius, bounds, level, seed, words, n_prompts)
    found = replace(found, method=points.named(found.method))
    if found.value == 0:
        return replace(found, low=None, high=None, method="0: ASR at the origin is past the limit; no interval")
    touches = _radii(alphas, betas, curves_of(kept), limit)[1]
    if touches.any():
        words = (
            f"; {int(touches.sum())} of {touches.size} basins reach the border of the grid: the value is a lower "
            f"bound, and so is the interval's only end (one-sided, {percent((1 + level) / 2)})"
        )
        return replace(found, high=None, n_censored=int(touches.sum()), method=found.method + words)
    measured = kept[~np.isnan(kept).all(axis=(1, 2, 3))]
    optimistic = _radii(alphas, betas, curves_of(np.where(np.isnan(measured), 0.0, measured)), limit)[1]
    if found.high is not None and optimistic.any():
        words = "; no upper bound, since with every missing verdict a failure a basin would reach the border"
        return replace(found, high=None, method=found.method + words)
    if is_open_above(points.flat(measured), is_censored, found.high, end=end, level=level, seed=seed):
        return replace(found, high=None, method=found.method + OPEN_WORDS)
    return found
