"""Two models on the same prompts: exact McNemar test, paired difference of rates, paired difference of margins.

Pairing is by prompt (and direction). Differences are *after − before*: above 0 means that the second has more of it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.axes import Axes, Points
from safebasin.stats.intervals import RESAMPLES, Interval, hull, jackknife_means, leave_one_out, percentiles, resamples
from safebasin.stats.landscape import Array, curves_of, margins
from safebasin.stats.method_words import interval_method, missing_words, percent, sample_words, undefined_words

__all__ = [
    "FEWEST_DIRECTIONS",
    "FILLINGS",
    "changes",
    "estimate_margin_difference",
    "estimate_paired_difference",
    "fewest_changes",
    "fill",
    "hold_zero",
    "mcnemar",
    "prompt_changes",
    "tango",
]

FEWEST_DIRECTIONS = 3
"""Directions drawn at random from which on a difference may be said to be more than theirs."""
_HALVINGS = 100
"""Bisection steps: more than the bits of a float."""
_BEYOND = 20
"""Resamples that must lie outside of an interval, for their quantiles to be known well enough."""
_SAME = 1e-12
"""A difference below this is rounding."""


def mcnemar(b: int, c: int) -> float:
    """Exact two-sided McNemar test: p-value of b against c discordant pairs under a fair coin.

    1 where there is no discordant pair. Source: McNemar 1947, with the binomial distribution instead of its limit.
    """
    if b < 0 or c < 0:
        raise StudyError(expected("discordant pairs", "counts ≥ 0", (b, c), "Count pairs that changed each way."))
    n = b + c
    tail = sum(math.comb(n, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / 2**n)


def tango(b: float, c: float, n: float, *, level: float = 0.95) -> Interval:
    """Score interval of a difference of paired rates, (b − c) / n.

    The differences that a score test does not reject, with the nuisance parameter at its maximum likelihood. Unlike
    Wald's it stays in [−1, 1], and works where no pair changed (b = c = 0).

    Args:
        b: pairs with a success only in the first; a fraction where pairs to come are foreseen.
        c: pairs with a success only in the second.
        n: pairs, ≥ 1.
        level: coverage.

    Source: Tango 1998, Statistics in Medicine 17(8).
    """
    if b < 0 or c < 0 or n < 1 or b + c > n * (1 + 1e-9):
        raise StudyError(expected("discordant pairs", "counts that n ≥ 1 holds", (b, c, n), "Count the pairs anew."))
    if not 0 < level < 1:
        raise StudyError(expected("level of an interval", "between 0 and 1", level, "Give a fraction, such as 0.95."))
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = (b - c) / n
    return Interval(low=_solve(b, c, n, z, -1.0, rate), high=_solve(b, c, n, -z, rate, 1.0))


def _solve(b: float, c: float, n: float, score: float, low: float, high: float) -> float:
    """The difference in [low, high] at which the score, which falls as the difference grows, has this value."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:  # neighbours: nothing lies between them
            break
        if _score(b, c, n, middle) > score:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _score(b: float, c: float, n: float, difference: float) -> float:
    """Standardized deviation of (b − c) / n from a hypothetical difference, the nuisance at its maximum likelihood."""
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    root = math.sqrt(max(linear * linear - 8 * n * constant, 0.0))
    only_second = (root - linear) / (4 * n)
    variance = n * (2 * only_second + difference * (1 - difference))
    deviation = b - c - n * difference
    if variance <= 0:
        return math.copysign(math.inf, deviation) if deviation else 0.0
    return deviation / math.sqrt(variance)


