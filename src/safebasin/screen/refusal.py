"""The direction in which a model tells harmful requests from benign ones, found without asking it for a word.

A difference of means as that of Arditi et al. 2024 (arXiv 2406.11717). Their choice of layer generates and ablates;
this one takes the first layer that parts held-out prompts at least half as well as the best one does: the last layers
hold the word to come, and earlier ones what it comes of. So it may be another direction than that of
`safebasin edit --edit refusal_direction`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from safebasin.stats.landscape import Array

__all__ = ["RefusalAxis", "find_axis", "gap"]

_AS_GOOD = 0.5
"""Share of the best layer's gap that is enough for an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalAxis:
    """A direction of the residual stream."""

    layer: int
    """After which it was read."""
    direction: Array
    """Of unit length, (width,), float64; from benign to harmful."""
    parted: float
    """Held-out harmful less benign along the direction, in standard deviations within the two."""


def find_axis(harmful: Array, benign: Array) -> RefusalAxis:
    """Find the layer and direction that part two kinds of prompts.

    The first halves give a direction for each layer, the second halves choose the layer; the direction is then taken
    of all.

    Args:
        harmful: states, (layers, prompts, width); at least four prompts.
        benign: likewise.

    Raises:
        ValueError: where no layer tells the two apart at all.
    """
    scores = [_held_out(harmful[layer], benign[layer]) for layer in range(harmful.shape[0])]
    layer = next(layer for layer, score in enumerate(scores) if score >= _AS_GOOD * max(scores))
    difference = _difference(harmful[layer], benign[layer])
    length = float(np.linalg.norm(difference))
    if length == 0 or not scores[layer] > 0:
        raise ValueError("no layer tells harmful prompts from benign ones")
    return RefusalAxis(layer=layer, direction=difference / length, parted=scores[layer])


def gap(axis: RefusalAxis, harmful: Array, benign: Array) -> float:
    """Harmful less benign mean along a direction, of states (layers, prompts, width)."""
    return float(_difference(harmful[axis.layer], benign[axis.layer]) @ axis.direction)


def _held_out(harmful: Array, benign: Array) -> float:
    cut_h, cut_b = len(harmful) // 2, len(benign) // 2
    direction = _difference(harmful[:cut_h], benign[:cut_b])
    length = float(np.linalg.norm(direction))
    if length == 0:
        return 0.0
    h, b = (rows.astype(np.float64) @ (direction / length) for rows in (harmful[cut_h:], benign[cut_b:]))
    within = float(np.sqrt((h.var(ddof=1) + b.var(ddof=1)) / 2))
    return float(h.mean() - b.mean()) / within if within > 0 else 0.0


def _difference(harmful: Array, benign: Array) -> Array:
    return harmful.astype(np.float64).mean(axis=0) - benign.astype(np.float64).mean(axis=0)
