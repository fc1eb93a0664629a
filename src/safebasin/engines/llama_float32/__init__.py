"""The fast path of plain Llamas in float32, such as the embedded worlds: a pass that `paced` takes, and `scorer`.

lean          the forward pass without the module machinery
llama_scorer  likelihoods of texts, each prompt computed once
"""

from __future__ import annotations

from transformers import PreTrainedModel

from safebasin.engines.llama_float32.lean import LeanLlama
from safebasin.engines.llama_float32.llama_scorer import LlamaScorer

__all__ = ["LeanLlama", "LlamaScorer", "scorer"]


def scorer(model: PreTrainedModel) -> LlamaScorer | None:
    """Make a scorer of texts under the weights that a model has now; None where the model is not such a Llama."""
    return LlamaScorer(model) if LeanLlama.fits(model) else None
