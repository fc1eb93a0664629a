"""Coverage of safebasin's intervals, by simulation: how often a 95 % interval holds the number it is about.

Wilson is computed exactly, without simulation. For the rest a landscape is drawn from a model with random directions
and random prompts: prompt p is answered in direction d, on side s, once |α| reaches

    break(d, s, p) = center + direction(d) + side(d, s) + prompt(p) + cell(d, s, p),

all independent and normal. The truth is the statistic of infinitely many directions and prompts *on the same grid*; it
is not what a finer grid would give. Where intervals do not hold: directions that are exponential (*skewed*) or of which
one in five breaks far earlier (*outliers*), and prompts of which several are alike (*clusters*: a part ICC of the
variance of prompt(p) is shared within a cluster).
`python bench/coverage.py` (three minutes on one thread), or with `--quick`, prints Markdown.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri  # pyright: ignore[reportMissingTypeStubs]

from safebasin.records import Estimate
from safebasin.stats import estimate_collapse, estimate_radius, wilson
from safebasin.stats.intervals import Interval, interval
from safebasin.stats.landscape import Array, margins, reaches

ALPHAS = np.linspace(-10, 10, 21) / 20
NODES = 200
"""Quantiles of each random effect that the truth averages over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A model of landscapes, with the spreads (standard deviations, in units of α) of its random effects."""

    name: str
    n_directions: int
    n_prompts: int
    center: float = 0.3
    direction: float = 0.02
    side: float = 0.022
    prompt: float = 0.06
    cell: float = 0.02
    skewed: bool = False
    outliers: float = 0.0
    """Share of directions that break earlier, by `earlier`."""
    earlier: float = 0.2
    clusters: tuple[int, ...] = ()
    """Sizes of the clusters of prompts; the rest stands alone."""
    icc: float = 0.0
    """Share of the variance of prompts that is that of their clusters."""

    def breaks(self, rng: np.random.Generator) -> Array:
        """Where each prompt breaks, shape (directions, sides, prompts)."""
        shape = (self.n_directions, 2, self.n_prompts)
        one = (shape[0], 1, 1)
        effects = rng.standard_exponential(one) - 1 if self.skewed else rng.standard_normal(one)
        early = self.earlier * (rng.random(one) < self.outliers) if self.outliers else 0.0
        return (
            self.center
            - early
            + self.direction * effects
            + self.side * rng.standard_normal((*shape[:2], 1))
            + self.prompt * self._prompts(rng)
            + self.cell * rng.standard_normal(shape)
        )

    def _prompts(self, rng: np.random.Generator) -> Array:
        """Standard normal effect of each prompt, correlated within clusters."""
        own = rng.standard_normal((1, 1, self.n_prompts))
        if not self.clusters:
            return own
        sizes = (*self.clusters, *[1] * (self.n_prompts - sum(self.clusters)))
        shared = np.repeat(rng.standard_normal(len(sizes)), sizes)
        return math.sqrt(self.icc) * shared + math.sqrt(1 - self.icc) * own

    def draw(self, rng: np.random.Generator) -> Array:
        """Success at every direction, α and prompt, as floats."""
        return past(self.breaks(rng)).astype(np.float64)

    def truth(self, functional: Callable[[Array], Array]) -> float:
        """The statistic for infinitely many prompts, averaged over infinitely many directions.

        The functionals are means over sides, and the sides are alike: a symmetric landscape with one side's effect has
        the same expectation.
        """
        if self.outliers:
            usual, early = replace(self, outliers=0.0), replace(self, outliers=0.0, center=self.center - self.earlier)
            return (1 - self.outliers) * usual.truth(functional) + self.outliers * early.truth(functional)
        shares = (np.arange(NODES) + 0.5) / NODES
        direction = -1 - np.log1p(-shares) if self.skewed else ndtri(shares)
        shift = (self.direction * direction[:, None] + self.side * ndtri(shares)).reshape(-1, 1)
        within = math.hypot(self.prompt, self.cell)
        curves: Array = ndtr((np.abs(ALPHAS) - self.center - shift) / within)
        return float(functional(curves).mean())


def past(breaks: Array) -> NDArray[np.bool_]:
    """Which points lie at or beyond a threshold. Shape (directions, sides, prompts) → (directions, alphas, prompts)."""
    negative = -ALPHAS[ALPHAS < 0][:, None] >= breaks[:, :1]
    positive = ALPHAS[ALPHAS >= 0][:, None] >= breaks[:, 1:]
    return np.concatenate((negative, positive), axis=1)


def margin_of(curves: Array) -> Array:
    """Margin on the grid of the simulation."""
    return margins(ALPHAS, curves)


def radius_of(curves: Array) -> Array:
    """Radius, mean over both sides, on the grid of the simulation."""
    return reaches(ALPHAS, curves)[0].mean(axis=-1)


FUNCTIONALS = {"margin": (margin_of, 1.0), "radius": (radius_of, 0.5)}

SCENARIOS = (
    Scenario(name="typical", n_directions=3, n_prompts=80),
    Scenario(name="typical", n_directions=5, n_prompts=80),
    Scenario(name="typical", n_directions=8, n_prompts=80),
    Scenario(name="few prompts", n_directions=3, n_prompts=20),
    Scenario(name="many prompts", n_directions=3, n_prompts=320),
    Scenario(name="directions alike", n_directions=3, n_prompts=80, direction=0.005, side=0.005),
    Scenario(name="directions alike", n_directions=8, n_prompts=80, direction=0.005, side=0.005),
    Scenario(name="directions apart", n_directions=3, n_prompts=80, direction=0.06, side=0.03, center=0.25),
    Scenario(name="directions apart", n_directions=8, n_prompts=80, direction=0.06, side=0.03, center=0.25),
    Scenario(name="steep rim", n_directions=3, n_prompts=80, prompt=0.01, cell=0.01),
    Scenario(name="steep rim", n_directions=8, n_prompts=80, prompt=0.01, cell=0.01),
    Scenario(name="noisy cells", n_directions=3, n_prompts=80, prompt=0.03, cell=0.08),
    Scenario(name="wide shoulders", n_directions=3, n_prompts=80, prompt=0.12, cell=0.04),
    Scenario(name="many prompts, directions nearly alike", n_directions=3, n_prompts=320, direction=0.01, side=0.01),
)
SKEWED = (
    Scenario(name="skewed directions", n_directions=3, n_prompts=80, direction=0.06, center=0.25, skewed=True),
    Scenario(name="skewed directions", n_directions=8, n_prompts=80, direction=0.06, center=0.25, skewed=True),
)
"""Outside what is claimed: Student's t with few, strongly skewed directions is too narrow. Shown, not asserted."""
NEAR_DUPLICATES = (14, 9, 7, 5, 4, 3, 2, 2, 2)
"""Sizes of clusters as public sets of requests have them: 48 of 80 prompts have a near-duplicate."""
LIMITS = tuple(
    Scenario(name=name, n_directions=n, n_prompts=80, **spreads)  # type: ignore[arg-type]
    for name, spreads in {
        "one direction in five is an outlier": {"outliers": 0.2},
        "one in five is an outlier, the others alike": {"outliers": 0.2, "direction": 0.005, "side": 0.005},
        "near-duplicate prompts, ICC 0.5": {"clusters": NEAR_DUPLICATES, "icc": 0.5},
        "near-duplicate prompts, ICC 0.8": {"clusters": NEAR_DUPLICATES, "icc": 0.8},
        "eight templates of ten prompts, ICC 0.7": {"clusters": (10,) * 8, "icc": 0.7},
    }.items()
    for n in (3, 5, 8)
)
"""Outside what is claimed as well: nothing that three directions, or prompts taken as independent, can show."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was counted."""

    share: float
    error: float
    """Monte Carlo standard error of the share."""
    width: float
    """Median width of the intervals."""
    n: int
    """Landscapes that were counted: those without a censored side."""