def estimate_paired_difference(before: Array, after: Array, *, level: float = 0.95) -> Estimate:
    """ASR after − before on the same prompts, with Tango's score interval and the exact McNemar p-value in `method`.

    Args:
        before: success of each prompt, shape (prompts,): 0, 1, or NaN where missing.
        after: the same of the second model, same order.
        level: coverage. A pair with a missing verdict is left out of the value; the interval's lower bound counts it as
            whatever makes the difference smallest, the upper bound as whatever makes it largest.
    """
    if before.shape != after.shape or before.ndim != 1:
        raise StudyError(
            expected("paired verdicts", "two rows of equal length", (before.shape, after.shape), "Pair them by prompt.")
        )
    paired = ~(np.isnan(before) | np.isnan(after))
    n, n_missing = int(paired.sum()), int((~paired).sum())
    if n == 0:
        return Estimate(value=None, level=level, n_missing=n_missing, method="no pair is scored")
    smallest, largest = (changes(fill(before, a), fill(after, b)) for a, b in FILLINGS)
    gained, lost = changes(before[paired], after[paired])
    return Estimate(
        value=(gained - lost) / n,
        low=tango(*smallest, before.size, level=level).low,
        high=tango(*largest, before.size, level=level).high,
        level=level,
        n=n,
        n_missing=n_missing,
        method=(
            f"difference of ASR on {n} prompts ({gained} gained, {lost} lost); {percent(level)} score interval of Tango"
            f"{missing_words(n_missing)}; exact McNemar p = {mcnemar(gained, lost):.2g}"
        ),
    )


def changes(before: Array, after: Array) -> tuple[int, int]:
    """Count how many became a success, and how many ceased to be one."""
    return int((after > before).sum()), int((after < before).sum())


FILLINGS = ((1.0, 0.0), (0.0, 1.0))
"""What missing verdicts are taken for, before and after: whatever they are, the difference lies between these two."""


def fill(success: Array, value: float) -> Array:
    """Success with a value in the place of each missing verdict."""
    return np.where(np.isnan(success), value, success)


def estimate_margin_difference(
    before: Array,
    after: Array,
    axes: Axes,
    *,
    level: float = 0.95,
    seed: int = 0,
    told: tuple[Array, Array] | None = None,
) -> Estimate:
    """Margin after − before over the same directions and prompts: what a change does to the whole basin.

    Degrees of freedom are at most directions − 1. Where so few prompts changed that a sign test over prompts cannot
    reach the level whatever they did (fewer than 6 at 95%), the interval is widened until it holds 0. One direction: at
    levels that few resamples lie beyond (above 99%) it holds Student's t interval over prompts as well.

    Args:
        before: success, shape (directions, alphas, prompts), or (planes, alphas, betas, prompts).
        after: the same of the second model or condition.
        axes: coordinates, ascending, of both.
        level: coverage. One direction: bootstrap over prompts, conditional on it; two: none; three or more: jackknife.
        seed: of the bootstrap.
        told: where rows were completed (`safebasin.stats.completing`), both as they were answered, NaN where a prompt
            was not asked: whether a prompt changed is told by the points at which both were.
    """
    points = Points.of(axes)
    sizes = tuple(axis.size for axis in points.axes)
    if before.shape != after.shape or before.shape[1:-1] != sizes:
        shapes = (before.shape, after.shape, sizes)
        raise StudyError(
            expected("paired landscapes", "of equal shape", shapes, "Measure both on the same directions and prompts.")
        )
    grid, alphas = points.words, points.axes[0]
    before_told, after_told = told or (before, after)
    if points.is_plane:  # its points in one row, a step apart
        grid = f"a plane of {sizes[0]} × {sizes[1]} points"
        before, after, before_told, after_told = map(points.flat, (before, after, before_told, after_told))
        alphas = np.arange(before.shape[1], dtype=np.float64)
    values = margins(alphas, curves_of(after)) - margins(alphas, curves_of(before))
    there = ~np.isnan(values)
    before, after, values = before[there], after[there], values[there]
    both = None if told is None else _in_both(before_told[there], after_told[there])
    missing = np.isnan(before) | np.isnan(after)
    n, n_missing = int((~missing).sum()), int(missing.sum())
    n_undefined = int((~there).sum())
    words = f"difference of the mean of 1 − ASR over {grid}"
    if values.size == 0:
        method = words + "; nothing is measured in both"
        return Estimate(value=None, level=level, n_undefined=n_undefined, method=method)
    fillings = FILLINGS if n_missing else FILLINGS[:1]
    filled = [(fill(before, a), fill(after, b)) for a, b in fillings]
    found = hull([_difference_interval(pair, both, alphas, level, seed) for pair in filled])
    made = interval_method(before.shape[0], before.shape[2], level, seed, found, paired=True)
    if found is not None:
        if before.shape[0] == 1 and not found.n_alike and not _is_within_reach(level):
            made += ", and at least Student's t interval over prompts, since few resamples lie beyond such a level"
        changed = prompt_changes(*(both or (before, after)), alphas)
        made += _sign_words(changed, level, widened=0.0 in (found.low, found.high))
    sample = sample_words(there.size, before.shape[2]) + undefined_words(n_undefined)
    return Estimate(
        value=float(values.mean()),
        low=found.low if found else None,
        high=found.high if found else None,
        level=level,
        n=n,
        n_missing=n_missing,
        n_undefined=n_undefined,
        method=f"{words}; paired, {sample}; {made}{missing_words(n_missing)}",
    )


