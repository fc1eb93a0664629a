"""How surprising texts are to a plain Llama whose weights stay: what it makes of each prompt is computed once.

A study scores thousands of responses to a few dozen prompts at θ₀; without this, most of a short response's cost is its
prompt. Only what `lean` can run is taken; `scoring` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from safebasin.engines.llama_float32.lean import LeanLlama
from safebasin.engines.ragged import RaggedCache

__all__ = ["LlamaScorer"]

_STATE_BYTES = 256 * 2**20
"""Keys and values that are kept."""


class LlamaScorer:
    """Negative log-likelihoods under the weights that a model has now; to be thrown away when they change.

    Args:
        model: one that `LeanLlama.fits` accepts.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._rows: dict[tuple[int, ...], int] = {}
        self._cache: RaggedCache | None = None

    def nll(self, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """−ln p of each token of each text after its prompt; neither is empty."""
        longest = max(map(len, texts))
        llama = LeanLlama(self._model, max(map(len, prompts)) + longest)
        cache = self._prompts(llama, prompts)
        cache.lengths = cache.lengths - 1  # the last token of the prompt is fed again: it is followed by the text
        given = [[prompt[-1], *text[:-1]] for prompt, text in zip(prompts, texts, strict=True)]
        logits = llama(_right_padded(given, llama.device), cache)  # (rows, longest, vocabulary)
        targets = _right_padded(texts, llama.device)  # (rows, longest), as the result; the padding is cut off again
        found = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        return [tuple(row[: len(text)]) for row, text in zip(found.tolist(), texts, strict=True)]

    def _prompts(self, llama: LeanLlama, prompts: Sequence[Sequence[int]]) -> RaggedCache:
        """Keys and values of these prompts, a row each."""
        keys = [tuple(prompt) for prompt in prompts]
        if self._cache is not None and self._cache.n_bytes > _STATE_BYTES:
            self._rows, self._cache = {}, None
        new = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if new or self._cache is None:
            known = [] if self._cache is None else [self._cache]
            self._cache = RaggedCache.joined([*known, *(_read(llama, key) for key in new)])
            self._rows |= {key: len(self._rows) + at for at, key in enumerate(new)}
        return self._cache.part(np.asarray([self._rows[key] for key in keys]))


def _read(llama: LeanLlama, prompt: tuple[int, ...]) -> RaggedCache:
    """A cache of one row that holds a prompt; alone, so that no other prompt changes its last bits."""
    cache = llama.empty_cache(1)
    llama.read(torch.tensor([prompt], device=llama.device), cache)
    cache.lengths = cache.lengths + len(prompt)
    return cache


def _right_padded(rows: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Token ids, (rows, longest), filled up with 0: what follows a row cannot change what comes before."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], dtype=torch.long, device=device)
