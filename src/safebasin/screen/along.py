"""How a change of weights lies to other changes: cosine and share. Neither what is changed, nor what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from safebasin.errors import ModelError, expected
from safebasin.protocols import BaseWeights, Delta
from safebasin.screen.records import Along
from safebasin.stats.landscape import Array
from safebasin.weights.distance import whole_change
from safebasin.weights.layout import row_blocks

__all__ = ["along", "along_refusal"]


def along(base: BaseWeights, delta: Delta, other: Delta) -> Along:
    """Tell how a change lies to another one, over all weights.

    Args:
        base: the weights that both start from.
        delta: the change.
        other: the other.

    Raises:
        ModelError: where the other one is 0.
    """
    inner = own = its = 0.0
    n = 0
    for name in base.names:
        for start, stop in row_blocks(base.shape(name)):
            change, toward = delta.rows(name, start, stop), other.rows(name, start, stop)
            n += 0 if toward is None else toward.numel()
            own += 0.0 if change is None else float(change.double().square().sum())
            its += 0.0 if toward is None else float(toward.double().square().sum())
            if change is not None and toward is not None:
                inner += float((change.double() * toward.double()).sum())
    if its == 0:
        remedy = "Name the model that BASE was aligned from."
        raise ModelError(expected("the model before alignment", "another model than BASE", "the same weights", remedy))
    return _lies(inner, own, its, n)


def along_refusal(base: BaseWeights, delta: Delta, direction: Array, writers: Sequence[tuple[str, bool]]) -> Along:
    """Tell how a change lies to −r rᵀ W, over the weights that write to the residual stream.

    Args:
        base: W.
        delta: the change.
        direction: r, of unit length, (width,).
        writers: names of weights, and whether each is stored as (in, out).
    """
    r = torch.from_numpy(direction)
    inner = own = its = 0.0
    n = 0
    for name, transposed in writers:
        stored = base.rows(name, 0, base.shape(name)[0]).double()
        written = (stored @ r) if transposed else (r @ stored)
        change = whole_change(base, delta, name)
        its += float(written.square().sum())
        n += stored.numel()
        if change is not None:
            turned = (change.double() @ r) if transposed else (r @ change.double())
            own += float(change.double().square().sum())
            inner -= float((turned * written).sum())
    return _lies(inner, own, its, n)


def _lies(inner: float, own: float, its: float, n: int) -> Along:
    cosine = inner / math.sqrt(own * its) if own and its else 0.0
    return Along(cosine=cosine, share=inner / its if its else 0.0, chance=1 / math.sqrt(max(n, 1)))
