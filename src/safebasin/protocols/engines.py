"""The seam between weights and text: engines, and what they hand back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from safebasin.protocols.weights import BaseWeights, WeightBlock
from safebasin.records import Decoding, FinishReason, Message

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What an engine decoded for one conversation; the run layer makes a `Response` of it."""

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


@runtime_checkable
class Engine(Protocol):
    """Turns weights and conversations into text. Greedy decoding is reproducible on the same batch."""

    @property
    def base(self) -> BaseWeights: ...

    def describe(self) -> Mapping[str, object]:
        """At least `fingerprint`, `dtype`, `device`, `template_hash`: for the manifest.

        `engine` is its name, with those of its settings that decide responses (`mine(beam=2)`): part of their keys.
        """
        ...

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """The batch size that `--batch-size auto` means here; asked once a study and recorded."""
        ...

    def set_weights(self, stream: Iterable[WeightBlock]) -> None:
        """Overwrite parameters. An empty stream is allowed; no cache survives this call."""
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
class Inspector(Protocol):
    """What an engine may offer beside `Engine`: a look at a conversation before anything is decoded."""

    def inspect(self, name: str, conversation: Sequence[Message], decoding: Decoding) -> Sequence[int]:
        """Check that it can be asked; `name` says which it is.

        Returns:
            The tokens that the model is given: a study that goes on later checks that they are the same. Empty where
            the engine cannot tell.

        Raises:
            PromptError: where the template does not pass it on, or it is longer than the context allows.
        """
        ...


@runtime_checkable
class Dated(Protocol):
    """What an engine may offer beside `Engine` whose template asks for the date."""

    @property
    def date(self) -> str | None:
        """The day that the model is told, ISO 8601; None where the template does not ask."""
        ...

    def set_date(self, date: str) -> None:
        """Ask as on another day from now on."""
        ...


@runtime_checkable
class Reader(Protocol):
    """What an engine may offer beside `Engine`: reading plain text. Needed for perplexity and KL, for nothing else."""

    @property
    def n_context(self) -> int | None:
        """The most tokens of one `logits` call; None where there is no limit."""
        ...

    @property
    def bos_id(self) -> int | None:
        """The token that its tokenizer puts before every text; None where it puts none."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokens of a plain text, without special tokens and without a chat template."""
        ...

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Next-token logits under the current weights after each of `ids`: (len(ids), vocabulary), float32.

        The model's own: no repetition penalty, no suppressed tokens. The same ids and weights give the same bits.

        Raises:
            MemoryError: where they do not fit.
        """
        ...
