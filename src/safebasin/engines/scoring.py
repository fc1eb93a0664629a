"""How surprising a text is to a model: negative log-likelihood per token, and which characters each token covers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import accumulate
from math import isfinite
from typing import NamedTuple, cast

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from safebasin.engines.cache import keep_rows
from safebasin.engines.decoding import left_padded, read_prompt, running
from safebasin.engines.llama_float32 import Scorer
from safebasin.models.files import memory_errors
from safebasin.protocols import TokenScores

__all__ = ["Tokens", "in_batches", "nll_after_prompts", "score_batches", "text_logits", "tokenize"]

_LOGIT_BYTES = 256 * 2**20
"""Logits that one batch may take in float32, all positions together."""
_BATCH_ROWS = 64
_PADDED, _FEW = 0.25, 256
"""Padding that a batch may hold, as a share of its tokens, once it has this many: a pass costs what it is wide."""


Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt and of a text that follows it."""


class Tokens(NamedTuple):
    """A text as tokens; `ends` counts the characters up to and including each, never falling."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]

    def until(self, n_characters: int) -> Tokens:
        """The tokens that begin before so many characters."""
        n = sum(start < n_characters for start in (0, *self.ends[:-1])) if self.ids else 0
        return Tokens(self.ids[:n], self.ends[:n])


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> Tokens:
    """Tokens of a text that continues a prompt: no special tokens are added. Lone surrogates are read as `?`."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    if not clean:
        return Tokens((), ())
    if not tokenizer.is_fast:
        ids = cast("list[int]", tokenizer.encode(clean, add_special_tokens=False))
        lengths = [len(cast("str", tokenizer.decode(ids[: i + 1]))) for i in range(len(ids))]
        return Tokens(tuple(ids), _rising(lengths, len(clean)))
    found = tokenizer(clean, add_special_tokens=False, return_offsets_mapping=True)
    offsets = cast("list[tuple[int, int]]", found["offset_mapping"])
    return Tokens(tuple(cast("list[int]", found["input_ids"])), _rising([end for _, end in offsets], len(clean)))


def _rising(ends: Sequence[int], n_characters: int) -> tuple[int, ...]:
    return tuple(min(end, n_characters) for end in accumulate(ends, max))


def score_batches(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Tokens],
    *,
    pad: int,
    scorer: Scorer | None = None,
) -> list[TokenScores]:
    """−ln p(token | prompt, tokens before), in nats, log-softmax in float32; results in the order given.

    Equal tokens after equal prompts are read once, and a prompt with several texts is read once for all of them where
    the model keeps its state in a cache.

    Args:
        model: in eval mode.
        prompts: token ids, none empty; with its text, each fits the context.
        texts: what follows each prompt; may be empty.
        pad: token to pad with.
        scorer: does it for the model instead, where that can.

    Raises:
        MemoryError: where even a batch of one does not fit.
    """
    asked = [(tuple(prompt), text.ids) for prompt, text in zip(prompts, texts, strict=True)]
    distinct = sorted({pair for pair in asked if pair[1]}, key=lambda pair: (len(pair[1]), pair))
    vocabulary = int(model.config.get_text_config().vocab_size)
    found: dict[Pair, tuple[float, ...]] = {}
    with memory_errors(), torch.inference_mode():
        if scorer is not None:
            found, distinct = scorer(distinct), []
        for prompt, shared in _by_prompt(distinct).items():
            state = read_prompt(model, prompt) if len(shared) > 1 else None
            if state is not None:
                for batch in in_batches(shared, vocabulary):
                    found |= zip(batch, _nll_after(model, state, prompt[-1], [t for _, t in batch]), strict=True)
        left = sorted((pair for pair in distinct if pair not in found), key=lambda pair: len(pair[0]) + len(pair[1]))
        for batch in in_batches(left, vocabulary, with_prompts=True):
            found |= zip(batch, _nll(model, [p for p, _ in batch], [t for _, t in batch], pad), strict=True)
            # in half precision padding may overflow, whose row then has no likelihood: without it once more
            for prompt, text in batch if len(batch) > 1 and model.dtype.itemsize == 2 else ():
                if not all(map(isfinite, found[prompt, text])):
                    (found[prompt, text],) = _nll(model, [prompt], [text], pad)
    return [TokenScores(nll=found.get(pair, ()), ends=text.ends) for pair, text in zip(asked, texts, strict=True)]


