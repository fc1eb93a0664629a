"""Retention: at how many of the perturbed points an outcome of the origin still holds, and where it holds longer.

An outcome is what the caller counts: a refusal, or an answer that a jailbreak elicited. Only behaviors that show it at
the origin can retain it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.landscape import Array
from safebasin.stats.paired import estimate_margin_difference

__all__ = ["estimate_retention_difference"]


def estimate_retention_difference(
    before: Array,
    after: Array,
    alphas: Array,
    kept: NDArray[np.bool_],
    *,
    level: float = 0.95,
    seed: int = 0,
    told: tuple[Array, Array] | None = None,
) -> Estimate:
    """Retention of one outcome − retention of another, over the same directions and behaviors, the origin left out.

    Args:
        before: 1 where the reference outcome holds (a plain request is refused), shape (directions, alphas, pairs).
        after: 1 where the other holds (the jailbroken one is answered), the same shape.
        alphas: coordinates, ascending.
        kept: pairs that show both outcomes at the origin, shape (pairs,).
        level: coverage.
        seed: of the bootstrap over pairs, used with one direction.
        told: as in `estimate_margin_difference`, both of the shape of `before`.
    """
    off, words = _perturbed(before, alphas, kept)
    n_pairs = int(kept.sum())
    if n_pairs < 2:
        method = f"{words}; {n_pairs} of {kept.size} pairs show both outcomes at the origin, too few"
        return Estimate(value=None, level=level, method=method)
    lost_before, lost_after = 1 - before[:, off][..., kept], 1 - after[:, off][..., kept]
    own = None if told is None else (1 - told[0][:, off][..., kept], 1 - told[1][:, off][..., kept])
    found = estimate_margin_difference(lost_before, lost_after, _evenly(off), level=level, seed=seed, told=own)
    rest = found.method.partition(";")[2]
    method = f"difference of the {words}; {n_pairs} of {kept.size} pairs show both outcomes there;{rest}"
    return replace(found, method=method)


def _perturbed(held: Array, alphas: Array, kept: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], str]:
    """Which points are perturbed, and the words for what is counted there."""
    wanted = (held.shape[0], alphas.size, kept.size)
    if held.shape != wanted:
        raise StudyError(expected("outcomes", f"of shape {wanted}", held.shape, "Give one for each point and prompt."))
    off = alphas != 0
    words = f"share of {int(off.sum())} perturbed points a direction at which the outcome of the origin still holds"
    return off, words


def _evenly(off: NDArray[np.bool_]) -> Array:
    """Coordinates under which every perturbed point counts alike, and none passes for the origin.

    Margin is the mean of 1 − x: of what is lost it is what is retained.
    """
    return np.arange(1, int(off.sum()) + 1, dtype=np.float64)
