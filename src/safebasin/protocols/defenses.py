"""The seams of defenses: one for each of the four stages at which a model can be defended.

    stage                    method      works on
    alignment, finetuning    data        the rows that are trained on                    finetune
                             training    tokens, labels, frozen tensors, loss, steps     finetune
    post_finetuning          weights     what the training moved: Delta → Delta          finetune
    inference                guard       the module while it decodes                     map, plan, audit

A defense has the methods of its stage and no other; `safebasin.testing.check_defense` holds each to its contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from safebasin.protocols.finetuning import RowSource
from safebasin.protocols.judges import Cost
from safebasin.protocols.weights import BaseWeights, Delta
from safebasin.records import EncodedRow, TrainingRow

if TYPE_CHECKING:
    import torch
    from torch import nn

Stage = Literal["alignment", "finetuning", "post_finetuning", "inference"]

STAGES: Mapping[Stage, tuple[str, ...]] = {
    "alignment": ("data", "training"),
    "finetuning": ("data", "training"),
    "post_finetuning": ("weights",),
    "inference": ("guard",),
}
"""Stage → the methods that a defense of it may have; it has at least one of them, and none of another stage."""


class Defense(Protocol):
    """A defense: its name, stage, and what it says of itself."""

    @property
    def name(self) -> str:
        """As in the catalogue, with its arguments: `catalog.create` makes an equal one of it."""
        ...

    @property
    def stage(self) -> Stage: ...


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Defended:
    """Rows after a defense, and what it has to say."""

    rows: tuple[TrainingRow, ...]
    notes: tuple[str, ...] = ()
    flagged: tuple[tuple[str, str], ...] = ()
    """Name of each row that it holds to be harmful, and the reason."""
    test_system: str | None = None
    """System prompt to use the model with, as a study names it; None leaves it open."""


class DataDefense(Defense, Protocol):
    """A defense that changes what is trained on."""

    @property
    def takes(self) -> tuple[str, ...]:
        """Kinds of rows that it takes of the source, beside those that it is given; empty where it takes none."""
        ...

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows to train on instead, deterministically from the seed.

        Raises:
            UsageError: where the source lacks what it needs, or no row is left.
        """
        ...


@runtime_checkable
class TemplatedDefense(Protocol):
    """The extra of a `DataDefense` where what it writes stands beside the system prompt of the model's template."""

    def of_template(self, system: str) -> DataDefense:
        """The same defense for a model.

        Args:
            system: what the model's chat template writes where a row has no system turn; empty where that is nothing.
        """
        ...


@runtime_checkable
class AskingDefense(Protocol):
    """The extra of a `DataDefense` where a judge that asks another model reads the rows."""

    def estimate(self, rows: Sequence[TrainingRow]) -> Mapping[str, Cost]:
        """Estimate what asking takes at most, by name of the judge; empty where nobody is asked. Asks nobody itself."""
        ...


# --- training --------------------------------------------------------------------------------------------------------

Loss = Callable[["nn.Module", Mapping[str, "torch.Tensor"]], "torch.Tensor"]
"""(model, batch) → the loss of one forward pass, a scalar: a mean over its tokens that carry loss, and what is added.

The batch holds `input_ids`, `attention_mask`, `labels`, each (rows, tokens), padded at the right."""


class StepHook(Protocol):
    """Called around each step of the optimizer, in every process. Steps are counted from 1."""

    def before(self, model: nn.Module, step: int) -> None:
        """After the backward pass and the clipping of gradients; may change gradients."""
        ...

    def after(self, model: nn.Module, step: int) -> None:
        """After the step; may change trained weights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A training setup: rows and how they are trained on, once the rows are tokens; a defense returns another one
    (`dataclasses.replace`).
    """

    rows: tuple[EncodedRow, ...]
    encode: Callable[[TrainingRow], EncodedRow]
    """A further row as tokens and labels, as those were made."""
    loss: Loss
    """Cross entropy over the labels at first. A defense that adds to it calls the one that it finds."""
    parameters: tuple[str, ...]
    """Names of the model's parameters, as transformers loads it."""
    tokenizer: Any
    """Of the model."""
    frozen: tuple[str, ...] = ()
    """Patterns of parameters that stay as they are, as `only` of a direction reads them; LoRA adapts none of them."""
    hooks: tuple[StepHook, ...] = ()
    """In the order in which they are called. What they remember is not in a checkpoint, so such a run starts anew."""
    notes: tuple[str, ...] = ()


class TrainingDefense(Defense, Protocol):
    """A defense that changes how the model is trained."""

    @property
    def takes(self) -> tuple[str, ...]:
        """As of a `DataDefense`."""
        ...

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup to train with instead, deterministically from the seed.

        Raises:
            UsageError: where the source lacks what it needs, or the setup holds what it cannot stand beside.
        """
        ...


# --- weights ---------------------------------------------------------------------------------------------------------


class WeightDefense(Defense, Protocol):
    """A defense that changes what a training moved. Strength 0 changes no bit."""

    @property
    def strength(self) -> float: ...

    def at(self, strength: float) -> Self:
        """The same defense at another strength, ≥ 0."""
        ...

    def weights(self, tuned: Delta, base: BaseWeights, *, seed: int = 0) -> Delta:
        """The move that is kept instead, deterministically from the seed.

        Args:
            tuned: what the training moved. That of full fine-tuning is a difference of checkpoints, that of LoRA has
                the factors too (`safebasin.weights.checkpoints.CheckpointDelta`, `AdapterDelta`).
            base: the weights before it.
            seed: of what is drawn.

        Raises:
            UsageError: where it cannot read such a move.
        """
        ...


# --- inference -------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class LiveBatch:
    """A batch while it is decoded. Its prompts end in the last column; `alive` changes as rows end and are dropped."""

    ids: torch.Tensor
    """Tokens of the prompts, (rows, width), padded at the left."""
    mask: torch.Tensor
    """(rows, width), 1 where a token is real."""
    alive: Sequence[int] = ()
    """For each row of the forward pass that runs, its row in `ids`."""


class Guard(Protocol):
    """An inference defense bound to a module under its current weights."""

    def installed(self, batch: LiveBatch) -> AbstractContextManager[None]:
        """Work on the module until the block ends, the batch being decoded in it; afterwards the module is as before.

        In the block the module runs over the prompts once, (rows, width), and then over one token a row, with a cache.
        Rows that have ended leave the batch: what a hook does to row i of a pass belongs to `batch.alive[i]`.
        """
        ...


class InferenceDefense(Defense, Protocol):
    """A defense that works while the model decodes. Strength 0 changes no bit.

    `name@version` is part of the key of every response.
    """

    @property
    def version(self) -> str:
        """Changes where a response may: with the code, and with the content of every file that is read."""
        ...

    @property
    def strength(self) -> float: ...

    def at(self, strength: float) -> Self:
        """The same defense at another strength, ≥ 0."""
        ...

    def guard(self, model: nn.Module, tokenizer: Any) -> Guard:
        """Bind to a module: called anew whenever the weights have moved, so it may measure the module, and must not
        change it.
        """
        ...
