"""Conformance of directions: deterministic, addressable in any order and block, finite, of the norm they document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from safebasin.protocols import BaseWeights, Delta, Direction
from safebasin.records import DirectionSpec, Point
from safebasin.testing.claims import claim
from safebasin.testing.planes import check_orthogonal

if TYPE_CHECKING:
    import torch

_TOLERANCE = 1e-4
"""Relative, on norms: d̂ is float32."""
_HONOR = "Honor spec.only: spec.moves(name) reads it."


def small_weights(seed: int = 0) -> BaseWeights:
    """A small θ₀ that holds what directions trip over: 100,000 elements in all.

    An embedding larger than a block of noise, a tensor with a row of zeros, fused experts, a bias, a norm layer
    (excluded), a scalar, and a tensor in bfloat16.
    """
    import torch
    from torch import nn

    from safebasin.weights.base import HostWeights

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Module()
        module.embed = nn.Embedding(1100, 64)
        module.up = nn.Linear(64, 24)
        module.norm = nn.LayerNorm(24)
        module.mixture = nn.Module()
        module.mixture.experts = nn.Module()
        module.mixture.experts.gate = nn.Parameter(torch.randn(4, 24, 16))
        module.down = nn.Linear(24, 64, bias=False, dtype=torch.bfloat16)
        module.scale = nn.Parameter(torch.tensor(1.5))
        with torch.no_grad():
            module.up.weight[3] = 0.0
    return HostWeights(module.requires_grad_(requires_grad=False))


def check_direction(
    direction: Direction, spec: DirectionSpec, base: BaseWeights | None = None, *, drawn: bool | None = None
) -> None:
    """Check the contract of `safebasin.protocols.Direction` for one recipe.

    Two preparations give the same d̂ bit for bit, in whatever order tensors are asked for and into whatever blocks
    their rows are cut; d̂ is finite, wide enough and of the tensor's shape; its norm is what `spec.normalize` says, or
    0 where nothing of a tensor was drawn; tensors that `spec.only` leaves out do not move, be it one pattern or two,
    nor do excluded ones if the direction is drawn; a second one that is to be orthogonal to a first is; θ₀ is not
    written to; and α = 0 is θ₀ bit for bit through `safebasin.weights.stream`.

    Args:
        direction: the direction.
        spec: the recipe; its `kind` need not be in the catalogue.
        base: θ₀; `small_weights()` if None. A direction to a target needs the θ₀ that the target fits.
        drawn: whether the direction is drawn around θ₀, so that excluded tensors stay; if None, where the recipe has
            no target.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    from safebasin.weights.stream import digest, weights_at

    base = base if base is not None else small_weights()
    is_drawn = spec.target is None if drawn is None else drawn
    before = digest(weights_at(base, Point(), {}))
    delta = direction.prepare(spec, base)
    whole = {name: _whole(delta, base, name) for name in base.names}
    moved = {name: rows for name, rows in whole.items() if rows is not None}
    does_move = any(bool(rows.any()) for rows in moved.values())
    remedy = "It leaves all of θ₀ alone."
    claim(does_move, f"direction {spec.label()!r}", "one that moves a tensor", list(base.names), remedy)
    _check_left_alone(spec, base, moved, is_drawn=is_drawn)
    for name, rows in moved.items():
        _check_rows(base, name, rows)
    _check_addressing(delta, direction.prepare(spec, base), base, whole)
    _check_norm(spec, base, moved)
    if spec.only is None:
        _check_patterns(direction, spec, base, moved)
        check_orthogonal(direction, spec, base, delta, is_drawn=is_drawn)
    at_zero = digest(weights_at(base, Point(terms=((spec, 0.0),)), {spec: delta}))
    claim(
        at_zero == before,
        "the point at α = 0",
        "θ₀ bit for bit",
        "other weights",
        "Return finite rows of the tensor's shape.",
    )
    after = digest(weights_at(base, Point(), {}))
    claim(
        after == before,
        "θ₀",
        "left as it is",
        "other weights after prepare() and rows()",
        "base.rows() may be a view: never write to it.",
    )


