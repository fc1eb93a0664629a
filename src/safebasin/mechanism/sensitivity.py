"""How steeply the largest logit of the next token rises with the prompt: ‖∇ₓ maxⱼ h(x)ⱼ‖ (Jain et al. 2024, §5).

x are the embeddings of the prompt's tokens, h(x) the logits behind its last one. By `torch.func`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from safebasin.errors import ModelError, expected
from safebasin.stats.landscape import Array

__all__ = ["sensitivities"]


def sensitivities(model: Any, tokens: Sequence[Sequence[int]]) -> Array:
    """The norm for each row of tokens, (rows,).

    Args:
        model: a causal language model of transformers, under the weights that are asked.
        tokens: rows of token ids, none empty.

    Raises:
        ModelError: where a gradient is not finite.
    """
    import torch

    device, found = next(model.parameters()).device, []

    def largest(embeddings: torch.Tensor) -> torch.Tensor:
        logits = model(inputs_embeds=embeddings[None], use_cache=False).logits
        return logits[0, -1].float().max()

    for row in tokens:
        with torch.no_grad():
            embeddings = model.get_input_embeddings()(torch.tensor(row, device=device))
        with torch.enable_grad():
            gradient = torch.func.grad(largest)(embeddings)
        found.append(float(gradient.detach().double().norm()))
    values = np.array(found)
    if not np.isfinite(values).all():
        remedy = "Check the checkpoint, or take a wider --dtype."
        raise ModelError(expected("gradients of the model", "finite", "others", remedy))
    return values
