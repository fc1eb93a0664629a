"""Which tensors a direction moves, and inner products over them in float64, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from safebasin.protocols import BaseWeights
from safebasin.records import DirectionSpec, matches
from safebasin.weights.blocks import check_only, finds_nothing
from safebasin.weights.layout import row_blocks

__all__ = ["Rows", "inner", "matches", "selected"]

Rows = Callable[[str, int, int], torch.Tensor]

_PIECE = 2**17
"""Elements that are multiplied at a time: 1 MB in float64, which stays in the cache."""


def selected(spec: DirectionSpec, base: BaseWeights, *, drawn: bool) -> tuple[str, ...]:
    """Names that a direction moves: those that match `only`, and for a drawn one those that are not excluded.

    Raises:
        StudyError: where nothing is left, or one of several patterns finds nothing: it may be misspelled.
    """
    check_only(spec.only, base.names)
    excluded = base.excluded() if drawn else {}
    names = tuple(n for n in base.names if n not in excluded and matches(n, spec.only))
    if not names:
        raise finds_nothing(spec.only, base.names)
    return names


def inner(
    base: BaseWeights, name: str, left: Rows, right: Rows | None = None, *, by_rows: bool = False
) -> torch.Tensor:
    """Inner product of two fields over one tensor, in float64: a scalar, or one for each row of axis 0.

    Without `right`, the square of `left`, whose rows are then made once only.
    """
    found: list[torch.Tensor] = []
    for start, stop in row_blocks(base.shape(name)):
        a = left(name, start, stop).reshape(stop - start, -1)
        b = None if right is None else right(name, start, stop).reshape(stop - start, -1)
        found += _row_products(a, b)
    products = torch.cat(found)
    return products if by_rows else products.sum()


def _row_products(a: torch.Tensor, b: torch.Tensor | None) -> Iterator[torch.Tensor]:
    """Inner products of the rows of two matrices, of one with itself without the second; in pieces of many rows.

    A row is summed as it would be in the whole: torch splits a row itself only where there are fewer rows than threads.
    """
    rows = a.shape[0]
    n_pieces = max(1, min(a.numel() // _PIECE, rows // torch.get_num_threads()))
    for i in range(n_pieces):
        low, high = rows * i // n_pieces, rows * (i + 1) // n_pieces
        left = a[low:high].double()
        yield (left * (left if b is None else b[low:high].double())).sum(dim=1)
