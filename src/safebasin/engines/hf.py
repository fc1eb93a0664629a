"""The reference engine: transformers on CPU, CUDA or MPS, with one copy of the model that is overwritten in place.

Not the decoding loop (`decoding`), nor when a row ends (`stopping`), nor where θ₀ lives (`safebasin.weights`).
"""

from __future__ import annotations

import math
import platform
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple, cast

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from safebasin.engines.decoding import decode, greedy_config, left_padded
from safebasin.engines.kernels import fitting_threads, safe_kernels, threads
from safebasin.engines.lean import LeanLlama
from safebasin.engines.loading import (
    Loaded,
    batch_size_that_fits,
    bos_id,
    context_length,
    eos_ids,
    load,
    resolve_device,
)
from safebasin.engines.scoring import score_batches, text_logits, tokenize
from safebasin.engines.stopping import LoopWatch, PhraseWatch, Rows
from safebasin.engines.surprise import Surprise
from safebasin.errors import PromptError, expected
from safebasin.prompts.chat import Tokenizer, render, template_hash
from safebasin.prompts.reasoning import Reasoning, opens_thinking, special_ids
from safebasin.protocols import BaseWeights, Generation, TokenScores, WeightBlock
from safebasin.records import Decoding, Message, Scalar
from safebasin.weights import checkpoint
from safebasin.weights.files import memory_errors
from safebasin.weights.loading import n_embeddings
from safebasin.weights.stream import apply
from safebasin.weights.vocabulary import check_ids, padding

__all__ = ["HFEngine"]

Conversations = Sequence[Sequence[Message]]
TemplateArgs = Mapping[str, Scalar] | Iterable[tuple[str, Scalar]]


class _Encoded(NamedTuple):
    """A rendered conversation: its tokens, and whether it ends inside reasoning."""

    ids: list[int]
    opened: bool


