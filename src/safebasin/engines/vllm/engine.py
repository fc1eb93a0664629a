"""The vLLM engine: greedy requests that rows end, and scores of texts; weights are the workers' business (`roads`).

Before the first answer it is compared with the reference engine (`selftest`), and refused where it differs. Tokens,
templates and what ends a row are those of the reference (`answering`), so that a response differs from the reference's
by rounding alone. No prefix is cached: a cache would outlive the weights that it was computed with.

Points along an adapter that it was told of are served beside the weights of θ₀ (`adapters`), several in one batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from safebasin.engines.answering import Answering, Batch
from safebasin.engines.hf import HFEngine
from safebasin.engines.vllm.adapters import AdapterRoad, Adapters, Copies, sort_out, why_all_merged
from safebasin.engines.vllm.facts import described, unmerged
from safebasin.engines.vllm.needs import check_device, check_model, settle, vllm_version, why_no_transfer
from safebasin.engines.vllm.requests import decode, log_probabilities
from safebasin.engines.vllm.roads import Reload, Road, Transfer
from safebasin.engines.vllm.selftest import TOLERANCE, Expected, check, cross_check, expectations
from safebasin.engines.vllm.starting import is_of_vllm, said, start
from safebasin.errors import ModelError, SafebasinError, UsageError, expected
from safebasin.models.loading import load_config, n_embeddings
from safebasin.models.placement import resolve_dtype
from safebasin.models.reference import resolve
from safebasin.models.spreading import check_gpus
from safebasin.models.tokens import context_length, end_ids
from safebasin.protocols import EngineFacts, Generation, TokenScores
from safebasin.records import Decoding, DirectionSpec, Message, Point, Scalar
from safebasin.weights.layout import Layout

__all__ = ["VLLMEngine"]

_LARGEST_BATCH = 256
"""Sequences that vLLM decodes at once by default; more of a batch wait."""
_log = logging.getLogger(__name__)


class VLLMEngine:
    """A causal language model of vLLM, at θ₀ when it is made, after a test against the reference engine.

    Args:
        model: `path[@revision][#part][+adapter]`: a folder, a hub id, or `world:NAME/CHECKPOINT`.
        device: `auto`, or the one that the installed vLLM was built for, `cuda` or `cpu`.
        gpus_per_worker: GPUs over which it cuts each matrix (tensor parallelism), where more than 1.
        dtype: as of the reference engine.
        template_args: passed to the chat template; those of a `Decoding` win.
        date: the day that the template's clock shows, ISO 8601; None is today, and stays it.
        directions: lines that it will be asked along.
        adapters: those among them are `merged` into the weights, or served `unmerged` beside them if they can be;
            `auto` is unmerged, but on a CPU, where that takes three times as long.

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
        directions: Sequence[DirectionSpec] = (),
        adapters: AdapterRoad = "auto",
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
            served = sort_out(directions, Layout.of(module), reason=why_all_merged(adapters, where))
        del module, reference
        # 2) vLLM with the same weights, and whether it is what it should be; without adapters where it is not with them
        open_with = partial(
            self._open, model=model, origin=(str(found.folder), kind, str(found.adapter) if found.adapter else None),
            wanted=wanted, eager=where == "cpu", gpus=gpus_per_worker,
        )  # fmt: skip
        try:
            served, told = open_with(served)
        except Exception as error:
            if not (served.beside and (isinstance(error, ModelError) or is_of_vllm(error))):
                raise
            why = f"vLLM does not serve it so ({said(error.__cause__ or error)})"
            served, told = open_with(served.without(dict.fromkeys(served.beside, why)))
        self._facts = described(facts, version, where, invariant, gpus_per_worker, told)
        if served.beside:
            self._facts = unmerged(self._facts, served)

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
        """Go to a point: the workers make its weights from θ₀ and load them, and only the recipe is sent.

        Along an adapter that is served beside the weights, these are those of θ₀.

        Raises:
            UsageError: where a direction is not known, or does not fit the model.
        """
        if self._copies.serves(point):
            self._load(Point())
            (self._lora,) = self._copies.requests([point])
        else:
            self._load(point)
            self._lora = None

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
        if not conversations:
            return []
        return decode(self._llm, [(self._begin(conversations, begun, decoding), self._lora)])[0]

    def generate_together(
        self, points: Sequence[Point], conversations: Sequence[Sequence[Sequence[Message]]], decoding: Decoding
    ) -> list[list[Generation]]:
        """Decode a batch at each of some points in one running batch; it is at θ₀ afterwards.

        Raises:
            UsageError: where a point is not along an adapter that is served beside the weights; as `generate`.
            ModelError, PromptError: as `generate`.
        """
        if strange := [point for point in points if not self._copies.serves(point)]:
            remedy = "Go to it by move_to."
            constraint = "along adapters that are served beside the weights"
            raise UsageError(expected("points asked together", constraint, strange[0].recipe, remedy))
        batches = [self._begin(asked, [()] * len(asked), decoding) for asked in conversations]
        self.move_to(Point())
        return decode(self._llm, list(zip(batches, self._copies.requests(points), strict=True)))

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
        found = log_probabilities(self._llm, read, [len(prompt) for prompt in prompts], self._lora)
        return [TokenScores(nll=nll, ends=text.ends[: len(nll)]) for nll, text in zip(found, tokens, strict=True)]

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
                if not (isinstance(error, SafebasinError) or is_of_vllm(error)):
                    raise
                without = said(error)
                _log.warning("weights are reloaded, since vLLM's weight transfer failed: %s", without)
        try:
            return self._tested(Reload(self._llm), origin, wanted), {"by": Reload.name, "because": without}
        except Exception as error:
            if not is_of_vllm(error):
                raise
            remedy = f"({said(error)}) Use the engine hf."
            constraint = "one whose weights vLLM can reload"
            raise ModelError(expected("model of the engine 'vllm'", constraint, model, remedy)) from error

    def _tested(self, road: Road, origin: tuple[str, str, str | None], wanted: tuple[Expected, ...]) -> float:
        self._road, self._at = road, None
        road.open(*origin)
        return check(self, wanted, dtype=origin[1])

    def _open(
        self,
        adapters: Adapters,
        *,
        model: str,
        origin: tuple[str, str, str | None],
        wanted: tuple[Expected, ...],
        eager: bool,
        gpus: int,
    ) -> tuple[Adapters, dict[str, object]]:
        """Start vLLM with room for adapters, test its weights, and adapters beside these weights.

        Returns:
            The adapters, those that differ from merged ones among the merged, and what the manifest is told of it all.

        Raises:
            ModelError: where vLLM cannot load the model, or answers otherwise than the reference.
        """
        if "_road" in vars(self):
            del self._road, self._llm  # they make room
        self._copies, self._lora = Copies({}), None
        without, (folder, dtype, _) = why_no_transfer(), origin
        self._llm = start(
            folder, name=model, dtype=dtype, limit=self._answers.limit, eager=eager, gpus=gpus,
            transfers=without is None, loras=adapters.settings(),
        )  # fmt: skip
        worst, weights = self._set_out(model, origin, wanted, without)
        left, apart = self._beside(adapters, dtype)
        test = {"largest_difference_nats": worst, "tolerance_nats": TOLERANCE[dtype]}
        return left, {"weights": weights, "self_test": test, **left.described(apart, TOLERANCE[dtype])}

    def _beside(self, adapters: Adapters, dtype: str) -> tuple[Adapters, float]:
        """Compare an adapter of each shape at α = 1 beside the weights with the same in the weights.

        Returns:
            The adapters without those that differ, and the largest difference of the others in nats.
        """
        found: dict[object, float | str] = {}
        for spec, shape in adapters.shapes().items():
            if shape in found:
                continue
            point = Point.at((spec, 1.0))
            self._copies = Copies({})
            (merged,) = expectations(self, (point,))
            self._copies = Copies({spec: adapters.beside[spec]})
            self.move_to(point)
            try:
                self._llm.llm_engine.add_lora(self._lora)  # here, and not in the middle of a batch, it may be refused
            except Exception as error:
                if not is_of_vllm(error):
                    raise
                found[shape] = f"vLLM does not serve it so ({said(error)})"
                continue
            try:
                found[shape] = cross_check(self, merged, dtype=dtype)
            except ModelError as error:
                found[shape] = str(error)
        whys = {spec: why for spec, shape in adapters.shapes().items() if isinstance(why := found[shape], str)}
        left = adapters.without(whys)
        self._copies = Copies(left.beside)
        self.move_to(Point())
        return left, max((far for far in found.values() if isinstance(far, float)), default=0.0)

    def _load(self, point: Point) -> None:
        """Have the workers hold the weights of a point."""
        if point != self._at:
            self._at = None  # a move that fails half-way leads nowhere
            self._road.move(point)
            self._at = point

    def _begin(
        self, conversations: Sequence[Sequence[Message]], begun: Sequence[Sequence[int]], decoding: Decoding
    ) -> Batch:
        if decoding.defenses:
            remedy = "Use the engine hf."
            raise UsageError(expected("defenses", "none with the engine 'vllm'", decoding.defenses, remedy))
        return self._answers.begin(conversations, begun, decoding)
