"""Concrete masks on a task vector: drawn, rescaled by their mean, and made hard. No model, no training.

m = σ((logit + log u − log(1 − u))/T), u uniform, is a relaxed Bernoulli variable (Maddison et al. 2017, arXiv
1611.00712); what is kept of a tensor δ is δ ⊙ m / mean(m), so that its size stays about the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from safebasin.errors import UsageError, expected

__all__ = ["Export", "concrete", "hard", "rescaled"]

TEMPERATURE = 0.5
FLOOR = 1e-3
"""The mean of a mask counts as at least this much: the quotient would explode where little is kept."""
Export = Literal["deterministic", "sampled"]


def concrete(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A drawn mask, elements in [0, 1]; gradients reach the logits."""
    tiny = torch.finfo(logits.dtype).tiny
    u = torch.rand(logits.shape, generator=generator, dtype=logits.dtype).clamp(tiny, 1 - torch.finfo(logits.dtype).eps)
    return torch.sigmoid((logits + u.log() - (-u).log1p()) / TEMPERATURE)


def rescaled(delta: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """δ ⊙ m / mean(m)."""
    return delta * mask / mask.mean().clamp(min=FLOOR)


def hard(logits: Mapping[str, torch.Tensor], export: Export, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Masks of zeros and ones: where σ(logit) > ½, or, `sampled`, where one draw is above ½, as in the published code.

    Raises:
        UsageError: where they keep nothing at all.
    """
    found = {
        name: (values > 0 if export == "deterministic" else concrete(values, generator) > 0.5).to(values.dtype)
        for name, values in logits.items()
    }
    if not any(bool(mask.any()) for mask in found.values()):
        remedy = "Train the mask for more steps, or at a higher rate."
        raise UsageError(expected("the mask of somf", "one that keeps something of the tuning", "zeros", remedy))
    return found
