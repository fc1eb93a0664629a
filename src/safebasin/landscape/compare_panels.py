"""Paired differences between the panels of one study: system prompts, and prompts with and without a jailbreak.

The first system prompt, and the first prompt set, of a study are what the others are compared with. On a line that
leads somewhere each side is compared on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from safebasin import stats
from safebasin.landscape.tables import Array, Grid, StudyTables, VerdictTable
from safebasin.prompts.pairs import pair_by_behavior, share_behaviors
from safebasin.records import Comparison, Estimate, Region
from safebasin.stats.method_words import WIDENED

__all__ = ["compare_panels"]


def compare_panels(study: StudyTables, judge: str, composer: str | None) -> tuple[Comparison, ...]:
    """Every comparison that a study supports, region by region.

    Args:
        study: what is stored.
        judge: whose verdicts the margins are of.
        composer: the judge that tells refusal, answer and collapse apart; without one nothing is said of jailbreaks,
            for a keyword judge sees collapsed text as a jailbreak that survived.
    """
    table = study.table(judge)
    found: list[Comparison] = []
    for region in study.plan.regions:
        found += _systems(study, region, table)
        if composer is not None:
            found += _wrappings(study, region, study.table(composer))
    return tuple(found)


def _systems(study: StudyTables, region: Region, table: VerdictTable) -> Iterator[Comparison]:
    first, *others = study.plan.systems
    for prompts in study.plan.sets:
        before = study.grid(region, first, prompts)
        for other, side in product(others, _sides(region)):
            yield Comparison(
                region=region.name,
                kind="system",
                statistic=f"margin{_named(side)} on {prompts.name}",
                before=first.name,
                after=other.name,
                estimate=_margin_difference(before, study.grid(region, other, prompts), table, side),
            )


def _wrappings(study: StudyTables, region: Region, table: VerdictTable) -> Iterator[Comparison]:
    first, *others = study.plan.sets
    for system in study.plan.systems:
        for other in others:
            if region.is_plane or not share_behaviors(first.prompts, other.prompts):
                continue
            pairs = pair_by_behavior(first.prompts, other.prompts)
            plain, wrapped = (study.grid(region, system, prompts) for prompts in (first, other))
            for side in _sides(region):
                yield Comparison(
                    region=region.name,
                    kind="prompts",
                    statistic=f"retention{_named(side)}, system prompt {system.name}",
                    before=first.name,
                    after=other.name,
                    estimate=_retention_difference(plain, wrapped, pairs, table, side),
                )


def _sides(region: Region) -> tuple[str | None, ...]:
    """What is compared on its own: each side of a line that leads somewhere, else the region as a whole."""
    return region.sides or (None,)


def _named(side: str | None) -> str:
    return "" if side is None else f" {side}"


def _margin_difference(before: Grid, after: Grid, table: VerdictTable, side: str | None) -> Estimate:
    told = (before.told(table), after.told(table)) if before.stopped or after.stopped else None
    there = _there(before.alphas[0], side)
    axes = (before.alphas[0][there], *before.alphas[1:])
    own = None if told is None else (told[0][:, there], told[1][:, there])

    def difference(off: float, other: float) -> Estimate:
        first, second = before.success(table, off=off)[:, there], after.success(table, off=other)[:, there]
        return stats.estimate_margin_difference(first, second, axes, told=own)

    return _allowing(difference, before, after)


def _allowing(difference: Callable[[float, float], Estimate], before: Grid, after: Grid) -> Estimate:
    """A difference, given how far off either side is, that allows for what stopping can hide."""
    off = zip(before.leaning() or (0.0, 0.0), reversed(after.leaning() or (0.0, 0.0)), strict=True)
    found = difference(0.0, 0.0)
    if not (before.stopped or after.stopped) or found.low is None:
        return found
    held = stats.holding(found, [difference(*each) for each in off])
    return replace(held, method=f"{held.method}; {WIDENED}")


def _there(alphas: Array, side: str | None) -> NDArray[np.bool_]:
    return np.full(alphas.shape, fill_value=True) if side is None else stats.on_side(alphas, side)


def _retention_difference(
    plain: Grid, wrapped: Grid, pairs: tuple[tuple[int, int], ...], table: VerdictTable, side: str | None
) -> Estimate:
    """How much longer an elicited answer survives perturbation than a refusal of the same request does."""
    left, right = (list(side) for side in zip(*pairs, strict=True))
    refused, elicited = table.held(("refusal",)), table.held(("complied", "harmful"))
    kept = (plain.origin(refused)[left] == 1) & (wrapped.origin(elicited)[right] == 1)
    there = _there(plain.alphas[0], side)
    told = None
    if plain.stopped or wrapped.stopped:
        told = plain.told(refused)[:, there][..., left], wrapped.told(elicited)[:, there][..., right]

    def difference(off: float, other: float) -> Estimate:
        return stats.estimate_retention_difference(
            plain.success(refused, left, kept, off=off)[:, there],
            wrapped.success(elicited, right, kept, off=other)[:, there],
            plain.alphas[0][there],
            kept,
            told=told,
        )

    return _allowing(difference, plain, wrapped)
