"""Several tests at once: p-values of which all errors together keep to a level."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["holm"]


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values by Holm's step-down procedure: those at most α are told, all errors together at α.

    Args:
        ps: p-values, in any order.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for step, at in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - step) * ps[at]))
        adjusted[at] = highest
    return adjusted
