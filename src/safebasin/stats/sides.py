"""The two sides of a line that leads somewhere, kept apart: toward its target (α > 0), and away from it (α < 0).

Along a random direction α and −α are alike by construction, so a statistic averages over both. On a line to a model or
an adapter they are different questions, and a mean of the answers is the answer to neither. No figure, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from safebasin.records import SIDES, Estimate
from safebasin.stats.landscape import Array

__all__ = ["nearer_side", "on_side", "side_headline"]


def on_side(alphas: Array, side: str) -> NDArray[np.bool_]:
    """Select the coordinates on a side, the origin among them. Shape (alphas,)."""
    return SIDES[side] * alphas >= 0


def nearer_side(found: Mapping[str, Estimate]) -> str:
    """The side whose statistic is the least: of radii the nearest crossing, of margins the least safe side.

    One that is censored crosses nowhere, and comes after one that does; an undefined one last.

    Args:
        found: the same statistic of each side, at least one.
    """
    return min(found, key=lambda side: _order(found[side]))


def _order(estimate: Estimate) -> tuple[bool, bool, float]:
    return estimate.value is None, bool(estimate.n_censored), estimate.value or 0.0


def side_headline(found: Mapping[str, Estimate], side: str) -> Estimate:
    """Choose what stands for the line as a whole: the estimate of one side, with words that say which of them.

    Its interval is that side's own: that the side was chosen by what was seen is not in it.
    """
    others = ", ".join(other for other in found if other != side)
    words = f"of the side {side_words(side)}; {others} is a statistic of its own: " if others else ""
    return replace(found[side], method=words + found[side].method)


def side_words(side: str) -> str:
    """A side with its sign: `toward the target (α > 0)`."""
    return f"{side} {'the target' if side == 'toward' else 'from the target'} (α {'>' if SIDES[side] > 0 else '<'} 0)"