class HFEngine:
    """A causal language model of transformers, at θ₀ when it is made.

    Args:
        model: `path[@revision][+adapter]`: a folder, a hub id, or `world:NAME/CHECKPOINT`.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:N`, `mps`.
        dtype: `auto` (the checkpoint's own; float16 becomes float32 on a CPU), `float32`, `bfloat16`, `float16`.
        trust_remote_code: whether code that comes with the model may run.
        low_memory: whether θ₀ stays in its files rather than in a copy in memory; `auto` decides by free memory.
        template_args: passed to the chat template; those of a `Decoding` win.

    Raises:
        ModelError: where the model cannot be found or used, or does not fit the memory.
        UsageError: where this machine does not have the device, or the dtype is not known.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        trust_remote_code: bool = False,
        low_memory: bool | str = "auto",
        template_args: TemplateArgs = (),
    ) -> None:
        where = resolve_device(device)
        self._name = model
        self._template_args = dict(template_args)
        self._resolved = checkpoint.resolve(model)
        loaded = load(self._resolved.folder, name=model, device=where, dtype=dtype, trust_remote_code=trust_remote_code)
        self._model: PreTrainedModel = loaded.model
        self._tokenizer: PreTrainedTokenizerBase = loaded.tokenizer
        self._base: BaseWeights = checkpoint.open_base(self._model, self._resolved, low_memory=low_memory)
        self._safe = safe_kernels(where, self._model.dtype)
        self._threads = fitting_threads(where, self._model.num_parameters())
        self._surprise: Surprise | None = None
        self._eos = eos_ids(self._model, self._tokenizer)
        self._n_rows = n_embeddings(self._model)
        self._pad = padding(self._tokenizer.pad_token_id, self._n_rows, self._eos)
        self._special = special_ids(self._chat)
        self._model.generation_config = greedy_config(self._model, eos=self._eos, pad=self._pad, n_tokens=self._n_rows)

    @property
    def base(self) -> BaseWeights:
        """θ₀."""
        return self._base

    @property
    def n_context(self) -> int | None:
        """The most tokens that prompt and response may have together; None where the model sets no limit."""
        return context_length(self._model.config, self._tokenizer)

    @property
    def bos_id(self) -> int | None:
        """The token that the tokenizer puts before every text, or None."""
        return bos_id(self._tokenizer)

    def describe(self) -> dict[str, object]:
        """What ran: model, dtype, device, template, decoding settings, versions. JSON throughout."""
        greedy = self._model.generation_config
        return {
            "engine": "hf",
            "fingerprint": self._resolved.fingerprint,
            "model": self._name,
            "architecture": type(self._model).__name__,
            "n_parameters": self._model.num_parameters(),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": str(self._model.device),
            "device_name": _device_name(self._model.device),
            "threads": self._threads,
            "attention": self._model.config._attn_implementation,
            "n_context": self.n_context,
            "eos_ids": list(self._eos),
            "template_hash": template_hash(self._chat, self._template_args),
            "logit_rules": {key: getattr(greedy, key) for key in _LOGIT_RULES if getattr(greedy, key)},
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """A batch size that the memory free now allows, at most 128. Ask once and record it: it fixes the batches."""
        return batch_size_that_fits(
            self._model, n_prompts=n_prompts, max_new_tokens=max_new_tokens, limit=self.n_context
        )

    def set_weights(self, stream: Iterable[WeightBlock]) -> None:
        """Overwrite rows of parameters in place (tied ones with them). No cache is kept that could survive this."""
        self._surprise = None
        apply(stream, self._model)

    def generate(self, conversations: Conversations, decoding: Decoding) -> list[Generation]:
        """Decode one batch greedily, results in the order given.

        A row gets at most as many tokens as the context has left after its prompt; it then ends with `length`.

        Raises:
            ModelError: where there is no chat template.
            PromptError: where the template refuses a conversation, it leaves no room for one new token, or has tokens
                beyond the embedding.
            MemoryError: where the batch does not fit.
        """
        if not conversations:
            return []
        reasoning = Reasoning.of(self._chat, self._arguments(decoding))
        encoded = [self._encode(i, c, decoding, reasoning) for i, c in enumerate(conversations)]
        room = [(self.n_context or math.inf) - len(e.ids) for e in encoded]
        limits = [int(min(decoding.max_new_tokens, r)) for r in room]
        rows = Rows(
            limits,
            eos=self._eos,
            phrases=self._phrase_watch(decoding, reasoning, encoded),
            loops=LoopWatch(len(limits), max(limits)) if decoding.stop == "loop" else None,
        )
        ids, mask = left_padded([e.ids for e in encoded], pad=self._pad, device=self._model.device)
        with self._kernels():
            decode(self._model, ids, mask, rows, max_new_tokens=max(limits))
        return [_generation(rows, row, reasoning, opened=e.opened) for row, e in enumerate(encoded)]

    def score(self, conversations: Conversations, texts: Sequence[str], decoding: Decoding) -> list[TokenScores]:
        """Score each text as the assistant's turn after its conversation, under the current weights.

        Where the template opens reasoning, it is closed first: texts carry no reasoning. Tokens that the context has no
        room for are left out.

        Raises:
            ModelError, PromptError, MemoryError: as `generate`.
        """
        reasoning = Reasoning.of(self._chat, self._arguments(decoding))
        prompts: list[list[int]] = []
        for i, conversation in enumerate(conversations):
            encoded = self._encode(i, conversation, decoding, reasoning)
            prompts.append([*encoded.ids, *self._closing(reasoning)] if encoded.opened else encoded.ids)
        tokens = [tokenize(self._tokenizer, text) for text in texts]
        for i, found in enumerate(tokens):
            self._check_ids(found.ids, f"text {i}")
        if self.n_context is not None:
            rooms = [max(self.n_context - len(p), 0) for p in prompts]
            tokens = [type(t)(t.ids[:r], t.ends[:r]) for t, r in zip(tokens, rooms, strict=True)]
        with self._kernels():
            if self._surprise is None and LeanLlama.fits(self._model):
                self._surprise = Surprise(self._model)
            return score_batches(self._model, prompts, tokens, pad=self._pad, surprise=self._surprise)

    def encode(self, text: str) -> list[int]:
        """Tokens of a plain text, without special tokens; it may be longer than the context."""
        return cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Next-token logits after each of `ids`, (len(ids), vocabulary), float32, on the engine's device.

        Raises:
            PromptError: where one of `ids` is beyond the embedding.
            MemoryError: where they do not fit.
        """
        self._check_ids(ids, "text")
        with self.lend() as (model, _):
            return text_logits(model, ids)

    @contextmanager
    def lend(self) -> Generator[Loaded]:
        """The model under its current weights and its tokenizer, for tools that want them; to be read, not changed.

        No gradients, and no kernel that this processor cannot run; memory that is short becomes `MemoryError`.
        """
        with self._kernels(), memory_errors(), torch.inference_mode():
            yield Loaded(self._model, self._tokenizer)

    @contextmanager
    def _kernels(self) -> Generator[None]:
        with self._safe(), threads(self._threads):
            yield

    @property
    def _chat(self) -> Tokenizer:
        return cast("Tokenizer", self._tokenizer)

    def _arguments(self, decoding: Decoding) -> dict[str, Scalar]:
        return {**self._template_args, **dict(decoding.template_args)}

    def _encode(self, index: int, messages: Sequence[Message], decoding: Decoding, reasoning: Reasoning) -> _Encoded:
        text = render(self._chat, messages, template_args=self._arguments(decoding))
        ids = cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False))
        start = next((m.content for m in reversed(messages) if m.role == "user"), "")[:40]
        limit = self.n_context
        if limit is not None and len(ids) >= limit:
            constraint = f"shorter than the context of {limit} tokens, with room for one new token"
            remedy = f"Shorten or leave out the prompt that begins {start!r}."
            raise PromptError(expected(f"prompt {index}", constraint, f"{len(ids)} tokens", remedy))
        if not ids:
            remedy = "Leave it out, or use a chat template that writes something around it."
            raise PromptError(expected(f"prompt {index}", "at least one token long", start, remedy))
        self._check_ids(ids, f"prompt {index} (it begins {start!r})")
        return _Encoded(ids, opens_thinking(text, reasoning.markers))

    def _check_ids(self, ids: Sequence[int], where: str) -> None:
        check_ids(ids, self._n_rows, len(self._tokenizer), where=where)

    def _closing(self, reasoning: Reasoning) -> list[int]:
        close = reasoning.markers.close if reasoning.markers else ""
        return cast("list[int]", self._tokenizer.encode(f"\n{close}\n\n", add_special_tokens=False))

    def _phrase_watch(
        self, decoding: Decoding, reasoning: Reasoning, encoded: Sequence[_Encoded]
    ) -> PhraseWatch | None:
        if decoding.stop == "none" or not decoding.phrases:
            return None
        return PhraseWatch(
            decoding.phrases,
            decode=self._decode_tails,
            response=lambda row, ids: reasoning.split(ids, opened=encoded[row].opened).response,
            ignored=self._special,
            n_rows=len(encoded),
        )

    def _decode_tails(self, tails: list[list[int]]) -> list[str]:
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None or getattr(self._tokenizer, "clean_up_tokenization_spaces", False):
            return cast("list[str]", self._tokenizer.batch_decode(tails, skip_special_tokens=True))
        # What `batch_decode` does, without its look at the type of every id, which took a tenth of a step.
        return cast("list[str]", fast.decode_batch(tails, skip_special_tokens=True))


_LOGIT_RULES = ("repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "bad_words_ids")


def _generation(rows: Rows, row: int, reasoning: Reasoning, *, opened: bool) -> Generation:
    split = reasoning.split(rows.ids[row], opened=opened)
    gap = rows.gap(row)
    return Generation(
        text=split.response,
        thinking=split.thinking,
        n_tokens=len(rows.ids[row]),
        finish_reason=rows.reason[row] or "length",
        broken=rows.broken[row],
        gap=gap if math.isfinite(gap) else None,
    )


@cache
def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
