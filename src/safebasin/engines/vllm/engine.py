"""The vLLM engine: greedy requests that rows end, and scores of texts; weights are the workers' business (`roads`).

Before the first answer it is compared with the reference engine (`selftest`), and refused where it differs. Tokens,
templates and what ends a row are those of the reference (`answering`), so that a response differs from the reference's
by rounding alone. No prefix is cached: a cache would outlive the weights that it was computed with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from safebasin.engines.answering import Answering, Batch
from safebasin.engines.hf import HFEngine
from safebasin.engines.vllm.needs import check_device, check_model, settle, vllm_version, why_no_transfer
from safebasin.engines.vllm.plugin import BACKEND, register
from safebasin.engines.vllm.roads import Reload, Road, Transfer
from safebasin.engines.vllm.selftest import TOLERANCE, Expected, check, expectations
from safebasin.errors import ModelError, SafebasinError, UsageError, expected
from safebasin.models.loading import load_config, n_embeddings
from safebasin.models.placement import resolve_dtype
from safebasin.models.reference import resolve
from safebasin.models.spreading import check_gpus
from safebasin.models.tokens import context_length, end_ids
from safebasin.protocols import EngineFacts, Generation, TokenScores
from safebasin.records import Decoding, Message, Point, Scalar

__all__ = ["VLLMEngine"]

_EXTENSION = "safebasin.engines.vllm.worker.Regenerating"
_LARGEST_BATCH = 256
"""Sequences that vLLM decodes at once by default; more of a batch wait."""
_REFUSALS = (RuntimeError, ValueError, NotImplementedError, KeyError, AttributeError)
"""What vLLM raises where it cannot run a model."""
_log = logging.getLogger(__name__)
_OF_REFERENCE = ("attention", "device_name", "logit_rules", "prepacked", "threads")
"""Details of the reference engine that say nothing of this one."""


class VLLMEngine:
    """A causal language model of vLLM, at θ₀ when it is made, after a test against the reference engine.

    Args:
        model: `path[@revision][#part][+adapter]`: a folder, a hub id, or `world:NAME/CHECKPOINT`.
        device: `auto`, or the one that the installed vLLM was built for, `cuda` or `cpu`.
        gpus_per_worker: GPUs over which it cuts each matrix (tensor parallelism), where more than 1.
        dtype: as of the reference engine.
        template_args: passed to the chat template; those of a `Decoding` win.
        date: the day that the template's clock shows, ISO 8601; None is today, and stays it.

    Raises:
        MissingExtra: where vLLM is not installed.
        ModelError: where the model cannot be used, vLLM cannot load it, or it fails the test.
        UsageError: where vLLM is too old, or built for another device, or this process sees too few GPUs.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        gpus_per_worker: int = 1,
        dtype: str = "auto",
        template_args: Mapping[str, Scalar] | Iterable[tuple[str, Scalar]] = (),
        date: str | None = None,
    ) -> None:
        version, invariant = vllm_version(), settle()
        from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

        where = str(current_platform.device_type)
        check_device(device, where)
        if gpus_per_worker > 1:
            check_gpus(gpus_per_worker, where)
        found = resolve(model)
        config = load_config(found.folder, name=model)
        check_model(model, config.to_dict(), None)
        kind = str(resolve_dtype(dtype, config, torch.device(where))).removeprefix("torch.")
        # 1) What the reference says; its model is let go of before vLLM takes memory
        reference = HFEngine(model, device="cpu", dtype=kind, template_args=template_args, date=date)
        facts = reference.facts()
        check_model(model, {}, facts.details["logit_rules"])
        wanted = expectations(reference)
        with reference.lend() as (module, tokenizer):
            self._answers = Answering(
                tokenizer,
                dict(template_args),
                date=date,
                limit=context_length(module.config, tokenizer),
                n_rows=n_embeddings(module),
                eos=end_ids(module.generation_config, tokenizer),
            )
        del module, reference
        # 2) vLLM with the same weights, and whether it is what it should be
        without = why_no_transfer()
        self._llm = _start(
            str(found.folder), name=model, dtype=kind, limit=self._answers.limit, eager=where == "cpu",
            gpus=gpus_per_worker, transfers=without is None,
        )  # fmt: skip
        origin = (str(found.folder), kind, str(found.adapter) if found.adapter else None)
        worst, weights = self._set_out(model, origin, wanted, without)
        self._facts = _described(facts, version, where, invariant, worst, gpus_per_worker, weights)

    @property
    def date(self) -> str | None:
        """The day that the chat template is told, ISO 8601; None where it does not ask."""
        return self._answers.date

    def set_date(self, date: str) -> None:
        """Ask as on another day from now on."""
        self._answers.set_date(date)

    def facts(self) -> EngineFacts:
        """Describe the engine; its version, and whether batches decide last bits, stand in its name."""
        return replace(self._facts, date=self.date)

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """As many as vLLM decodes at once, where there are that many prompts: it packs them itself."""
        return max(1, min(n_prompts, _LARGEST_BATCH))

    def move_to(self, point: Point) -> None:
        """Have every worker make the weights of a point from θ₀ and load them; only the recipe is sent.

        Raises:
            UsageError: where a direction is not known, or does not fit the model.
        """
        self._road.move(point)

    def checksum(self) -> str:
        """Of the weights that the workers hold now; equal where they are equal bit for bit."""
        return " ".join(self._llm.collective_rpc("safebasin_checksum"))

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        """Decode one batch greedily, results in the order given.

        Raises:
            UsageError: where the decoding has defenses, which need the module.
            ModelError, PromptError: as the reference engine.
        """
        return self.continue_from(conversations, [()] * len(conversations), decoding)

    def continue_from(
        self, conversations: Sequence[Sequence[Message]], begun: Sequence[Sequence[int]], decoding: Decoding
    ) -> list[Generation]:
        """Decode as `generate`, each answer forced to begin with tokens; they are part of its text, not of its count.

        Raises:
            UsageError, ModelError, PromptError: as `generate`.
        """
        if decoding.defenses:
            remedy = "Use the engine hf."
            raise UsageError(expected("defenses", "none with the engine 'vllm'", decoding.defenses, remedy))
        if not conversations:
            return []
        batch = self._answers.begin(conversations, begun, decoding)
        self._decode(batch)
        return batch.generations()

    def inspect(self, name: str, conversation: Sequence[Message], decoding: Decoding) -> list[int]:
        """Render and count one conversation, as `generate` will; `name` says which it is. Returns its tokens.

        Raises:
            ModelError, PromptError: as `generate`.
        """
        return self._answers.asking(decoding).encode(name, conversation).ids

    def score(
        self, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
    ) -> list[TokenScores]:
        """Score each text as the assistant's turn after its conversation, under the current weights.

        As the reference, but vLLM wants room for one token more than it reads: a text that fills the context is scored
        without its last token.

        Raises:
            ModelError, PromptError: as `generate`.
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
            ModelError, PromptError: as `generate`.
        """
        prompts, tokens = self._answers.texts(conversations, texts, untils, decoding)
        read = [[*prompt, *text.ids][: self._readable] for prompt, text in zip(prompts, tokens, strict=True)]
        found = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in read], _sampling(max_tokens=1, prompt_logprobs=0), use_tqdm=False
        )
        scores: list[TokenScores] = []
        for ids, prompt, text, output in zip(read, prompts, tokens, found, strict=True):
            nll = tuple(-output.prompt_logprobs[at][ids[at]].logprob for at in range(len(prompt), len(ids)))
            scores.append(TokenScores(nll=nll, ends=text.ends[: len(nll)]))
        return scores

    @property
    def _readable(self) -> int | None:
        return None if self._answers.limit is None else self._answers.limit - 1

    def _set_out(
        self, model: str, origin: tuple[str, str, str | None], wanted: tuple[Expected, ...], without: str | None
    ) -> tuple[float, dict[str, str]]:
        """Take the road that the self-test lets pass: weight transfer where there is nothing against it, else reload.

        Returns:
            The largest difference that the test saw, in nats, and for the facts how weights are brought and why so.

        Raises:
            ModelError: where neither does.
        """
        if without is None:
            try:
                return self._tested(Transfer(self._llm), origin, wanted), {"by": Transfer.name}
            except Exception as error:
                if not (isinstance(error, SafebasinError) or _is_of_vllm(error)):
                    raise
                without = _said(error)
                _log.warning("weights are reloaded, since vLLM's weight transfer failed: %s", without)
        try:
            return self._tested(Reload(self._llm), origin, wanted), {"by": Reload.name, "because": without}
        except Exception as error:
            if not _is_of_vllm(error):
                raise
            remedy = f"({_said(error)}) Use the engine hf."
            constraint = "one whose weights vLLM can reload"
            raise ModelError(expected("model of the engine 'vllm'", constraint, model, remedy)) from error

    def _tested(self, road: Road, origin: tuple[str, str, str | None], wanted: tuple[Expected, ...]) -> float:
        self._road = road
        road.open(*origin)
        return check(self, wanted, dtype=origin[1])

    def _decode(self, batch: Batch) -> None:
        """Step vLLM until every row has ended; a request whose row ends before it is dropped."""
        engine, rows = self._llm.llm_engine, batch.rows
        for row, (encoded, limit) in enumerate(zip(batch.encoded, batch.limits, strict=True)):
            sampling = _sampling(
                max_tokens=limit, logprobs=2, stop_token_ids=sorted(batch.eos), ignore_eos=True, delta=True
            )
            engine.add_request(str(row), {"prompt_token_ids": encoded.ids}, sampling)
        while engine.has_unfinished_requests():
            for output in engine.step():
                row, said = int(output.request_id), output.outputs[0]
                for token, position in zip(said.token_ids, said.logprobs, strict=True):
                    best, gap = _best(position)
                    rows.advance([row], [[token]], [[best]], [[gap]])
                if not (rows.is_live(row) or output.finished):
                    engine.abort_request([output.request_id])


