"""A threshold between two samples of scores, chosen on one split to be used on another. Plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["balanced_accuracy", "best_threshold"]


def balanced_accuracy(harmful: Sequence[float], benign: Sequence[float], threshold: float) -> float:
    """Mean of the share of harmful scores at or above a threshold and the share of benign ones below it."""
    above = sum(score >= threshold for score in harmful) / len(harmful)
    below = sum(score < threshold for score in benign) / len(benign)
    return (above + below) / 2


def best_threshold(harmful: Sequence[float], benign: Sequence[float]) -> float:
    """The threshold of the largest balanced accuracy: halfway between two neighboring scores, or beside all of them.

    Of several as good ones it is the lowest, which takes most for harmful. Scores that are not finite are left out; 0
    where a side has no other.
    """
    harmful, benign = ([s for s in scores if math.isfinite(s)] for scores in (harmful, benign))
    if not harmful or not benign:
        return 0.0
    scores = sorted({*harmful, *benign})
    between = [(low + high) / 2 for low, high in pairwise(scores)]
    candidates = [scores[0], *between, math.nextafter(scores[-1], math.inf)]
    return max(candidates, key=lambda t: (balanced_accuracy(harmful, benign, t), -t))
