"""The reference engine: transformers on CPU, CUDA or MPS, with one copy of the model that is overwritten in place.

Not the decoding loop (`decoding`), nor when a row ends (`stopping`), nor where θ₀ lives (`safebasin.weights`).
"""

from __future__ import annotations

import platform
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import cast

import tokenizers
import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from safebasin.engines import llama_float32
from safebasin.engines.answering import Answering, Batch
from safebasin.engines.decoding import decode, greedy_config, left_padded
from safebasin.engines.guards import Guards
from safebasin.engines.images import Look, Sight, beside, score_shown
from safebasin.engines.kernels import fitting_threads, safe_kernels, threads
from safebasin.engines.loading import Loaded, batch_size_that_fits, load
from safebasin.engines.prepacking import Prepacking
from safebasin.engines.scoring import score_batches
from safebasin.errors import ModelError, PromptError, expected
from safebasin.models.files import memory_errors
from safebasin.models.loading import n_embeddings
from safebasin.models.placement import resolve_device
from safebasin.models.reference import resolve
from safebasin.models.spreading import check_gpus, devices_of
from safebasin.models.tokens import context_length, end_ids, padding
from safebasin.models.whole import quantization
from safebasin.prompts.chat import Tokenizer, template_hash
from safebasin.prompts.turns import turn_ends
from safebasin.protocols import BaseWeights, EngineFacts, Generation, TokenScores
from safebasin.records import Decoding, Message, Point, Scalar
from safebasin.weights.base import open_base
from safebasin.weights.stream import Mover

__all__ = ["HFEngine"]

TemplateArgs = Mapping[str, Scalar] | Iterable[tuple[str, Scalar]]


