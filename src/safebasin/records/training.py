"""A row as it is trained on: tokens, and which of them are learned as what."""

from __future__ import annotations

from dataclasses import dataclass

from safebasin.records.conversation import TrainingRow

IGNORED = -100
"""Label of a token that carries no loss, as PyTorch's cross entropy has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRow:
    """A training row as tokens."""

    row: TrainingRow
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """As long as `ids`: what the model is to say in the place of that token, having read those before it. `IGNORED`
    where the token carries no loss; a defense may teach another token than the one that stands there."""
