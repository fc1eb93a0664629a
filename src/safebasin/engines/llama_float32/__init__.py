"""The fast path of plain Llamas in float32, such as the embedded worlds, with two ways in: `decode` and `scorer`.

The general loop (`engines.decoding`) does the prefill, here as for any model, and reads whole without this folder: for
a model that is not such a Llama both answer "not mine".

    lean          the forward pass without the module machinery, and its cache of rows of their own lengths
    paced         decoding each row at its own pace: rows that repeat themselves take many tokens a pass
    drafting      the guesses that those passes check
    llama_scorer  likelihoods of texts, each prompt computed once
"""

from __future__ import annotations

import torch
from transformers import DynamicCache, PreTrainedModel

from safebasin.engines.llama_float32.drafting import LONGEST, Drafter
from safebasin.engines.llama_float32.lean import LeanCache, LeanLlama
from safebasin.engines.llama_float32.llama_scorer import LlamaScorer
from safebasin.engines.llama_float32.paced import Paced
from safebasin.engines.stopping import Rows

__all__ = ["LlamaScorer", "decode", "scorer"]


def decode(model: PreTrainedModel, cache: DynamicCache, mask: torch.Tensor, rows: Rows, *, longest: int) -> bool:
    """Decode a batch to its end after its prefill; False, with nothing touched, where the model is not such a Llama.

    Args:
        model: any, in eval mode; its logits are taken as they are, without processors.
        cache: of the prompts, all of them read; emptied.
        mask: (rows, width of the prompts), 1 where a token is real; rows are padded at the left.
        rows: holds the first new token of each row, and in the end the result.
        longest: the most tokens, prompt and padding included, that a row can get.
    """
    if not LeanLlama.fits(model):
        return False
    # rows that end when they repeat themselves need no guess
    drafter = None if rows.watches_loops else Drafter(mask.shape[0], longest + LONGEST)
    moved = LeanCache.of(cache, mask)
    cache.layers = []  # they have been copied
    Paced(LeanLlama(model, longest + LONGEST), rows, drafter).run(moved)
    return True


def scorer(model: PreTrainedModel) -> LlamaScorer | None:
    """Make a scorer of texts under the weights that a model has now; None where the model is not such a Llama."""
    return LlamaScorer(model) if LeanLlama.fits(model) else None
