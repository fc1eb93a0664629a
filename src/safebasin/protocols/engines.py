"""The seam between weights and text: engines, and what they hand back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from safebasin.protocols.weights import BaseWeights
from safebasin.records import Decoding, DirectionSpec, FinishReason, Message, Point

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


UNMERGED = "adapters=unmerged"
"""In the name of an engine that serves adapters beside the weights (`EngineFacts.unmerged`): W + α·B·A computed apart
rounds otherwise than one sum, so that the two never share a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The decoded answer to one conversation; the run layer makes a `Response` of it."""

    text: str
    thinking: str
    n_tokens: int
    finish_reason: FinishReason
    broken: str = ""
    gap: float | None = None
    """Smallest difference between the best and the second-best logit over the decoded tokens: how near to a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """Per-token negative log-likelihoods (nats) of one text, and the characters covered up to each token."""

    nll: tuple[float, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """Facts of an engine and of the model that it has loaded. Plain values: it crosses processes."""

    engine: str
    """Its name, as in the catalogue, with those of its settings that decide responses (`mine(beam=2)`): part of the key
    of each response."""
    fingerprint: str
    """Of the model: that of `safebasin.models.reference.resolve` where the model is a folder or in the cache."""
    dtype: str
    device: str
    template_hash: str
    n_context: int | None = None
    """The most tokens that prompt and response may have together; None where there is no limit."""
    perturbed: tuple[str, ...] = ()
    """Canonical names of the parameters that random directions move, …"""
    excluded: Mapping[str, str] = field(default_factory=dict[str, str])
    """… and of those that they leave alone, each with the reason."""
    moves: bool = True
    """Whether it goes to other points than θ₀: False where the weights are only asked as they are."""
    batch_invariant: bool = False
    """Whether a row is the same bit for bit in any batch; where not, batches are part of the plan."""
    date: str | None = None
    """The day that the chat template is told, ISO 8601; None where it does not ask."""
    reads_images: bool = False
    """Whether a prompt may have an image (`Message.image`); where not, nobody hands it one."""
    stops: frozenset[str] = frozenset({"none"})
    """The stop rules that it honors (`Decoding.stop`): of `none`, `verdict`, `loop`."""
    unmerged: tuple[DirectionSpec, ...] = ()
    """Directions whose points it serves beside the weights of θ₀ and not in them: `UNMERGED` is part of its name then.
    Points of one term along these may be asked at once (`ManyPoints`), …"""
    at_once: int = 1
    """… so many of them."""
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    """Whatever else belongs into the manifest, as JSON: versions, threads, end tokens."""

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters."""
        return (*self.perturbed, *self.excluded)

    def described(self) -> dict[str, object]:
        """As JSON, for the manifest; the parameters stand elsewhere there."""
        own = {
            "engine": self.engine,
            "fingerprint": self.fingerprint,
            "dtype": self.dtype,
            "device": self.device,
            "template_hash": self.template_hash,
            "n_context": self.n_context,
            "batch_invariant": self.batch_invariant,
            "date": self.date,
        }
        return {**own, **self.details}


@runtime_checkable
class Engine(Protocol):
    """Goes to points of weight space and turns conversations into text there. Greedy decoding is reproducible.

    A point is a recipe: no tensor crosses this seam, so an engine may live in another process, or on another machine.
    It begins at θ₀.
    """

    def facts(self) -> EngineFacts:
        """Describe the engine and what it has loaded; the same wherever it is."""
        ...

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """The batch size that `--batch-size auto` means here; asked once a study and recorded."""
        ...

    def move_to(self, point: Point) -> None:
        """Go to θ₀ + Σ αᵢ·d̂ᵢ, computed from θ₀ and never from where it is; no cache survives this call.

        Raises:
            UsageError: where a direction is not known, or does not fit the model.
        """
        ...

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        """Decode one batch, results in the order given.

        Raises:
            PromptError: where a conversation is longer than the context allows.
            MemoryError: where the batch does not fit; the caller halves it.
        """
        ...

    def score(
        self, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
    ) -> list[TokenScores]:
        """Score each text as the assistant's turn after its conversation, under the current weights."""
        ...


@runtime_checkable
class ManyPoints(Protocol):
    """The extra of an engine that answers at several points in one running batch (`EngineFacts.unmerged`)."""

    def generate_together(
        self, points: Sequence[Point], conversations: Sequence[Sequence[Sequence[Message]]], decoding: Decoding
    ) -> list[list[Generation]]:
        """Decode as `Engine.generate`, the conversations of each point at that point, wherever it is; then it is at θ₀.

        Args:
            points: at most `EngineFacts.at_once`, each of one term along `EngineFacts.unmerged`.
            conversations: a batch a point.
            decoding: of all.

        Raises:
            UsageError: where it serves one of the points in no other way than in the weights.
            PromptError, MemoryError: as `Engine.generate`.
        """
        ...


@runtime_checkable
class PrefixScorer(Protocol):
    """The extra of an engine that scores no more of a text than is asked for. Others score all of it."""

    def score_prefixes(
        self,
        conversations: Sequence[Sequence[Message]],
        texts: Sequence[str],
        untils: Sequence[int],
        decoding: Decoding,
    ) -> list[TokenScores]:
        """As `Engine.score`, but of each text only the tokens that begin before so many of its characters.

        The whole text is tokenized: each score is the beginning of that of the whole.
        """
        ...


@runtime_checkable
class Inside(Protocol):
    """The extra of an engine whose model is in this process: its tensors, and the module itself.

    Perplexity and KL of texts, tasks of lm-eval, trajectories and distances need it; nothing else does.
    """

    @property
    def base(self) -> BaseWeights:
        """θ₀, wherever the engine is."""
        ...

    def lend(self) -> AbstractContextManager[tuple[PreTrainedModel, PreTrainedTokenizerBase]]:
        """The model under its current weights and its tokenizer; to be read, not changed. Without gradients."""
        ...


@runtime_checkable
class Prefilling(Protocol):
    """The extra of an engine that can force how an answer begins."""

    def continue_from(
        self, conversations: Sequence[Sequence[Message]], begun: Sequence[Sequence[int]], decoding: Decoding
    ) -> list[Generation]:
        """Decode as `Engine.generate`, each answer forced to begin with tokens; its text has them, its count has not.

        Raises:
            PromptError: where they leave no room for one new token.
        """
        ...


@runtime_checkable
class Inspector(Protocol):
    """The extra of an engine that can look ahead: a look at a conversation before anything is decoded."""

    def inspect(self, name: str, conversation: Sequence[Message], decoding: Decoding) -> Sequence[int]:
        """Check that it can be asked; `name` says which it is.

        Returns:
            The tokens that the model is given: a study that goes on later checks that they are the same. Empty where
            the engine cannot tell. Behind those of a prompt with an image stands a number that tells what the model is
            shown of it.

        Raises:
            PromptError: where the template does not pass it on, or it is longer than the context allows.
        """
        ...


@runtime_checkable
class Dated(Protocol):
    """The extra of an engine whose template asks for the date."""

    @property
    def date(self) -> str | None:
        """The day that the model is told, ISO 8601; None where the template does not ask."""
        ...

    def set_date(self, date: str) -> None:
        """Ask as on another day from now on."""
        ...
