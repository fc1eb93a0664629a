"""Cosine and angle of the states of two prompts, by layer, over random pairs. Pure; no model.

Li et al. 2025, arXiv 2408.17003, §3.2: pairs of two benign prompts, of two harmful ones, and of one of each. Pairs
share prompts, so intervals are of prompts drawn again (bootstrap): a pair counts as often as both of its prompts were.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import PromptError, expected
from safebasin.locate.records import KINDS, Curves
from safebasin.records import Estimate
from safebasin.stats.intervals import RESAMPLES, percentiles, resamples
from safebasin.stats.landscape import Array

__all__ = ["FEWEST", "Pairs", "angle", "curves", "draw_pairs"]

FEWEST = 10
"""Prompts of each kind below which an interval over prompts says nothing."""
_PARTS = 250
"""Resamples that are weighed at once."""

Pairs = Mapping[str, NDArray[np.intp]]
"""Kind of pairs → places of both prompts among those of their kind, (pairs, 2)."""


def draw_pairs(n_benign: int, n_harmful: int, n: int, *, seed: int = 0) -> Pairs:
    """N random pairs of each kind; the two of a pair are never the same prompt.

    Raises:
        PromptError: where there are too few prompts of a kind.
    """
    for kind, found in (("benign", n_benign), ("harmful", n_harmful)):
        if found < FEWEST:
            remedy = "Give a longer file, or a higher --limit."
            raise PromptError(expected(f"{kind} prompts", f"at least {FEWEST}", found, remedy))
    rng = np.random.default_rng([seed, n])

    def within(size: int) -> NDArray[np.intp]:
        first = rng.integers(size, size=n)
        return np.stack([first, (first + rng.integers(1, size, size=n)) % size], axis=1)

    mixed = np.stack([rng.integers(n_benign, size=n), rng.integers(n_harmful, size=n)], axis=1)
    return dict(zip(KINDS, (within(n_benign), within(n_harmful), mixed), strict=True))


def angle(cosine: Array) -> Array:
    """In degrees. A cosine that rounding has put beyond ±1 is ±1."""
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def curves(benign: Array, harmful: Array, pairs: Pairs, *, level: float = 0.95, seed: int = 0) -> Curves:
    """Compute what pairs of prompts say of each layer.

    Args:
        benign: states of benign prompts, (layers, prompts, width).
        harmful: of harmful ones.
        pairs: of `draw_pairs`.
        level: of the intervals.
        seed: of the resampling.
    """
    sides = {KINDS[0]: (benign, benign), KINDS[1]: (harmful, harmful), KINDS[2]: (benign, harmful)}
    cosines = {kind: _cosines(*sides[kind], pairs[kind]) for kind in KINDS}
    means = {kind: found.mean(axis=0) for kind, found in cosines.items()}
    drawn = resamples(benign.shape[1], seed), resamples(harmful.shape[1], seed + 1)
    counts = {KINDS[0]: (drawn[0], drawn[0]), KINDS[1]: (drawn[1], drawn[1]), KINDS[2]: drawn}
    angles = {kind: angle(found) for kind, found in cosines.items()}
    inner, other, outer = (
        np.concatenate([angles[kind].mean(axis=0)[None], _weighed(angles[kind], *counts[kind], pairs[kind])])
        for kind in KINDS
    )  # the value first, then its resamples
    gap, contrast = outer - inner, outer - (inner + other) / 2
    n = min(benign.shape[1], harmful.shape[1])
    return Curves(
        cosine={kind: tuple(map(float, found)) for kind, found in means.items()},
        spread={kind: tuple(map(float, found.std(axis=0, ddof=1))) for kind, found in cosines.items()},
        angle_gap=_estimates(gap, n, level),
        rise=_estimates(_growth(gap), n, level),
        contrast=_estimates(contrast, n, level),
        contrast_rise=_estimates(_growth(contrast), n, level),
        cosine_gap=tuple(map(float, means[KINDS[0]] - means[KINDS[2]])),
    )


def _cosines(first: Array, second: Array, pairs: NDArray[np.intp]) -> Array:
    """Cosine of both states of each pair, (pairs, layers), in float64 a layer at a time."""
    found: list[Array] = []
    for one, other in zip(first, second, strict=True):
        units = [states.astype(np.float64) / np.linalg.norm(states.astype(np.float64), axis=1, keepdims=True)
                 for states in (one, other)]  # fmt: skip
        found.append((units[0][pairs[:, 0]] * units[1][pairs[:, 1]]).sum(axis=1))
    return np.stack(found, axis=1)


def _weighed(angles: Array, first: Array, second: Array, pairs: NDArray[np.intp]) -> Array:
    """Mean of angles, (pairs, layers), under resampled prompts: (resamples, layers).

    Args:
        angles: of the pairs.
        first: how often each prompt of the first place was drawn, (resamples, prompts).
        second: the same of the second place.
        pairs: places of both.
    """
    found: list[Array] = []
    for start in range(0, len(first), _PARTS):
        part = slice(start, start + _PARTS)
        weights = first[part][:, pairs[:, 0]] * second[part][:, pairs[:, 1]]
        found.append(weights @ angles / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300))
    return np.concatenate(found)


def _growth(curve: Array) -> Array:
    return np.diff(curve, axis=1, prepend=0.0)


def _estimates(curve: Array, n: int, level: float) -> tuple[Estimate, ...]:
    """Estimate each column of (1 + resamples, layers), of which the first row is the value."""
    method = f"mean over pairs, percentile bootstrap over prompts ({RESAMPLES} resamples)"
    found: list[Estimate] = []
    for value, column in zip(curve[0], curve[1:].T, strict=True):
        bounds = percentiles(column, n, bounds=(-180.0, 180.0), level=level) if np.ptp(column) > 1e-12 else None
        low, high = (float(value), float(value)) if bounds is None else (bounds.low, bounds.high)
        found.append(Estimate(value=float(value), low=low, high=high, level=level, n=n, method=method))
    return tuple(found)
