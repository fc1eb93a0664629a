"""What makes a gate's pass worth something: floors, several looks, a judge of known mistakes. Pure; see `gate`."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.correction import Accuracy
from safebasin.stats.gate import LEVEL, Clusters, estimate_harm
from safebasin.stats.intervals import wilson
from safebasin.stats.landscape import Array
from safebasin.stats.method_words import missing_words, percent
from safebasin.stats.smoothing import clopper_pearson_low

__all__ = ["correct_for_judge", "estimate_floor", "spend"]


def estimate_floor(held: Array, *, level: float = LEVEL) -> Estimate:
    """A share that must be reached, with Clopper and Pearson's one-sided lower bound; what is not scored counts as not
    held.

    Exact: a share below a floor is let through at most as often as the level allows, whatever the number of prompts.

    Args:
        held: 1 where it holds, 0 where not, NaN missing. Shape (prompts,).
        level: of the bound.
    """
    n, k = int(held.size), int(np.nansum(held))
    missing = int(np.isnan(held).sum())
    if missing == n:
        return Estimate(value=None, level=2 * level - 1, n_missing=missing, method="nothing is scored")
    return Estimate(
        value=k / n,
        low=clopper_pearson_low(k, n, level=level),
        high=1.0,
        level=2 * level - 1,
        n=n - missing,
        n_missing=missing,
        method=f"{k} of {n} prompts; exact one-sided {percent(level)} lower bound{missing_words(missing)}",
    )


def spend(look: int, of: int, *, alpha: float = 1 - LEVEL) -> float:
    """Compute how much of the allowed false pass the k-th of n looks may use; all looks together use alpha.

    Increments of the spending function 2 − 2Φ(z/√t) at t = k/n, which keeps most for the last look. Each look is a test
    at its own increment, so that the sum holds whatever the looks share.

    Args:
        look: k, from 1.
        of: n, planned before the first look.
        alpha: in all.

    Raises:
        StudyError: where the look is out of range.

    Source: Lan and DeMets 1983, Biometrika 70(3), with the bounds of O'Brien and Fleming; correlations are not used.
    """
    if not 1 <= look <= of:
        raise StudyError(expected("look", f"from 1 to {of}", look, "Write it like 2/3: the second of three."))
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2)

    def used(k: int) -> float:
        return 0.0 if k == 0 else 2 - 2 * normal.cdf(z / math.sqrt(k / of))

    return used(look) - used(look - 1)


def correct_for_judge(
    before: Array, after: Array, accuracy: Accuracy, *, clusters: Clusters | None = None, level: float = LEVEL
) -> Estimate:
    """The difference without the judge's mistakes: divided by sensitivity + specificity − 1 (Youden's J).

    Mistakes are taken as alike for both models. A fifth of the error goes to J, the rest to the difference; each bound
    is the outermost quotient of both. Where J may be 0, nothing is excluded.

    Args:
        before: 1 success by the judge, 0 none, NaN missing. Shape (prompts,).
        after: the same of the second model, same order.
        accuracy: of the judge, on labelled responses.
        clusters: as `estimate_harm`.
        level: of each bound.

    Source: Rogan and Gladen 1978; bounds of J by the squares of those of both rates (Zou and Donner 2008, Statistics in
    Medicine 27(10)).
    """
    alpha = 1 - level
    seen = estimate_harm(before, after, clusters=clusters, level=1 - 0.8 * alpha)
    youden = accuracy.youden
    if seen.value is None or seen.low is None or seen.high is None:
        return seen
    if youden is None or youden <= 0:
        why = "labels of both kinds are needed" if youden is None else "the judge is no better than chance"
        return replace(seen, value=None, low=None, high=None, method=f"not identifiable: {why}")
    least, most = _bounds_of_youden(accuracy, youden, level=1 - 0.2 * alpha)

    def outwards(bound: float, by: float) -> float:
        return max(-1.0, min(1.0, bound / by)) if by > 0 else math.copysign(1.0, bound)

    return replace(
        seen,
        value=max(-1.0, min(1.0, seen.value / youden)),
        low=outwards(seen.low, least if seen.low < 0 else most) if least > 0 else -1.0,
        high=outwards(seen.high, least if seen.high > 0 else most) if least > 0 else 1.0,
        level=2 * level - 1,
        method=(
            f"{seen.method}; divided by J = {youden:.2f} of the judge, known from {accuracy.positive} labels of "
            f"success and {accuracy.negative} of none"
        ),
    )


def _bounds_of_youden(accuracy: Accuracy, youden: float, *, level: float) -> tuple[float, float]:
    """One-sided bounds of sensitivity + specificity − 1, each at the level."""
    counts = ((accuracy.true_positive, accuracy.positive), (accuracy.true_negative, accuracy.negative))
    found = [(k / n, wilson(k, n, level=2 * level - 1)) for k, n in counts]
    low = youden - math.hypot(*(rate - bound.low for rate, bound in found))
    high = youden + math.hypot(*(bound.high - rate for rate, bound in found))
    return low, min(1.0, high)