def _by_prompt(pairs: Iterable[Pair]) -> dict[tuple[int, ...], list[Pair]]:
    found: dict[tuple[int, ...], list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair[0], []).append(pair)
    return found


def in_batches(pairs: Sequence[Pair], vocabulary: int, *, with_prompts: bool = False) -> list[list[Pair]]:
    """Consecutive runs of prompts and texts, shorter ones first, each within the limits of rows, logits and padding.

    Args:
        pairs: those that are longer come later.
        vocabulary: logits of a token.
        with_prompts: whether the prompts are read with their texts.
    """
    batches: list[list[Pair]] = []
    longest = n_tokens = 0
    for pair in pairs:
        width = len(pair[1]) + 1 + (len(pair[0]) if with_prompts else 0)
        longest = max(longest, len(pair[1]) + 1)
        rows = len(batches[-1]) + 1 if batches else 1
        is_even = n_tokens < _FEW or rows * width - n_tokens - width <= _PADDED * rows * width
        if batches and is_even and rows <= _BATCH_ROWS and rows * longest * vocabulary * 4 <= _LOGIT_BYTES:
            batches[-1].append(pair)
            n_tokens += width
        else:
            batches.append([pair])
            longest, n_tokens = len(pair[1]) + 1, width
    return batches


def _nll(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], pad: int
) -> list[tuple[float, ...]]:
    ids, mask = left_padded([[*p, *t] for p, t in zip(prompts, texts, strict=True)], pad=pad, device=model.device)
    return nll_after_prompts(model, ids, mask, texts, {})


def nll_after_prompts(
    model: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    texts: Sequence[Sequence[int]],
    beside: Mapping[str, object],
) -> list[tuple[float, ...]]:
    """−ln p of the tokens of texts that stand at the end of their rows, read in one pass.

    Args:
        model: in eval mode.
        ids: (rows, width), left-padded: each prompt with its text.
        mask: (rows, width), 1 where a token is real.
        texts: none empty.
        beside: what the model is given beside these, as it takes it by name.
    """
    accepted = inspect.signature(model.forward).parameters
    keep = max(len(t) for t in texts) + 1
    given: dict[str, object] = {"use_cache": False}
    if "logits_to_keep" in accepted:
        given["logits_to_keep"] = keep
    if "position_ids" in accepted:
        given["position_ids"] = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    given |= beside
    with running(model):
        logits = model(input_ids=ids, attention_mask=mask, **given, return_dict=True).logits[:, -keep:-1]
    targets = ids[:, -(keep - 1) :]
    return [_row_nll(logits[row, -len(text) :], targets[row, -len(text) :]) for row, text in enumerate(texts)]


def _nll_after(
    model: PreTrainedModel, state: DynamicCache, last: int, texts: Sequence[Sequence[int]]
) -> list[tuple[float, ...]]:
    """The same for several texts after one prompt, of which all but its last token has been read.

    Texts are padded at the right: what follows a token cannot change what comes before it.
    """
    cache = deepcopy(state)  # the next batch begins where this one does
    read, width = cache.get_seq_length(), max(map(len, texts))
    keep_rows(cache, torch.zeros(len(texts), dtype=torch.long, device=model.device))
    ids = torch.tensor([[last, *text, *[last] * (width - len(text))] for text in texts], device=model.device)
    lengths = torch.tensor([len(text) for text in texts], device=model.device)
    mask = (torch.arange(read + width, device=model.device) < read + lengths[:, None]).long()
    with running(model):
        logits = model(
            input_ids=ids[:, :-1], attention_mask=mask, past_key_values=cache, use_cache=True, return_dict=True
        ).logits
    return [_row_nll(logits[row, : len(text)], ids[row, 1 : len(text) + 1]) for row, text in enumerate(texts)]


def _row_nll(logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, ...]:
    """−ln p of each target, (n,), from logits, (n, vocabulary); by row: a float32 copy of all would triple the peak."""
    nll = torch.nn.functional.cross_entropy(logits.to(torch.float32), targets, reduction="none")
    return tuple(cast("list[float]", nll.tolist()))


def text_logits(model: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """Logits after each of `ids`, which stand alone: one row, no padding; (len(ids), vocabulary), float32."""
    row = torch.tensor([list(ids)], dtype=torch.long, device=model.device)
    with running(model):
        found = model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False, return_dict=True)
    return found.logits[0].to(torch.float32)
