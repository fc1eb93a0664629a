"""Which tensors a direction moves, and inner products over them in float64, block by block."""

from __future__ import annotations

from collections.abc import Callable

import torch

from safebasin.errors import StudyError, expected
from safebasin.protocols import BaseWeights
from safebasin.records import DirectionSpec, matches
from safebasin.weights.layout import row_blocks

__all__ = ["Rows", "inner", "matches", "selected"]

Rows = Callable[[str, int, int], torch.Tensor]


def _patterns(only: str) -> list[str]:
    return [pattern.strip() for pattern in only.split(",")]


def selected(spec: DirectionSpec, base: BaseWeights, *, drawn: bool) -> tuple[str, ...]:
    """Names that a direction moves: those that match `only`, and for a drawn one those that are not excluded.

    Raises:
        StudyError: where nothing is left, or one of several patterns finds nothing: it may be misspelled.
    """
    excluded = base.excluded() if drawn else {}
    names = tuple(n for n in base.names if n not in excluded and matches(n, spec.only))
    patterns = _patterns(spec.only) if spec.only is not None else []
    idle = [p for p in patterns if not any(matches(name, p) for name in base.names)]
    if idle or not names:
        remedy = f"Names look like {base.names[len(base.names) // 2]!r}."
        found = idle[0] if idle else spec.only
        raise StudyError(expected("only", "a pattern that some perturbable tensor matches", found, remedy))
    return names


def inner(
    base: BaseWeights, name: str, left: Rows, right: Rows | None = None, *, by_rows: bool = False
) -> torch.Tensor:
    """Inner product of two fields over one tensor, in float64: a scalar, or one for each row of axis 0.

    Without `right`, the square of `left`, whose rows are then made once only.
    """
    found: list[torch.Tensor] = []
    for start, stop in row_blocks(base.shape(name)):
        a = left(name, start, stop).double().reshape(stop - start, -1)
        b = a if right is None else right(name, start, stop).double().reshape(stop - start, -1)
        found.append((a * b).sum(dim=1))
    products = torch.cat(found)
    return products if by_rows else products.sum()
