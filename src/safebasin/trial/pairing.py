"""Arms on the same prompts: differences from no defense, and which pairs can be told apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from safebasin import stats
from safebasin.audit.measurement import BothModels, ModelVerdicts
from safebasin.audit.metrics import questions, share_of
from safebasin.landscape.tables import Array
from safebasin.stats.gate import paired
from safebasin.stats.multiple import holm
from safebasin.trial.curves import Curve
from safebasin.trial.records import ArmMetric, ArmPair, BudgetPair

__all__ = ["MEASURES", "budget_pairs_of", "measured", "pairs_of", "shares"]

MEASURES = ("asr", "asr_outcome", "over_refusal", "capability")
_LEVEL = 0.05


def shares(reading: BothModels, side: ModelVerdicts) -> dict[str, Array]:
    """ArmMetric → 1 where it holds, 0 where not, NaN where missing, shape (prompts,)."""
    return {q.name: q.rate(side, reading.systems[0]) for q in questions(reading) if q.name in MEASURES}


def measured(reading: BothModels, own: Mapping[str, Array], none: Mapping[str, Array] | None) -> tuple[ArmMetric, ...]:
    """Say what an arm did, and how that differs from no defense.

    Args:
        reading: of any arm: names of prompts and judges.
        own: `shares` of the arm.
        none: those without a defense; None where this is it.
    """
    asked = {q.name: q for q in questions(reading)}
    found: list[ArmMetric] = []
    for name, values in own.items():
        metric = ArmMetric(name=name, prompts=asked[name].prompts.name, judge=asked[name].judge, share=share_of(values))
        if none is not None:
            pairs, difference = paired(none[name], values), stats.estimate_paired_difference(none[name], values)
            metric = replace(metric, difference=difference, gained=pairs.gained, lost=pairs.lost, p=pairs.p)
        found.append(metric)
    return tuple(found)


def pairs_of(asr: Mapping[str, Array]) -> tuple[ArmPair, ...]:
    """Every two arms by attack success, in order; Holm's step-down procedure (1979) over exact McNemar tests.

    Args:
        asr: name of the arm → success of each prompt.
    """
    found = {(a, b): paired(asr[b], asr[a]) for a, b in combinations(asr, 2)}
    apart = [p <= _LEVEL for p in holm([pairs.p for pairs in found.values()])]
    return tuple(
        ArmPair(
            first=a,
            second=b,
            difference=stats.estimate_paired_difference(asr[b], asr[a]),
            p=pairs.p,
            apart=is_apart,
        )
        for ((a, b), pairs), is_apart in zip(found.items(), apart, strict=True)
    )


def budget_pairs_of(name: str, curves: Mapping[str, Curve]) -> tuple[BudgetPair, ...]:
    """Every two arms by the smallest budget of one kind, in order; Holm over p-values of the paired bootstrap.

    Args:
        name: of the kind.
        curves: name of the arm → attack success over those of the budgets that it was asked at.
    """
    found = {
        (a, b): stats.estimate_budget_difference(
            one.success, two.success, np.asarray(one.amounts), other=np.asarray(two.amounts), most=one.most
        )
        for (a, one), (b, two) in combinations(curves.items(), 2)
    }
    apart = [p <= _LEVEL for p in holm([p for _, p in found.values()])]
    return tuple(
        BudgetPair(budget=name, first=a, second=b, difference=difference, p=p, apart=is_apart)
        for ((a, b), (difference, p)), is_apart in zip(found.items(), apart, strict=True)
    )