def _in_both(before: Array, after: Array) -> tuple[Array, Array]:
    """Both, as far as both were answered; NaN where one of them was not."""
    either = np.isnan(before) | np.isnan(after)
    return np.where(either, np.nan, before), np.where(either, np.nan, after)


def prompt_changes(before: Array, after: Array, alphas: Array) -> tuple[int, int]:
    """Count the prompts with a higher margin after than before, mean over directions, and those with a lower one."""
    own = margins(alphas, after.swapaxes(1, 2)) - margins(alphas, before.swapaxes(1, 2))
    own = own[:, ~np.isnan(own).any(axis=0)].mean(axis=0)
    return int((own > _SAME).sum()), int((own < -_SAME).sum())


def fewest_changes(level: float) -> int:
    """Changed prompts from which an exact sign test can reach a level: 6 at 95 %."""
    return math.ceil(math.log2(2 / (1 - level)))


def _sign_words(changed: tuple[int, int], level: float, *, widened: bool) -> str:
    words = f"; {changed[0]} prompts up, {changed[1]} down, sign test p = {mcnemar(*changed):.2g}"
    fewest = fewest_changes(level)
    if widened and 0 < sum(changed) < fewest:
        words += f"; widened to hold 0, since fewer than {fewest} prompts changed"
    return words


def _difference_interval(
    pair: tuple[Array, Array], both: tuple[Array, Array] | None, alphas: Array, level: float, seed: int
) -> Interval | None:
    n_prompts = pair[0].shape[2] if both is None else int((~np.isnan(both[0])).sum(axis=-1).min())
    found = _bare_interval(*pair, alphas, level, seed, n_prompts)
    return hold_zero(found, sum(prompt_changes(*(both or pair), alphas)), level)


def hold_zero(found: Interval | None, n_changed: int, level: float) -> Interval | None:
    """Widen an interval of a difference until it holds 0 where too few prompts changed for a sign test at its level."""
    if found is None or n_changed >= fewest_changes(level):
        return found
    return replace(found, low=min(found.low, 0.0), high=max(found.high, 0.0))


def _bare_interval(
    before: Array, after: Array, alphas: Array, level: float, seed: int, n_prompts: int
) -> Interval | None:
    """The interval by directions and prompts, however few of them changed."""
    n, _, size = before.shape
    if n == 2 or size < 2:
        return None
    if n == 1:
        weights = resamples(size, seed)
        replicates = margins(alphas, weights @ after[0].T) - margins(alphas, weights @ before[0].T)
        found = percentiles(replicates, n_prompts, bounds=(-1.0, 1.0), level=level)
        if found.n_alike or _is_within_reach(level):
            return found
        return hull([found, _student_interval(margins(alphas, after[0].T) - margins(alphas, before[0].T), level)])

    def margin_of(curves: Array) -> Array:
        return margins(alphas, curves)

    full_after, without_after = leave_one_out(after, margin_of)
    full_before, without_before = leave_one_out(before, margin_of)
    return jackknife_means(
        full_after - full_before, without_after - without_before, bounds=(-1.0, 1.0), level=level, most_df=n - 1
    )


def _is_within_reach(level: float) -> bool:
    """Whether enough resamples lie outside of an interval at this level; the last of them say nothing of a far tail."""
    return (1 - level) * RESAMPLES >= _BEYOND


def _student_interval(values: Array, level: float) -> Interval:
    """Student's t interval of the mean of differences between -1 and 1, shape (prompts,)."""
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # here: loading scipy takes a while

    n, mean = values.size, float(values.mean())
    half = float(stdtrit(n - 1, (1 + level) / 2)) * float(values.std(ddof=1)) / n**0.5
    return Interval(low=max(-1.0, mean - half), high=min(1.0, mean + half))
