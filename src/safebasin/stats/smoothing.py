"""What Gaussian noise on weights certifies: shares under noise with exact bounds, radii of randomized smoothing.

A statement about the model *with noise added*, never about a single model. For a function f of the weights with values
0 and 1, p = P(f(θ + ε) = 1) under ε ~ N(0, σ²·I): at any θ' with ‖θ' − θ‖₂ = d, P(f(θ' + ε) = 1) ≥ Φ(Φ⁻¹(p) − d/σ).

Source: Cohen, Rosenfeld and Kolter 2019, arXiv 1902.02918 (there of inputs); of the weights of language models Chen et
al. 2025, arXiv 2505.17646. Bounds of p are those of Clopper and Pearson 1934.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.stats.landscape import Array

__all__ = ["Certificate", "certified_radius", "certify", "clopper_pearson_low", "smoothed_at", "smoothed_share_at"]

HALF = 0.5
"""The floor of a certified radius: within it the majority of noise draws keeps what it keeps."""
_NORMAL = NormalDist()


def clopper_pearson_low(k: int, n: int, *, level: float = 0.95) -> float:
    """One-sided lower bound of a probability after k of n ≥ 1 independent successes; 0 after none.

    Raises:
        StudyError: where the counts or the level are none.
    """
    if not 0 <= k <= n or n < 1:
        raise StudyError(expected("a count", "between 0 and n ≥ 1", f"{k} of {n}", "Count successes among n."))
    if not 0 < level < 1:
        raise StudyError(expected("level", "between 0 and 1", level, "Give a fraction, such as 0.95."))
    if k == 0:
        return 0.0
    from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs]  # here: loading scipy takes a while

    return float(betaincinv(k, n - k + 1, 1 - level))


def certified_radius(p: float, sigma: float, *, floor: float = HALF) -> float:
    """σ·(Φ⁻¹(p) − Φ⁻¹(floor)): how far the weights may move until the smoothed share falls to the floor; 0 below it.

    Args:
        p: the share under noise, or a lower bound of it.
        sigma: standard deviation of the noise in every weight.
        floor: the share to keep, between 0 and 1.
    """
    if not 0 < floor < 1:
        raise StudyError(expected("floor", "between 0 and 1", floor, "Give a share, such as 0.5."))
    if p <= floor:
        return 0.0
    return math.inf if p >= 1 else sigma * (_NORMAL.inv_cdf(p) - _NORMAL.inv_cdf(floor))


def smoothed_at(p: float, distance: float, sigma: float) -> float:
    """Φ(Φ⁻¹(p) − d/σ): the least that a share under noise can be after the weights moved by d, in any direction."""
    if p <= 0 or p >= 1:
        return 0.0 if p <= 0 else 1.0
    return _NORMAL.cdf(_NORMAL.inv_cdf(p) - distance / sigma)


def smoothed_share_at(p: float, distance: float, sigma: float) -> float:
    """P − d/(√(2π)·σ): the weaker bound of the same, for a function with values between 0 and 1; never below 0."""
    return max(0.0, p - distance / (math.sqrt(2 * math.pi) * sigma))


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The certificate of n draws of noise of one size for a set of prompts; each bound one-sided, at `level`."""

    sigma: float
    n_draws: int
    n_prompts: int
    level: float
    at_origin: float
    """Share refused without noise."""
    refused: float
    """Share refused under noise, mean over draws and prompts."""
    kept: int
    """Draws under which the share refused is at most `tolerance` below that of the origin."""
    tolerance: float
    p_low: float
    """Lower bound of the probability that a draw is such."""
    radius: float
    """Of the set: any weights at most this far away keep the share refused so for most of the noise, ‖·‖₂."""
    prompts: int
    """Prompts refused at the origin whose refusal is certified: most of the noise keeps it, by its own lower bound."""
    median_radius: float
    """Of the certified radii of the prompts refused at the origin, 0 for those that are not certified."""


def certify(origin: Array, refused: Array, sigma: float, *, tolerance: float = 0.1, level: float = 0.95) -> Certificate:
    """Compute what draws of noise certify.

    What is not scored counts against a certificate: under noise as not refused, and at the origin, where it sets how
    many refusals a draw must keep, as refused. A prompt that is not scored at the origin has no certificate of its own.

    Args:
        origin: 1 where a prompt is refused at θ₀, shape (prompts,).
        refused: the same under each draw of noise, shape (draws, prompts).
        sigma: of the noise.
        tolerance: by how much the share refused may fall, 0 to 1.
        level: of each lower bound.

    Raises:
        StudyError: where the shapes do not fit, σ or the tolerance is none, or nothing is refused at the origin.
    """
    if refused.ndim != 2 or refused.shape[1] != origin.size or not refused.size:
        raise StudyError(expected("refusals", "of shape (draws, prompts)", refused.shape, "Give a row for each draw."))
    if not (sigma > 0 and math.isfinite(sigma)):
        raise StudyError(expected("sigma", "above 0", sigma, "It is the standard deviation of the noise."))
    if not 0 <= tolerance < 1:
        raise StudyError(expected("tolerance", "from 0 to below 1", tolerance, "Give a share, such as 0.1."))
    before, under = np.nan_to_num(origin) > 0, np.nan_to_num(refused) > 0
    if not before.any():
        remedy = "Map a model that refuses, with prompts that it should refuse."
        raise StudyError(expected("prompts refused at the origin", "at least one", 0, remedy))
    n_draws = under.shape[0]
    least = (before | np.isnan(origin)).sum() - tolerance * before.size
    kept = int((under.sum(axis=1) >= least - 1e-9).sum())
    p_low = clopper_pearson_low(kept, n_draws, level=level)
    counts = under[:, before].sum(axis=0)
    bounds = {int(k): clopper_pearson_low(int(k), n_draws, level=level) for k in np.unique(counts)}
    radii = np.asarray([certified_radius(bounds[int(k)], sigma) for k in counts])
    return Certificate(
        sigma=sigma,
        n_draws=n_draws,
        n_prompts=int(origin.size),
        level=level,
        at_origin=float(before.mean()),
        refused=float(under.mean()),
        kept=kept,
        tolerance=tolerance,
        p_low=p_low,
        radius=certified_radius(p_low, sigma),
        prompts=int((radii > 0).sum()),
        median_radius=float(np.median(radii)),
    )
