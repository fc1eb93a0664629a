"""A ranking of models by margin that says which of them cannot be told apart.

Pairs are compared on the same prompts and directions, by Holm's step-down procedure, so that the level holds for all of
them together.

Source: Holm 1979, Scandinavian Journal of Statistics 6(2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.axes import Axes
from safebasin.stats.estimates import estimate_margin, holding
from safebasin.stats.landscape import Array
from safebasin.stats.method_words import WIDENED
from safebasin.stats.paired import FEWEST_DIRECTIONS, estimate_margin_difference

__all__ = ["RankedPair", "Ranking", "rank_by_margin"]

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPair:
    """Two models of a ranking, the one that stands higher first."""

    first: str
    second: str
    difference: Estimate
    """The first − the second, at the level of the step of Holm's procedure that decided on this pair.

    It says whether the pair is apart; as intervals those of a ranking do not hold all together.
    """
    region: str = ""
    """Where: the name of the line or plane, with its side if it is of one."""
    is_supported: bool = True
    """Whether the directions are enough to speak of more than themselves."""

    @property
    def is_apart(self) -> bool:
        """True where the interval excludes 0; without an interval, or with too few directions, nothing is apart."""
        return self.is_supported and _excludes_zero(self.difference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Models by margin, the highest first."""

    order: tuple[str, ...]
    margins: tuple[Estimate, ...]
    """In that order."""
    pairs: tuple[RankedPair, ...]
    region: str = ""
    """As in `RankedPair`."""
    groups: tuple[tuple[str, ...], ...]
    """Runs of the order of which no two can be told apart, two models or more each; they may overlap."""


def rank_by_margin(
    names: Sequence[str],
    success: Sequence[Array],
    axes: Axes,
    *,
    level: float = 0.95,
    seed: int = 0,
    region: str = "",
    is_drawn: bool = True,
    told: Sequence[Array] | None = None,
    leaning: Sequence[tuple[Array, ...]] | None = None,
) -> Ranking:
    """Rank models by the mean of 1 − ASR over the range.

    Args:
        names: of the models, different.
        success: verdicts of each, shape (directions, alphas, prompts) or (planes, alphas, betas, prompts), all alike:
            the same prompts in the same order.
        axes: coordinates, ascending.
        level: that all pairs together are to have.
        seed: of the bootstrap over prompts, used with one direction.
        region: what it is called.
        is_drawn: whether the directions are drawn; of fewer than `FEWEST_DIRECTIONS` drawn ones no pair is apart.
        told: of each model as in `estimate_margin_difference`; None where every prompt was asked everywhere.
        leaning: of each model its `success` as far off either way as stopping can draw it (`complete_rows`, off), or
            nothing where no point of it was stopped. Every interval holds what these give.

    Raises:
        StudyError: where fewer than two models are given, or their arrays differ in shape.
    """
    check_names(names)
    arrays = dict(zip(names, success, strict=True))
    answers = None if told is None else dict(zip(names, told, strict=True))
    off = dict.fromkeys(names, ()) if leaning is None else dict(zip(names, leaning, strict=True))

    def margin(name: str) -> Estimate:
        n = None if answers is None else _fewest(answers[name])
        own = [estimate_margin(one, axes, level=level, seed=seed, n_prompts=n) for one in (arrays[name], *off[name])]
        return _widened(own)

    def difference(pair: Pair, at: float) -> Estimate:
        first, second = pair
        own = None if answers is None else (answers[second], answers[first])
        before, after = (off[name] or (arrays[name], arrays[name]) for name in (second, first))
        apart = zip(before, reversed(after), strict=True) if off[first] or off[second] else ()
        both = [(arrays[second], arrays[first]), *apart]
        found = [estimate_margin_difference(*each, axes, level=at, seed=seed, told=own) for each in both]
        return _widened(found)

    margins = {name: margin(name) for name in names}

    found = _ranking(margins, difference, level)
    is_supported = not is_drawn or success[0].shape[0] >= FEWEST_DIRECTIONS
    pairs = tuple(replace(pair, region=region, is_supported=is_supported) for pair in found.pairs)
    return replace(found, region=region, pairs=pairs, groups=_groups(found.order, pairs))


def _widened(found: Sequence[Estimate]) -> Estimate:
    """The first, its interval holding those of the others, if any, and saying so."""
    held = holding(found[0], found[1:])
    is_wider = len(found) > 1 and held.low is not None
    return replace(held, method=f"{held.method}; {WIDENED}") if is_wider else held


def _fewest(told: Array) -> int:
    """The fewest prompts that were answered at a point where any was; shape (…, prompts)."""
    answered = (~np.isnan(told)).sum(axis=-1)
    return int(answered[answered > 0].min(initial=told.shape[-1]))


def check_names(names: Sequence[str]) -> None:
    """Check that there are two models or more, and that their names differ.

    Raises:
        StudyError: where not.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise StudyError(expected("models to rank", "two or more with different names", list(names), "Name others."))


def _ranking(margins: Mapping[str, Estimate], difference: Callable[[Pair, float], Estimate], level: float) -> Ranking:
    order = tuple(sorted(margins, key=lambda name: -_value(margins[name])))
    found = _step_down(tuple(combinations(order, 2)), difference, level)
    pairs = tuple(RankedPair(first=a, second=b, difference=found[a, b]) for a, b in combinations(order, 2))
    return Ranking(order=order, margins=tuple(margins[n] for n in order), pairs=pairs, groups=_groups(order, pairs))


def _step_down(
    pairs: Sequence[Pair], difference: Callable[[Pair, float], Estimate], level: float
) -> Mapping[Pair, Estimate]:
    """Holm: what is apart at 1 − (1 − level) / m is settled, and m becomes the number of pairs that are left."""
    settled: dict[Pair, Estimate] = {}
    left = list(pairs)
    while left:
        found = {pair: difference(pair, 1 - (1 - level) / len(left)) for pair in left}
        apart = {pair: estimate for pair, estimate in found.items() if _excludes_zero(estimate)}
        settled |= apart or found
        left = [pair for pair in left if pair not in settled]
    return settled


def _excludes_zero(estimate: Estimate) -> bool:
    return (estimate.low is not None and estimate.low > 0) or (estimate.high is not None and estimate.high < 0)


def _value(estimate: Estimate) -> float:
    return -np.inf if estimate.value is None else estimate.value


def _groups(order: tuple[str, ...], pairs: Sequence[RankedPair]) -> tuple[tuple[str, ...], ...]:
    apart = {frozenset((pair.first, pair.second)) for pair in pairs if pair.is_apart}
    groups: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not any(frozenset((order[stop], name)) in apart for name in order[start:stop]):
            stop += 1
        if stop - start > 1 and stop > reached:
            groups.append(order[start:stop])
            reached = stop
    return tuple(groups)
