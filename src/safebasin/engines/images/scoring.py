"""Negative log-likelihood of texts as answers to prompts with images: the image is read, as where they were decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from safebasin.engines.decoding import left_padded
from safebasin.engines.images.looks import Look, beside
from safebasin.engines.scoring import Tokens, in_batches, nll_after_prompts
from safebasin.models.files import memory_errors
from safebasin.protocols import TokenScores

__all__ = ["score_shown"]


def score_shown(
    model: Any, prompts: Sequence[Sequence[int]], texts: Sequence[Tokens], looks: Sequence[Look], *, pad: int
) -> list[TokenScores]:
    """−ln p(token | image, prompt, tokens before), in nats, log-softmax in float32; results in the order given.

    Args:
        model: the whole model, in eval mode.
        prompts: token ids, none empty; with its text, each fits the context.
        texts: what follows each prompt; may be empty.
        looks: what each prompt has beside its tokens.
        pad: token to pad with, no image's.

    Raises:
        MemoryError: where even a batch of one does not fit.
    """
    asked = [row for row, text in enumerate(texts) if text.ids]
    asked.sort(key=lambda row: len(prompts[row]) + len(texts[row].ids))
    pairs = [(tuple(prompts[row]), texts[row].ids) for row in asked]
    found: dict[int, tuple[float, ...]] = {}
    left = iter(asked)
    with memory_errors(), torch.inference_mode():
        for batch in in_batches(pairs, int(model.config.get_text_config().vocab_size), with_prompts=True):
            rows = [next(left) for _ in batch]
            ids, mask = left_padded([[*p, *t] for p, t in batch], pad=pad, device=model.device)
            given = beside(model, ids, mask, [looks[row] for row in rows])
            found |= zip(rows, nll_after_prompts(model, ids, mask, [t for _, t in batch], given), strict=True)
    return [TokenScores(nll=found.get(row, ()), ends=text.ends) for row, text in enumerate(texts)]
