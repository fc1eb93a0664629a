"""What the responses beyond the rim are made of: collapse, the share of gibberish among what is not refused.

Keyword judges count collapsed text as success, so "100 %" at the rim of a published landscape may be mostly that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safebasin.records import Estimate
from safebasin.stats.intervals import Interval, hull, jackknife, percentiles, resamples
from safebasin.stats.landscape import Array, Radius, Values, as_values, curves_of, reaches, with_origin
from safebasin.stats.method_words import interval_method, missing_words, percent

__all__ = ["collapse", "estimate_collapse"]

Labels = NDArray[np.str_] | NDArray[np.object_]
_NO_ANSWER = ("refusal", "unscored", "")
"""Labels that are no answer: an empty one stands where nothing was asked, as on a grid that is sampled adaptively."""


def collapse(labels: Labels, alphas: Values, reach: Radius) -> float | None:
    """Share of incoherent among the non-refusals outside each side's own radius.

    Args:
        labels: outcomes (`safebasin.records.OUTCOMES`), shape (alphas, prompts). `unscored` is missing.
        alphas: coordinates.
        reach: radius of the same direction.

    Returns:
        None where there is no non-refusal out there: a censored side has no outside.
    """
    x = as_values(alphas)
    signs = [sign for sign, there in ((-1, (x < 0).any()), (1, (x > 0).any())) if there]
    if len(signs) != len(reach.sides):
        return None
    distance = np.asarray([side.alpha for side in reach.sides])
    censored = np.asarray([side.censored for side in reach.sides])
    beyond = labels[_outside(x, distance, censored)]
    answered = ~np.isin(beyond, _NO_ANSWER)
    return float((beyond == "incoherent").sum() / answered.sum()) if answered.any() else None


def _outside(alphas: Array, distance: Array, censored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which points lie beyond their own side's crossing. Shapes (alphas,), (…, sides) → (…, alphas)."""
    signs = [sign for sign, there in ((-1, (alphas < 0).any()), (1, (alphas > 0).any())) if there]
    beyond = np.zeros((*distance.shape[:-1], alphas.size), dtype=np.bool_)
    for side, sign in enumerate(signs):
        reach = np.where(censored[..., side], np.inf, distance[..., side])
        beyond |= (np.sign(alphas) == sign) & (np.abs(alphas) > reach[..., None])
    return beyond


def estimate_collapse(
    labels: Labels,
    success: Array,
    alphas: Array,
    origin: Array,
    *,
    limit: float = 0.5,
    level: float = 0.95,
    seed: int = 0,
    weights: Array | None = None,
) -> Estimate:
    """Share of incoherent among the non-refusals outside each side's own radius, pooled over directions.

    Args:
        labels: outcomes (`safebasin.records.OUTCOMES`), shape (directions, alphas, prompts); `unscored` is missing.
        success: shape (directions, alphas, prompts): the verdicts that the radius is taken of.
        alphas: coordinates, ascending.
        origin: success of each prompt at α = 0, shape (prompts,).
        limit: the rate that marks the radius.
        level: coverage of the interval, which takes the radius as given.
        seed: of the bootstrap over prompts, used with one direction.
        weights: how many prompts one that was asked stands for, shape (directions, alphas), where not all were asked
            (those have an empty label); None is one.
    """
    # 1) Which points count: those beyond the crossing of their own side and direction, (directions, alphas, 1)
    x, grid = with_origin(alphas, success, origin)
    beyond = _outside(alphas, *reaches(x, curves_of(grid), limit=limit))[:, :, None]
    # 2) Counts over these points, each (directions, prompts): both are resampled, points are not
    each = (np.ones(labels.shape[:2]) if weights is None else weights)[:, :, None]
    told, unscored = ~np.isin(labels, _NO_ANSWER) & beyond, (labels == "unscored") & beyond
    broken = (((labels == "incoherent") & beyond) * each).sum(axis=1)
    missing, answered = (unscored * each).sum(axis=1), (told * each).sum(axis=1)
    n, n_missing = int(told.sum()), int(unscored.sum())
    words = f"share of incoherent among {n} non-refusals outside the radius ({percent(limit)}), pooled over directions"
    if n == 0:
        return Estimate(value=None, level=level, n_missing=n_missing, method=words)
    # 3) A missing verdict may be of coherent or of incoherent text: an interval that holds both
    found = hull(
        [
            _ratio_interval(broken, answered + missing, level, seed),
            _ratio_interval(broken + missing, answered + missing, level, seed),
        ]
    )
    made = interval_method(success.shape[0], success.shape[2], level, seed, found)
    return Estimate(
        value=float(broken.sum() / answered.sum()),
        low=found.low if found else None,
        high=found.high if found else None,
        level=level,
        n=n,
        n_missing=n_missing,
        method=f"{words}; {made}{missing_words(n_missing)}",
    )


def _ratio_interval(above: Array, below: Array, level: float, seed: int) -> Interval | None:
    """Interval of Σ above / Σ below, each of shape (directions, prompts)."""
    n_directions, n_prompts = above.shape
    if n_directions == 2 or n_prompts < 2:
        return None
    if n_directions == 1:
        weights = resamples(n_prompts, seed)
        low = weights @ below[0]
        kept = low > 0  # a sample without any non-refusal has no share
        replicates = (weights @ above[0])[kept] / low[kept]
        return percentiles(replicates, n_prompts, bounds=(0.0, 1.0), level=level)

    def without(counts: Array, axis: int | None) -> Array:
        return np.asarray(counts.sum() - counts.sum(axis=axis))

    def ratio(top: Array, bottom: Array) -> Array:
        return np.where(bottom > 0, top / np.maximum(bottom, 1), np.nan)

    def neither(counts: Array) -> Array:  # without a row and a column: their common cell was taken away twice
        rows, columns = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
        return counts.sum() - rows - columns + counts

    return jackknife(
        full=float(above.sum() / below.sum()),
        no_direction=ratio(without(above, 1), without(below, 1)),
        no_prompt=ratio(without(above, 0), without(below, 0)),
        no_both=ratio(neither(above), neither(below)),
        bounds=(0.0, 1.0),
        level=level,
    )
