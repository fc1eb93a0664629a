"""The defense `safebasin-kiln/steer`, at the stage inference: it works on the module while it decodes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from safebasin.protocols import LiveBatch


@dataclass(frozen=True)
class Steering:
    """Bound to a module."""

    embeddings: nn.Module
    strength: float

    @contextmanager
    def installed(self, batch: LiveBatch) -> Iterator[None]:
        """Add the mean of each prompt's own embeddings, times strength, to every token of its row."""
        with torch.no_grad():
            every, real = self.embeddings(batch.ids), batch.mask[..., None]
            means = (every * real).sum(dim=1) / real.sum(dim=1)  # (rows, width of the model)

        def hook(module: nn.Module, given: Any, out: torch.Tensor) -> torch.Tensor:
            # rows that have ended are gone: row i of this pass is row alive[i] of the batch
            return out + self.strength * means[list(batch.alive), None]

        handle = self.embeddings.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


class Steer:
    """Keep the prompt in mind: its mean embedding is added to every token.

    Args:
        strength: how much of it; 0 changes nothing.
    """

    stage, version = "inference", "1"

    def __init__(self, strength: float = 0.1) -> None:
        self.name = f"safebasin-kiln/steer(strength={strength})"
        self.strength = strength

    def at(self, strength: float) -> Self:
        """The same at another strength."""
        return type(self)(strength)

    def guard(self, model: Any, tokenizer: Any) -> Steering:
        """Bind to a module; one that measures the module does so here."""
        return Steering(model.get_input_embeddings(), self.strength)
