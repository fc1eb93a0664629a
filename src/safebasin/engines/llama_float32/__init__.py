"""The fast path of plain Llamas in float32, such as the embedded worlds: a pass that `paced` takes, and `scorer`.

lean          the forward pass without the module machinery
llama_scorer  likelihoods of texts, each token computed once
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from transformers import PreTrainedModel

from safebasin.engines.llama_float32.lean import LeanLlama
from safebasin.engines.llama_float32.llama_scorer import Ids, nll_of_texts

__all__ = ["LeanLlama", "Scorer", "nll_of_texts", "scorer"]

Scorer = Callable[[Iterable[tuple[Ids, Ids]]], dict[tuple[Ids, Ids], tuple[float, ...]]]
"""Of prompts with texts, −ln p of each token of each text."""


def scorer(model: PreTrainedModel) -> Scorer | None:
    """Make what scores texts under the weights that a model has; None where the model is not such a Llama."""
    return partial(nll_of_texts, model) if LeanLlama.fits(model) else None