def check_blocks(delta: Delta, again: Delta, base: BaseWeights) -> None:
    """Check that two equal moves of θ₀ are finite, of its shapes, and the same in any order and blocks.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    whole = {name: _whole(delta, base, name) for name in base.names}
    for name, rows in whole.items():
        if rows is not None:
            _check_rows(base, name, rows)
    _check_addressing(delta, again, base, whole)


def _n_rows(base: BaseWeights, name: str) -> int:
    shape = base.shape(name)
    return shape[0] if shape else 1


def _whole(delta: Delta, base: BaseWeights, name: str) -> torch.Tensor | None:
    """d̂ of a tensor, as a copy: what a later call writes into its own buffers must not change it."""
    rows = delta.rows(name, 0, _n_rows(base, name))
    return None if rows is None else rows.clone()


def _check_left_alone(
    spec: DirectionSpec, base: BaseWeights, moved: Mapping[str, torch.Tensor], *, is_drawn: bool
) -> None:
    for name in moved:
        claim(spec.moves(name), f"d̂ of {name}", f"None (only={spec.only!r} leaves it out)", "rows", _HONOR)
        reason = base.excluded().get(name)
        claim(
            not is_drawn or reason is None,
            f"d̂ of {name}",
            f"None ({reason})",
            "rows",
            "A drawn direction leaves base.excluded() alone.",
        )


def _check_patterns(
    direction: Direction, spec: DirectionSpec, base: BaseWeights, moved: Mapping[str, torch.Tensor]
) -> None:
    """A recipe with two patterns, one of them from some dot on: of what moved, these move, and nothing else."""
    first, *_, last = [*moved, *moved]
    narrow = replace(spec, only=f"{first.partition('.')[2] or first}, {last}")
    delta = direction.prepare(narrow, base)
    for name in base.names:
        rows = delta.rows(name, 0, _n_rows(base, name))
        if rows is None:
            is_meant = name not in moved or not narrow.moves(name)
            claim(is_meant, f"d̂ of {name}", f"rows (only={narrow.only!r} lets it move)", None, _HONOR)
        else:
            claim(narrow.moves(name), f"d̂ of {name}", f"None (only={narrow.only!r} leaves it out)", "rows", _HONOR)


def _check_rows(base: BaseWeights, name: str, rows: torch.Tensor) -> None:
    import torch

    claim(
        tuple(rows.shape) == base.shape(name),
        f"shape of d̂ of {name}",
        f"{base.shape(name)}",
        tuple(rows.shape),
        "Rows start:stop keep all other axes; a scalar keeps its own shape.",
    )
    claim(
        rows.dtype in (torch.float32, torch.float64),
        f"dtype of d̂ of {name}",
        "float32 or float64",
        rows.dtype,
        "The stream casts once, at the end.",
    )
    claim(torch.isfinite(rows).all(), f"d̂ of {name}", "finite", "NaN or inf", "Mind tensors and rows whose norm is 0.")


def _check_addressing(delta: Delta, again: Delta, base: BaseWeights, whole: Mapping[str, torch.Tensor | None]) -> None:
    """The other preparation is asked for the last tensor first; then blocks of both are asked for out of order."""
    for name in reversed(base.names):
        _same(
            whole[name],
            _whole(again, base, name),
            f"d̂ of {name}",
            "the same from a second preparation, in any order",
            "Derive every draw from (seed, index, name) alone.",
        )
    for name in base.names:
        for prepared in (delta, again):
            _check_blocks(prepared, name, _n_rows(base, name), whole[name])


def _check_blocks(delta: Delta, name: str, n: int, expected_rows: torch.Tensor | None) -> None:
    import torch

    for cuts in _cuts(n):
        blocks = [(start, delta.rows(name, start, stop)) for start, stop in reversed(cuts)]
        found = [rows.clone() for _, rows in reversed(blocks) if rows is not None]
        got = torch.cat(found) if found and found[0].dim() else None
        if expected_rows is not None and not expected_rows.dim():
            got = found[0] if found else None
        _same(
            expected_rows,
            got,
            f"d̂ of {name} in blocks {cuts[:2]}…",
            "the rows of the whole tensor, bit for bit",
            "Number draws by element or by row, never by call.",
        )


def _cuts(n: int) -> Iterator[Sequence[tuple[int, int]]]:
    """Ways to cut n rows: in halves, and unevenly (1, 7, then the rest)."""
    for inner in ((n // 2,), (1, 8)):
        edges = sorted({0, *(min(i, n) for i in inner), n})
        yield list(pairwise(edges))


def _same(wanted: torch.Tensor | None, got: torch.Tensor | None, what: str, constraint: str, remedy: str) -> None:
    import torch

    is_same = (wanted is None) == (got is None) and (wanted is None or got is None or torch.equal(wanted, got))
    shown = "None" if got is None else "rows where there were none" if wanted is None else "other rows"
    claim(is_same, what, constraint, shown, remedy)


def _check_norm(spec: DirectionSpec, base: BaseWeights, moved: Mapping[str, torch.Tensor]) -> None:
    """‖d̂‖ = ‖θ‖ per tensor, per row, or for the whole, or 0 where none of it moves; `none` promises nothing."""
    from safebasin.weights.directions import is_fused_experts

    if spec.normalize == "none":
        return
    if spec.normalize == "model":
        held = math.sqrt(math.fsum(_norm(base.rows(n, 0, _n_rows(base, n))) ** 2 for n in moved))
        drawn = math.sqrt(math.fsum(_norm(rows) ** 2 for rows in moved.values()))
        _check_equal("the whole of d̂", drawn, held, spec)
        return
    for name, rows in moved.items():
        theta = base.rows(name, 0, _n_rows(base, name))
        by_row = is_fused_experts(name, base.shape(name)) or (spec.normalize == "filter" and rows.dim() > 1)
        if not by_row:
            _check_equal(f"d̂ of {name}", _norm(rows), _norm(theta), spec)
            continue
        for row in range(len(rows)):
            _check_equal(f"row {row} of d̂ of {name}", _norm(rows[row]), _norm(theta[row]), spec)


def _norm(rows: torch.Tensor) -> float:
    return float(rows.double().norm())


def _check_equal(what: str, norm: float, wanted: float, spec: DirectionSpec) -> None:
    claim(
        norm == 0 or math.isclose(norm, wanted, rel_tol=_TOLERANCE, abs_tol=1e-12),
        f"norm of {what}",
        f"that of θ₀, {wanted:.6g} (normalize={spec.normalize!r})",
        norm,
        "Scale in prepare(), in float64; or refuse that normalization with a StudyError.",
    )
