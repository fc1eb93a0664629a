"""What weight defenses share: a move of which some tensors become others, matrices as their layers apply them, names.

No method of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from safebasin.errors import UsageError, expected
from safebasin.protocols import BaseWeights, Delta
from safebasin.weights.layout import layout_of, row_blocks
from safebasin.weights.noise import elements
from safebasin.weights.stream import Reaching

__all__ = ["Changed", "call", "check_strength", "drawn", "is_stored_turned", "whole"]

_PLAIN = re.compile(r"[A-Za-z_./][\w./:@+-]*")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A move of which some tensors are made anew; the others are what they were, where they were exact, bit for bit."""

    tuned: Delta
    names: frozenset[str]
    """Tensors that are made anew."""
    make: Callable[[str, int, int], torch.Tensor]
    """(name, start, stop) → rows of one of them, float64."""
    notes: tuple[str, ...] = ()

    def moves(self, name: str) -> bool:
        """Tell whether α = 1 has to be another model's own tensor."""
        return name not in self.names and isinstance(self.tuned, Reaching) and self.tuned.moves(name)

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of that tensor."""
        if not isinstance(self.tuned, Reaching):
            raise KeyError(name)
        return self.tuned.reached(name, start, stop)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the move."""
        return self.make(name, start, stop) if name in self.names else self.tuned.rows(name, start, stop)


def whole(delta: Delta, base: BaseWeights, name: str) -> torch.Tensor | None:
    """All rows of a move in one tensor, float64; None where it leaves the tensor alone."""
    parts = [delta.rows(name, start, stop) for start, stop in row_blocks(base.shape(name))]
    found = [part.double() for part in parts if part is not None]
    return torch.cat(found) if len(found) == len(parts) else None


def is_stored_turned(base: BaseWeights, name: str) -> bool:
    """Tell whether a matrix is stored as (in, out): GPT-2's Conv1D, and embeddings, whose rows are what they give out.

    A head is taken as an embedding is, in the hidden size: where both are tied they are one tensor.
    """
    layout = layout_of(base)
    return name in layout.transposed or name in layout.vocabulary


def drawn(shape: tuple[int, ...], seed: int, name: str, start: int, stop: int) -> torch.Tensor:
    """Rows of standard normal noise under a name, float64; the same in any blocks and on any machine."""
    width = math.prod(shape[1:])
    noise = elements(seed, 0, name, start * width, stop * width, version=1)
    return torch.from_numpy(noise).double().reshape((stop - start, *shape[1:]) if shape else ())


def check_strength(strength: object, what: str, *, most: float = math.inf) -> float:
    """Raises: UsageError where it is not a number from 0 to `most`."""
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= most:
        constraint = "a number of at least 0" if math.isinf(most) else f"a number from 0 to {most:g}"
        raise UsageError(expected(f"strength of {what}", constraint, strength, "0 keeps what was trained."))
    if math.isinf(strength):
        raise UsageError(expected(f"strength of {what}", "finite", strength, "0 keeps what was trained."))
    return float(strength)


def call(name: str, given: Mapping[str, object]) -> str:
    """A defense as the catalogue calls it, with the arguments that are not None."""
    return f"{name}({', '.join(f'{key}={_written(value)}' for key, value in given.items() if value is not None)})"


def _written(value: object) -> str:
    """As the catalogue reads it: a text that YAML would take for something else in quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return str(value)
    return "'" + value.replace("'", "''") + "'"
