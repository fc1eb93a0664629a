"""Linear interpolation of one number, as plain Python: numpy would be the slowest part of a terminal report."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["interpolate"]


def interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """The value at x, linear between the points; beyond the ends that of the end.

    Args:
        xs: coordinates, ascending, at least one.
        ys: values there.
        x: where.
    """
    if x <= xs[0]:
        return ys[0]
    for i in range(1, len(xs)):
        if x <= xs[i]:
            share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
            return (1 - share) * ys[i - 1] + share * ys[i]
    return ys[-1]
