"""Greedy decoding of one left-padded batch that drops finished rows: the loop the reference engine spends its time in.

Token for token what `model.generate(do_sample=False)` gives on the same batch (up to rounding where two logits tie: a
smaller batch, or a pass over several tokens, may take another kernel). In float32 `paced` does it for every model that
it can serve, unless logits have rules or defenses are installed. Where the cache is not one that rows can be dropped
from, `generate` itself runs, under the same rules for ending a row.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn, cast

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.generation.configuration_utils import GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessor,
    LogitsProcessorList,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
)
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList

from safebasin.engines import paced
from safebasin.engines.cache import attempt, attends_only, growing_cache, holds_state, keep_rows
from safebasin.engines.choosing import chosen
from safebasin.engines.stopping import Rows
from safebasin.errors import ModelError, expected
from safebasin.models.files import memory_errors
from safebasin.protocols import LiveBatch

__all__ = ["decode", "greedy_config", "left_padded", "read_prompt", "running"]

_log = logging.getLogger(__name__)

_DROP_SHARE = 0.1
"""Rows that have ended are dropped when they are this share of those decoded together: that copies all others."""


def greedy_config(
    model: PreTrainedModel, *, eos: Sequence[int], pad: int, n_tokens: int | None = None
) -> GenerationConfig:
    """The model's own generation settings, as far as they matter to greedy decoding.

    Kept: repetition penalty, n-grams not to repeat, suppressed tokens, bad words. Temperatures and the like do nothing
    here; minimum lengths and forced tokens would answer for the model, and are left out. So are rules about tokens from
    `n_tokens` on, which the model cannot say.
    """
    own = model.generation_config or GenerationConfig()
    most = n_tokens or math.inf
    return GenerationConfig(
        do_sample=False,
        eos_token_id=list(eos) or None,
        pad_token_id=pad,
        repetition_penalty=own.repetition_penalty,
        no_repeat_ngram_size=own.no_repeat_ngram_size,
        suppress_tokens=[i for i in own.suppress_tokens or () if i < most] or None,
        bad_words_ids=[word for word in own.bad_words_ids or () if all(i < most for i in word)] or None,
    )


def left_padded(sequences: Sequence[Sequence[int]], *, pad: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Token ids and attention mask of one batch, both (rows, longest), int64, padded at the left."""
    width = max(len(s) for s in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask[row, width - len(sequence) :] = 1
    return ids.to(device), mask.to(device)


def decode(
    model: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    rows: Rows,
    *,
    guarded: LiveBatch | None = None,
    beside: Mapping[str, object] | None = None,
) -> None:
    """Decode until every row has ended; `rows` holds the result.

    Args:
        model: in eval mode, its `generation_config` made by `greedy_config`.
        ids: (rows, width), left-padded.
        mask: (rows, width), 1 where a token is real.
        rows: one entry per row, still empty, with the most tokens that it may say.
        guarded: told which rows are alive where defenses are installed in the module; they see every pass then.
        beside: what the first pass is given beside ids and mask, as the model takes it by name: the images of prompts.
            Positions among it go on from there. None for prompts of text.

    Raises:
        ModelError: where transformers cannot run the model either.
        MemoryError: where the batch does not fit.
    """
    with memory_errors(), torch.inference_mode():
        if (
            guarded is None
            and beside is None
            and not _processors(cast("GenerationConfig", model.generation_config), ids.device)
        ):
            prompts = [row[real].tolist() for row, real in zip(ids, mask.bool(), strict=True)]
            if paced.decode(model, prompts, rows):
                return
        given = dict(beside or {})
        begun = _begin(model, ids, mask, [rows.room(row) for row in range(len(ids))], guarded, given)
        if begun is None:
            with running(model):
                _generate(model, ids, mask, rows, given)
        else:
            loop, first = begun
            loop.run(rows, first)


@contextmanager
def running(model: PreTrainedModel) -> Generator[None]:
    """Around a pass of transformers' own: a model that it cannot run either is a folder that does not hold together.

    Raises:
        ModelError: with what transformers says.
    """

    def told(why: str) -> NoReturn:
        remedy = f"({why}) Check its config.json; `generate` of transformers ends in the same way."
        raise ModelError(expected("model", "one that transformers can run", type(model).__name__, remedy))

    with attempt(told):
        yield


def _begin(
    model: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    limits: Sequence[int],
    guarded: LiveBatch | None,
    beside: Mapping[str, object],
) -> tuple[_Loop, torch.Tensor] | None:
    """The loop after its first pass, and the scores of the first token; None where only `generate` can serve a model.

    Some architectures tell only then: they keep their state to themselves, or cannot take the cache at all.
    """
    cache = growing_cache(model)
    if cache is None:
        return None
    with attempt(lambda why: _log.warning("%s is decoded by `generate`: %s", type(model).__name__, why)):
        loop = _Loop(model, ids, mask, cache, limits, guarded, beside)
        first = loop.first_scores()
        return None if first is None else (loop, first)
    return None


def read_prompt(model: PreTrainedModel, prompt: Sequence[int]) -> DynamicCache | None:
    """Read all of a prompt but its last token; None where that is nothing, or the model keeps no state that is ours."""
    cache = growing_cache(model)
    if cache is None or len(prompt) < 2 or not attends_only(cache):
        return None
    ids = torch.tensor([list(prompt[:-1])], dtype=torch.long, device=model.device)
    kept = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    with attempt():
        model(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=cache, use_cache=True, **kept)
        return cache if holds_state(cache, len(prompt) - 1) else None
    return None


class _Loop:
    """The state of one batch: token ids, mask and positions as wide as they can get, and who is still in it."""

    def __init__(
        self,
        model: PreTrainedModel,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: DynamicCache,
        limits: Sequence[int],
        guarded: LiveBatch | None,
        beside: Mapping[str, object],
    ) -> None:
        self.model = model
        self.guarded = guarded
        self.cache: DynamicCache = cache
        self.length = ids.shape[1]
        # all (rows, width + n_new), as wide as they can get: a step writes one column and reads a longer slice
        n_new = max(limits)
        self.ids = torch.nn.functional.pad(ids, (0, n_new))
        # a row that has all its tokens, and is not dropped yet, says no more: the model may have no position for it
        said = torch.arange(n_new, device=mask.device) < torch.tensor(limits, device=mask.device)[:, None] - 1
        self.mask = torch.cat([mask, said.to(mask.dtype)], dim=1)
        self.positions = _positions(self.mask, beside.get("position_ids"))  # (rows, …), or several kinds of them
        self.beside = {name: value for name, value in beside.items() if name != "position_ids"}
        self.alive = list(range(ids.shape[0]))
        self.processors = _processors(cast("GenerationConfig", model.generation_config), ids.device)
        accepted = inspect.signature(model.forward).parameters
        self.extra: dict[str, object] = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self.takes_positions = "position_ids" in accepted

    def first_scores(self) -> torch.Tensor | None:
        """Scores of the first token, (rows, vocabulary); None where the model does not keep its state in the cache."""
        scores = self._scores(is_first=True)
        return scores if holds_state(self.cache, self.length) else None

    def run(self, rows: Rows, first: torch.Tensor) -> None:
        """Decode to the end from the scores of the first token, one token a pass; the batch narrows as rows end."""
        self._advance(rows, first)
        while self._drop_ended(rows):
            self._advance(rows, self._scores(is_first=False))

    def _advance(self, rows: Rows, scores: torch.Tensor) -> None:
        """Choose the next token of every row."""
        found = chosen(scores)
        rows.advance(self.alive, found.tokens, found.best, found.gaps)
        if self.length < self.ids.shape[1]:  # the last token has no column: nothing is read after it
            self.ids[:, self.length] = torch.tensor([t[0] for t in found.tokens], device=self.ids.device)
        self.length += 1

    def _drop_ended(self, rows: Rows) -> bool:
        """Drop rows that have ended, where they are many enough; whether any is left."""
        kept = [at for at, row in enumerate(self.alive) if rows.is_live(row)]  # places in the batch as it is now
        # narrowing copies the cache of all who stay: it pays where enough of them leave
        if kept and len(kept) <= len(self.alive) * (1 - _DROP_SHARE):
            index = torch.tensor(kept, device=self.ids.device)
            keep_rows(self.cache, index)
            self.ids, self.mask, self.positions = (
                t.index_select(t.dim() - 2, index) for t in (self.ids, self.mask, self.positions)
            )
            self.alive = [self.alive[at] for at in kept]
            if self.guarded is not None:
                self.guarded.alive = self.alive
        return bool(kept)

    def _scores(self, *, is_first: bool) -> torch.Tensor:
        """One forward pass; float32 logits of the next token, (rows, vocabulary)."""
        ids = cast("torch.LongTensor", self.ids[:, : self.length])
        logits = self._forward(ids, is_first=is_first)
        return self.processors(ids, cast("torch.FloatTensor", logits)) if self.processors else logits

    def _forward(self, ids: torch.LongTensor, *, is_first: bool) -> torch.Tensor:
        """The model's own forward pass, prepared as `generate` prepares it."""
        positions = {"position_ids": self.positions[..., : self.length]} if self.takes_positions else {}
        inputs = self.model.prepare_inputs_for_generation(  # pyright: ignore[reportCallIssue]
            ids,
            next_sequence_length=None if is_first else 1,
            past_key_values=self.cache,
            attention_mask=self.mask[:, : self.length],
            use_cache=True,
            is_first_iteration=is_first,
            **positions,
            **self.extra,
            **(self.beside if is_first else {}),
        )
        outputs = self.model(**inputs, return_dict=True)
        # a model may start a new one (long rotary embeddings), or keep its state elsewhere
        self.cache = cast("DynamicCache", getattr(outputs, "past_key_values", None))
        return outputs.logits[:, -1].to(dtype=torch.float32, copy=True)


def _positions(mask: torch.Tensor, given: object) -> torch.Tensor:
    """Positions of all tokens that rows can get, (…, rows, width): counted from the mask, or on from those given."""
    if not isinstance(given, torch.Tensor):
        return (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    n = mask.shape[1] - given.shape[-1]
    return torch.cat([given, given[..., -1:] + torch.arange(1, n + 1, device=given.device)], dim=-1)


def _processors(config: GenerationConfig, device: torch.device) -> LogitsProcessorList:
    """What `generate` itself would apply for these settings, in its order."""
    found = LogitsProcessorList()
    if config.repetition_penalty not in (None, 1.0):
        found.append(RepetitionPenaltyLogitsProcessor(penalty=float(cast("float", config.repetition_penalty))))
    if config.no_repeat_ngram_size:
        found.append(NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    if config.bad_words_ids:
        found.append(NoBadWordsLogitsProcessor(config.bad_words_ids, config.eos_token_id))
    if config.suppress_tokens:
        found.append(SuppressTokensLogitsProcessor(config.suppress_tokens, device=str(device)))
    return found


# --- where rows cannot be dropped -------------------------------------------------------------------------------------


class _Observer(LogitsProcessor):
    """Sees the final logits of each step of `generate`, and hands the step to `Rows` before the token is chosen."""

    def __init__(self, rows: Rows, numbers: Sequence[int]) -> None:
        self.rows, self.numbers = rows, numbers

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        found = chosen(scores)
        self.rows.advance(self.numbers, found.tokens, found.best, found.gaps)
        return scores


class _Ended(StoppingCriteria):
    """Tells `generate` which rows `Rows` holds to be over."""

    def __init__(self, rows: Rows, numbers: Sequence[int]) -> None:
        self.rows, self.numbers = rows, numbers

    def __call__(self, input_ids: torch.LongTensor, scores: object, **kwargs: object) -> torch.BoolTensor:
        over = [not self.rows.is_live(row) for row in self.numbers]
        return cast("torch.BoolTensor", torch.tensor(over, device=input_ids.device))


def _generate(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, rows: Rows, beside: Mapping[str, object]
) -> None:
    limits = torch.tensor([rows.room(row) for row in range(len(ids))])
    # Rows that may say unlike numbers of tokens go apart, and without the padding of others: here a row that has ended
    # goes on until all have, and the model may have no positions for it
    for limit in [int(limits.max())] if beside else limits.unique().tolist():
        numbers = torch.nonzero(limits <= limit if beside else limits == limit)[:, 0]
        start = int(mask[numbers].argmax(dim=1).min())
        model.generate(  # pyright: ignore[reportCallIssue]
            ids[numbers, start:],
            attention_mask=mask[numbers, start:],
            max_new_tokens=limit,
            logits_processor=LogitsProcessorList([_Observer(rows, numbers.tolist())]),
            stopping_criteria=StoppingCriteriaList([_Ended(rows, numbers.tolist())]),
            **beside,
        )
