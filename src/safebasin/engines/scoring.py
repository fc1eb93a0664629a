"""How surprising a text is to a model: negative log-likelihood per token, and which characters each token covers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from safebasin.engines.decoding import left_padded, running
from safebasin.engines.llama_float32 import LlamaScorer
from safebasin.models.files import memory_errors
from safebasin.protocols import TokenScores

__all__ = ["Tokens", "score_batches", "text_logits", "tokenize"]

_LOGIT_BYTES = 256 * 2**20
"""Logits that one batch may take in float32, all positions together."""
_BATCH_ROWS = 64


class Tokens(NamedTuple):
    """A text as tokens; `ends` counts the characters up to and including each, never falling."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]


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
    scorer: LlamaScorer | None = None,
) -> list[TokenScores]:
    """−ln p(token | prompt, tokens before), in nats, log-softmax in float32; results in the order given.

    Args:
        model: in eval mode.
        prompts: token ids, none empty; with its text, each fits the context.
        texts: what follows each prompt; may be empty.
        pad: token to pad with.
        scorer: does it for the model instead, where that can.

    Raises:
        MemoryError: where even a batch of one does not fit.
    """
    scores: list[TokenScores] = [TokenScores(nll=(), ends=()) for _ in texts]
    order = sorted((i for i, t in enumerate(texts) if t.ids), key=lambda i: len(prompts[i]) + len(texts[i].ids))
    with memory_errors(), torch.inference_mode():
        for batch in _batches(order, [len(t.ids) for t in texts], int(model.config.get_text_config().vocab_size)):
            given = [prompts[i] for i in batch], [texts[i].ids for i in batch]
            found = _nll(model, *given, pad) if scorer is None else scorer.nll(*given)
            for i, nll in zip(batch, found, strict=True):
                scores[i] = TokenScores(nll=nll, ends=texts[i].ends)
    return scores


def _batches(order: Sequence[int], lengths: Sequence[int], vocabulary: int) -> list[list[int]]:
    """Consecutive runs of `order`, each within the limits of rows and of logits."""
    batches: list[list[int]] = []
    longest = 0
    for i in order:
        longest = max(longest, lengths[i] + 1)
        fits = batches and len(batches[-1]) < _BATCH_ROWS
        if fits and (len(batches[-1]) + 1) * longest * vocabulary * 4 <= _LOGIT_BYTES:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = lengths[i] + 1
    return batches


def _nll(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], pad: int
) -> list[tuple[float, ...]]:
    ids, mask = left_padded([[*p, *t] for p, t in zip(prompts, texts, strict=True)], pad=pad, device=model.device)
    accepted = inspect.signature(model.forward).parameters
    keep = max(len(t) for t in texts) + 1
    given: dict[str, object] = {"use_cache": False}
    if "logits_to_keep" in accepted:
        given["logits_to_keep"] = keep
    if "position_ids" in accepted:
        given["position_ids"] = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    with running(model):
        logits = model(input_ids=ids, attention_mask=mask, **given, return_dict=True).logits[:, -keep:-1]
    targets = ids[:, -(keep - 1) :]
    found: list[tuple[float, ...]] = []
    for row, text in enumerate(texts):  # row by row: a float32 copy of all logits would triple the peak
        kept = logits[row, -len(text) :].to(torch.float32)
        nll = torch.nn.functional.cross_entropy(kept, targets[row, -len(text) :], reduction="none")
        found.append(tuple(cast("list[float]", nll.tolist())))
    return found


def text_logits(model: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """Logits after each of `ids`, which stand alone: one row, no padding; (len(ids), vocabulary), float32."""
    row = torch.tensor([list(ids)], dtype=torch.long, device=model.device)
    with running(model):
        found = model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False, return_dict=True)
    return found.logits[0].to(torch.float32)