def _start(folder: str, *, name: str, dtype: str, limit: int | None, eager: bool, gpus: int, transfers: bool) -> Any:
    """Start vLLM with a model, its own tokenizer, generation settings and prefix cache left out.

    Eager on a processor: compiling takes minutes there and gains little. Over several GPUs its workers are children of
    this process, even in an actor of Ray, whose GPUs are already its own.
    """
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    more: dict[str, Any] = {"tensor_parallel_size": gpus, "distributed_executor_backend": "mp"} if gpus > 1 else {}
    if transfers:
        register()  # vLLM calls it too, but once a process: another may have kept it from doing so here
        more["weight_transfer_config"] = {"backend": BACKEND}
    try:
        return LLM(
            model=folder, dtype=dtype, max_model_len=limit, seed=0, skip_tokenizer_init=True, generation_config="vllm",
            enable_prefix_caching=False, worker_extension_cls=_EXTENSION, disable_log_stats=True,
            enforce_eager=eager, **more,
        )  # fmt: skip
    except _REFUSALS as error:
        remedy = f"({_said(error)}) Use the engine hf."
        raise ModelError(expected("model of the engine 'vllm'", "one that vLLM can load", name, remedy)) from error


def _is_of_vllm(error: Exception) -> bool:
    """Whether vLLM may have raised it over a model; one of its own processes sends a plain `Exception`."""
    return type(error) is Exception or (isinstance(error, _REFUSALS) and not isinstance(error, SafebasinError))


