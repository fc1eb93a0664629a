"""What decoding at each row's own pace needs of a forward pass. `lean` writes one out, `wrapped` takes a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from safebasin.engines.ragged import Part, RaggedCache

__all__ = ["READ_TOKENS", "Pass"]

READ_TOKENS = 8_192
"""Tokens of prompts, padding included, that one pass reads at most."""


class Pass(Protocol):
    """A forward pass over the next tokens of rows that are in a cache, under the weights that a model has now."""

    vocabulary: int
    """Logits of a token."""
    at_once: bool
    """True where several parts take one pass; else each takes its own."""

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        ...

    def empty_cache(self, n_rows: int) -> RaggedCache:
        """A cache of rows that hold nothing yet."""
        ...

    def __call__(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Float32 logits, (rows, n, vocabulary), after each of the tokens of each part."""
        ...

    def read(self, tokens: torch.Tensor, cache: RaggedCache) -> None:
        """Write the next n tokens of each row, (rows, n), to the cache; its lengths stay."""
        ...
