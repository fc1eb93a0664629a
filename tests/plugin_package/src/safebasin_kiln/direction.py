"""The direction `safebasin-kiln/coin`: d = ±θ, elementwise, so that ‖d‖ = ‖θ‖ under every normalization."""

from dataclasses import dataclass
from typing import Annotated
from zlib import crc32

import numpy as np
import torch
from pydantic import Field

from safebasin.protocols import BaseWeights
from safebasin.records import DirectionSpec


@dataclass(frozen=True)
class Tossed:
    """The direction, prepared for one model."""

    spec: DirectionSpec
    base: BaseWeights
    heads: float

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """±θ; a coin has a seed of its own for each row, so the answer depends neither on order nor on blocks."""
        if name in self.base.excluded() or not self.spec.moves(name):
            return None
        theta = self.base.rows(name, start, stop).float()
        coins = (np.random.default_rng([self.spec.seed, self.spec.index, crc32(name.encode()), row])
                 for row in range(start, stop))  # fmt: skip
        width = theta.numel() // (stop - start)
        signs = np.stack([np.where(coin.random(width) < self.heads, 1, -1) for coin in coins])
        return theta * torch.from_numpy(signs).reshape(theta.shape)


class Coin:
    """A drawn direction needs nothing of the whole model, so there is nothing to compute ahead.

    Args:
        heads: how likely a weight grows.
    """

    def __init__(self, heads: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> None:
        self.heads = heads

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Tossed:
        """Bind the recipe to a model."""
        return Tossed(spec, base, self.heads)