def coverage(scenario: Scenario, statistic: str, repetitions: int, *, level: float = 0.95, seed: int = 0) -> Coverage:
    """Draw landscapes, and count how often the interval holds the truth. Those with a censored side are left out."""
    functional, upper = FUNCTIONALS[statistic]
    truth = scenario.truth(functional)
    rng = np.random.default_rng(seed)
    hits, widths = 0, list[float]()
    for _ in range(repetitions):
        success = scenario.draw(rng)
        if statistic == "radius" and reaches(ALPHAS, success.mean(axis=-1))[1].any():
            continue
        found = interval(success, functional, bounds=(0.0, upper), level=level)
        assert isinstance(found, Interval)
        hits += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    share = hits / len(widths)
    return Coverage(share, math.sqrt(share * (1 - share) / len(widths)), float(np.median(widths)), len(widths))


def bootstrap_coverage(n_prompts: int, statistic: str, repetitions: int, *, seed: int = 0) -> Coverage:
    """Like `coverage`, of one direction: the truth is that of infinitely many prompts in the direction drawn."""
    functional, upper = FUNCTIONALS[statistic]
    scenario, rng = SCENARIOS[0], np.random.default_rng(seed)
    within = math.hypot(scenario.prompt, scenario.cell)
    hits, widths = 0, list[float]()
    for _ in range(repetitions):
        sides = scenario.direction * rng.standard_normal() + scenario.side * rng.standard_normal(2) + scenario.center
        curve: Array = ndtr((np.abs(ALPHAS) - np.where(ALPHAS < 0, sides[0], sides[1])) / within)
        prompts = scenario.prompt * rng.standard_normal((1, 1, n_prompts))
        breaks = sides[None, :, None] + prompts + scenario.cell * rng.standard_normal((1, 2, n_prompts))
        found = interval(past(breaks).astype(np.float64), functional, bounds=(0.0, upper))
        assert isinstance(found, Interval)
        hits += found.low <= functional(curve[None])[0] <= found.high
        widths.append(found.high - found.low)
    share = hits / repetitions
    return Coverage(share, math.sqrt(share * (1 - share) / repetitions), float(np.median(widths)), repetitions)