class HFEngine:
    """A causal language model of transformers, at θ₀ when it is made.

    Args:
        model: `path[@revision][#part][+adapter]`: a folder, a hub id, or `world:NAME/CHECKPOINT`.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:N`, `mps`.
        gpus_per_worker: GPUs over which its layers are spread, where more than 1; the first of those that this process
            sees.
        dtype: `auto` (as `models.computed.computed_dtype` settles it: the checkpoint's own, but float32 for one in half
            precision on a CPU that has the memory), `float32`, `bfloat16`, `float16`.
        trust_remote_code: whether code that comes with the model may run.
        low_memory: whether θ₀ stays in its files rather than in a copy in memory; `auto` decides by free memory.
        template_args: passed to the chat template; those of a `Decoding` win.
        date: the day that the template's clock shows, ISO 8601; None is today, and stays it.

    Raises:
        ModelError: where the model cannot be found or used, or does not fit the memory.
        UsageError: where this machine does not have the device, or not as many GPUs, or the dtype is not known.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        gpus_per_worker: int = 1,
        dtype: str = "auto",
        trust_remote_code: bool = False,
        low_memory: bool | str = "auto",
        template_args: TemplateArgs = (),
        date: str | None = None,
    ) -> None:
        if gpus_per_worker > 1:
            check_gpus(gpus_per_worker, device)
        where = torch.device("cuda", 0) if gpus_per_worker > 1 else resolve_device(device)
        self._name = model
        self._template_args = dict(template_args)
        self._resolved = resolve(model)
        loaded = load(
            self._resolved.folder, name=model, device=where, dtype=dtype, trust_remote_code=trust_remote_code,
            low_memory=low_memory, gpus=gpus_per_worker,
        )  # fmt: skip
        self._model: PreTrainedModel = loaded.model
        self._tokenizer: PreTrainedTokenizerBase = loaded.tokenizer
        self._base: BaseWeights = open_base(
            self._model, self._resolved.folder, low_memory=low_memory, adapter=self._resolved.adapter
        )
        self._mover = Mover(self._base)
        # what is packed is asked as it is, never overwritten: a first answer may repack it
        self._moves = not quantization(self._model.config.to_dict())
        self._safe = safe_kernels(where, self._model.dtype)
        self._threads = fitting_threads(where, self._model.num_parameters())
        self._prepacking = Prepacking(self._model, wanted=low_memory is not True)
        self._guards = Guards(self._model, self._tokenizer)
        eos, n_rows = end_ids(self._model.generation_config, self._tokenizer), n_embeddings(self._model)
        self._pad = padding(self._tokenizer.pad_token_id, n_rows, eos)
        limit = context_length(self._model.config, self._tokenizer)
        self._seen: Sight | None = None
        self._answers = Answering(
            self._tokenizer, self._template_args, date=date, limit=limit, n_rows=n_rows, eos=eos,
            reader=self._sight if self._resolved.whole else None,
        )  # fmt: skip
        self._model.generation_config = greedy_config(self._model, eos=eos, pad=self._pad, n_tokens=n_rows)

    @property
    def base(self) -> BaseWeights:
        """θ₀."""
        return self._base

    @property
    def n_context(self) -> int | None:
        """The most tokens that prompt and response may have together; None where the model sets no limit."""
        return self._answers.limit

    @property
    def date(self) -> str | None:
        """The day that the chat template is told, ISO 8601; None where it does not ask."""
        return self._answers.date

    def set_date(self, date: str) -> None:
        """Ask as on another day from now on."""
        self._answers.set_date(date)

    def facts(self) -> EngineFacts:
        """Describe the engine: it honors all stop rules, batches decide last bits, and packed weights stay at θ₀."""
        excluded = dict(self._base.excluded())
        return EngineFacts(
            engine="hf",
            fingerprint=self._resolved.fingerprint,
            dtype=str(self._model.dtype).removeprefix("torch."),
            device=str(self._model.device),
            template_hash=template_hash(self._chat, self._template_args),
            n_context=self.n_context,
            perturbed=tuple(name for name in self._base.names if name not in excluded),
            excluded=excluded,
            moves=self._moves,
            date=self.date,
            reads_images=self._resolved.whole is not None,
            stops=frozenset({"none", "verdict", "loop"}),
            details=self._details(),
        )

    def _details(self) -> dict[str, object]:
        """What else ran: model, devices, threads, ends of a response, rules for logits, versions."""
        greedy, ends = self._model.generation_config, turn_ends(self._chat, self._template_args)
        devices = devices_of(self._model)
        return {
            "model": self._name,
            "architecture": type(self._model).__name__,
            "n_parameters": self._model.num_parameters(),
            "device_name": _device_name(self._model.device),
            **({"devices": [str(device) for device in devices]} if len(devices) > 1 else {}),
            "threads": self._threads,
            "prepacked": self._prepacking.library or False,
            "attention": self._model.config._attn_implementation,
            "eos_ids": sorted({*self._answers.eos, *ends.ids}),
            "end_texts": list(ends.texts),
            "logit_rules": {
                key: value
                for key, neutral in _LOGIT_RULES.items()
                if (value := getattr(greedy, key)) and value != neutral
            },
            "tokenizers": tokenizers.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """A batch size that the memory free now allows, at most 128. Ask once and record it: it fixes the batches."""
        return batch_size_that_fits(
            self._model, n_prompts=n_prompts, max_new_tokens=max_new_tokens, limit=self.n_context
        )

    def move_to(self, point: Point) -> None:
        """Overwrite rows of parameters in place (tied ones with them). No cache is kept that could survive this.

        Raises:
            ModelError: where a direction does not fit, or packed weights are to go anywhere but to θ₀.
        """
        if not self._moves and point.is_origin:
            return
        if not self._moves:
            remedy = "Map its dequantized weights instead."
            raise ModelError(
                expected("model", "one of plain weights where points are to be mapped", self._name, remedy)
            )
        self._prepacking.forget()
        self._guards.forget()
        self._mover.write(point, self._model)

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        """Decode one batch greedily, results in the order given.

        A row gets at most as many tokens as the context has left after its prompt; it then ends with `length`. Rows
        with images are a batch of their own, so that those of text are decoded as without them.

        Raises:
            UnknownName: where a defense of the decoding is not in the catalogue, or another version of it.
            ModelError: where there is no chat template.
            PromptError: where the template refuses a conversation, it leaves no room for one new token, or has tokens
                beyond the embedding.
            MemoryError: where the batch does not fit.
        """
        return self.continue_from(conversations, [()] * len(conversations), decoding)

    def continue_from(
        self, conversations: Sequence[Sequence[Message]], begun: Sequence[Sequence[int]], decoding: Decoding
    ) -> list[Generation]:
        """Decode as `generate`, each answer forced to begin with tokens; they are part of its text, not of its count.

        Raises:
            UnknownName, ModelError, PromptError, MemoryError: as `generate`.
        """
        found: dict[int, Generation] = {}
        for rows in _apart(conversations):
            batch = self._answers.begin([conversations[row] for row in rows], [begun[row] for row in rows], decoding)
            looks = [e.look for e in batch.encoded if e.look is not None]
            if looks:
                self._decode_shown(batch, looks, decoding)
            else:
                self._decode(batch, decoding)
            found |= zip(rows, batch.generations(), strict=True)
            for row in (rows[at] for at in batch.broken_by_padding() if self._model.dtype.itemsize == 2):
                (found[row],) = self.continue_from([conversations[row]], [begun[row]], decoding)
        return [found[row] for row in range(len(conversations))]

    def _decode(self, batch: Batch, decoding: Decoding) -> None:
        ids, mask = left_padded([e.ids for e in batch.encoded], pad=self._pad, device=self._model.device)
        with self._kernels(prepacked=True), self._guards.installed(decoding, ids, mask) as guarded:
            decode(self._model, ids, mask, batch.rows, guarded=guarded)

    def _decode_shown(self, batch: Batch, looks: Sequence[Look], decoding: Decoding) -> None:
        """Decode a batch with images by the whole model, which has the tower's tensors."""
        _check_undefended(decoding)
        sight = self._sight()
        ids, mask = left_padded([e.ids for e in batch.encoded], pad=sight.padding(self._pad), device=self._model.device)
        with self._kernels(), memory_errors():
            given = beside(sight.model, ids, mask, looks)
            decode(sight.model, ids, mask, batch.rows, beside=given)

    def inspect(self, name: str, conversation: Sequence[Message], decoding: Decoding) -> list[int]:
        """Render and count one conversation, as `generate` will; `name` says which it is. Returns its tokens, and
        behind those of one with an image what stands for the numbers that its processor makes of it.

        Raises:
            ModelError, PromptError: as `generate`.
        """
        found = self._answers.asking(decoding).encode(name, conversation)
        if found.look is None:
            return found.ids
        _check_undefended(decoding)
        return [*found.ids, *(seen.digest for seen in found.look.seen)]

    def score(
        self, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
    ) -> list[TokenScores]:
        """Score each text as the assistant's turn after its conversation, under the current weights.

        Where the template opens reasoning, it is closed first: texts carry no reasoning. Tokens that the context has no
        room for are left out.

        Raises:
            ModelError, PromptError, MemoryError: as `generate`.
        """
        return self.score_prefixes(conversations, texts, [len(text) for text in texts], decoding)

    def score_prefixes(
        self,
        conversations: Sequence[Sequence[Message]],
        texts: Sequence[str],
        untils: Sequence[int],
        decoding: Decoding,
    ) -> list[TokenScores]:
        """Score of each text the tokens that begin before so many of its characters; otherwise as `score`.

        Raises:
            ModelError, PromptError, MemoryError: as `generate`.
        """
        found: dict[int, TokenScores] = {}
        for rows in _apart(conversations):
            asked = [conversations[row] for row in rows]
            prompts, tokens = self._answers.texts(
                asked, [texts[row] for row in rows], [untils[row] for row in rows], decoding
            )
            asking = self._answers.asking(decoding)
            looks = [look for one in asked if (look := asking.encode("prompt", one).look) is not None]
            with self._kernels(prepacked=True):
                if looks:
                    sight = self._sight()
                    scores = score_shown(sight.model, prompts, tokens, looks, pad=sight.padding(self._pad))
                else:
                    scorer = llama_float32.scorer(self._model)
                    scores = score_batches(self._model, prompts, tokens, pad=self._pad, scorer=scorer)
            found |= zip(rows, scores, strict=True)
        return [found[row] for row in range(len(conversations))]

    @contextmanager
    def lend(self) -> Generator[Loaded]:
        """The model under its current weights and its tokenizer, for tools that want them; to be read, not changed.

        No gradients, and no kernel that this processor cannot run; memory that is short becomes `MemoryError`.
        """
        with self._kernels(), memory_errors(), torch.inference_mode():
            yield Loaded(self._model, self._tokenizer)

    def _sight(self) -> Sight:
        """What reads images, made at the first one."""
        if self._seen is None:
            self._seen = Sight(self._model, cast("Path", self._resolved.whole), self._name)
        return self._seen

    @contextmanager
    def _kernels(self, *, prepacked: bool = False) -> Generator[None]:
        with self._safe(), threads(self._threads), self._prepacking.used() if prepacked else nullcontext():
            yield

    @property
    def _chat(self) -> Tokenizer:
        return cast("Tokenizer", self._tokenizer)


def _apart(conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Places of conversations of text, and of those with images; of neither where there is none."""
    kinds: dict[bool, list[int]] = {False: [], True: []}
    for row, conversation in enumerate(conversations):
        kinds[any(turn.image is not None for turn in conversation)].append(row)
    return [rows for rows in kinds.values() if rows]


def _check_undefended(decoding: Decoding) -> None:
    if decoding.defenses:
        constraint, remedy = "left out where prompts have images", "They watch the language model over text alone."
        raise PromptError(expected("inference defenses", constraint, ", ".join(decoding.defenses), remedy))


_LOGIT_RULES = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "suppress_tokens": None, "bad_words_ids": None}
"""Rules of a generation config that change what is decoded, each with the value that changes nothing."""


@cache
def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