def _said(error: Exception) -> str:
    """What an exception says, in a line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _sampling(*, delta: bool = False, **settings: object) -> Any:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    kind = RequestOutputKind.DELTA if delta else RequestOutputKind.FINAL_ONLY
    return SamplingParams(temperature=0, detokenize=False, output_kind=kind, **settings)


def _best(position: Mapping[int, Any]) -> tuple[float, float]:
    """The largest log-probability at a position, and how far the second lies below: that of the logits too."""
    found = [entry.logprob for entry in position.values()]
    if any(value != value for value in found):
        return float("nan"), 0.0
    first, second = sorted(found, reverse=True)[:2]
    return first, first - second


def _described(
    facts: EngineFacts,
    version: str,
    device: str,
    invariant: bool,
    worst: float,
    gpus: int,
    weights: Mapping[str, str],
) -> EngineFacts:
    """What the reference says of the model, with this engine's own; versions decide responses, so they name it."""
    kept = {key: value for key, value in facts.details.items() if key not in _OF_REFERENCE}
    invariance = ", batch_invariant=true" if invariant else ""
    details = {
        **kept,
        "vllm": version,
        "prefix_caching": False,
        "tensor_parallel_size": gpus,
        "weights": weights,
        "self_test": {"largest_difference_nats": worst, "tolerance_nats": TOLERANCE[facts.dtype]},
    }
    return replace(
        facts, engine=f"vllm(version={version}{invariance})", device=device, batch_invariant=invariant, details=details
    )