def collapse_coverage(scenario: Scenario, repetitions: int, *, seed: int = 0) -> Coverage:
    """Like `coverage`, of `estimate_collapse`, where responses turn incoherent some way beyond the break.

    The truth is the mean over 400 landscapes of 40 directions and as many prompts as the scenario has.
    """
    large, rng = replace(scenario, n_directions=40), np.random.default_rng(seed + 1)
    truth = sum(_collapse(large, rng).value or 0.0 for _ in range(400)) / 400
    rng = np.random.default_rng(seed)
    hits, widths = 0, list[float]()
    for _ in range(repetitions):
        found = _collapse(scenario, rng)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    share = hits / repetitions
    return Coverage(share, math.sqrt(share * (1 - share) / repetitions), float(np.median(widths)), repetitions)


def _collapse(scenario: Scenario, rng: np.random.Generator) -> Estimate:
    breaks = scenario.breaks(rng)
    n, sides, prompts = breaks.shape
    gap = 0.08 + 0.02 * rng.standard_normal((n, sides, 1)) + 0.05 * np.abs(rng.standard_normal((1, 1, prompts)))
    answered = past(breaks)
    labels = np.where(answered, np.where(past(breaks + gap), "incoherent", "complied"), "refusal")
    success = answered.astype(np.float64)
    return estimate_collapse(labels, success, ALPHAS, success[0, ALPHAS.size // 2])


def flat_coverage(n_directions: int, repetitions: int, *, seed: int = 0) -> tuple[float, float]:
    """Of landscapes without any effect, but that one direction in five is past the limit on half of its points.

    Returns:
        Share of intervals of the margin that hold the truth: as they are, and where only prompts bound a flat one.
    """
    rng = np.random.default_rng(seed)
    held = [0, 0]
    for _ in range(repetitions):
        success = np.zeros((n_directions, ALPHAS.size, 80))
        success[rng.random(n_directions) < 0.2, : ALPHAS.size // 2] = 1
        found = interval(success, margin_of)
        assert isinstance(found, Interval)
        truth = 1 - 0.2 * (ALPHAS.size // 2) / ALPHAS.size
        by_prompts = 0.025 ** (1 / 80) if found.n_alike else found.low
        held[0] += found.low <= truth <= found.high
        held[1] += by_prompts <= truth <= found.high
    return held[0] / repetitions, held[1] / repetitions


def censored_coverage(center: float, n_directions: int, repetitions: int, *, seed: int = 0) -> tuple[float, float, int]:
    """Of landscapes with a censored side: how often the radius' lower bound lies below the truth.

    Returns:
        Share below the uncut mean radius, share below the mean radius cut at the range, and landscapes counted.
    """
    scenario, rng = replace(SCENARIOS[0], n_directions=n_directions, center=center), np.random.default_rng(seed)
    cut, below = scenario.truth(radius_of), [0, 0]
    n = 0
    for _ in range(repetitions):
        success = scenario.draw(rng)
        found = estimate_radius(success, ALPHAS, success[0, ALPHAS.size // 2])
        if found.n_censored and found.low is not None:
            n += 1
            below[0] += found.low <= center
            below[1] += found.low <= cut
    return below[0] / n, below[1] / n, n


def wilson_coverage(n: int, *, steps: int = 2000) -> tuple[float, float, float]:
    """Exact coverage of the Wilson interval for n prompts: mean over p, minimum over p, and the p of the minimum.

    The minimum lies just beside a bound of one of the n + 1 intervals.
    """
    found = [wilson(k, n) for k in range(n + 1)]
    ends = np.asarray([end for i in found for end in (i.low, i.high)])
    beside = np.concatenate((ends - 1e-9, ends + 1e-9))
    beside = beside[(beside > 1e-6) & (beside < 1 - 1e-6)]
    covered = _held(found, beside)
    mean = _held(found, (np.arange(steps) + 0.5) / steps).mean()
    return float(mean), float(covered.min()), float(beside[covered.argmin()])


def _held(intervals: list[Interval], rates: Array) -> Array:
    """The probability of those counts whose interval holds the rate."""
    n = len(intervals) - 1
    total = np.zeros_like(rates)
    for k, found in enumerate(intervals):
        log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        chance = np.exp(log + k * np.log(rates) + (n - k) * np.log1p(-rates))
        total += np.where((found.low <= rates) & (rates <= found.high), chance, 0.0)
    return total


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Coverage of safebasin's 95% intervals, as Markdown tables.")
    parser.add_argument("--quick", action="store_true", help="200 landscapes a row instead of 4000")
    repetitions = 200 if parser.parse_args().quick else 4000
    print("| Wilson, prompts | mean over p | minimum | at p |\n| ---: | ---: | ---: | ---: |")
    for n in (20, 40, 80, 200, 520):
        mean, low, at = wilson_coverage(n)
        print(f"| {n} | {mean:.1%} | {low:.1%} | {at:.2%} |")
    print(f"\n{repetitions} landscapes a row, 21 points in [-0.5, 0.5]\n")
    print("| landscape | directions | prompts | statistic | coverage | ± | median width | counted |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for scenario in (*SCENARIOS, *SKEWED, *LIMITS):
        for statistic in FUNCTIONALS:
            _print_row(scenario, statistic, coverage(scenario, statistic, repetitions))
    for statistic in FUNCTIONALS:
        one = replace(SCENARIOS[0], name="typical, conditional on the direction", n_directions=1)
        _print_row(one, statistic, bootstrap_coverage(one.n_prompts, statistic, repetitions // 4))
    for scenario in (SCENARIOS[0], SCENARIOS[2]):
        _print_row(scenario, "collapse", collapse_coverage(scenario, repetitions))
    one = replace(SCENARIOS[0], name="typical, conditional, against all directions", n_directions=1)
    _print_row(one, "collapse", collapse_coverage(one, repetitions // 4))
    _print_bounds(repetitions)


def _print_bounds(repetitions: int) -> None:
    print("\n| flat but for one direction in five | held | with prompts only |\n| --- | ---: | ---: |")
    for n in (3, 5, 8):
        held, by_prompts = flat_coverage(n, repetitions)
        print(f"| {n} directions | {held:.1%} | {by_prompts:.1%} |")
    print("\n| censored radius, center | directions | below the radius | below the cut radius | counted |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for center in (0.42, 0.46, 0.5):
        for n in (3, 8):
            uncut, cut, counted = censored_coverage(center, n, repetitions // 2)
            print(f"| {center} | {n} | {uncut:.1%} | {cut:.1%} | {counted} |")


def _print_row(scenario: Scenario, statistic: str, found: Coverage) -> None:
    print(
        f"| {scenario.name} | {scenario.n_directions} | {scenario.n_prompts} | {statistic} "
        f"| {found.share:.1%} | {found.error:.1%} | {found.width:.3f} | {found.n} |"
    )


if __name__ == "__main__":
    main()
