"""From both sets of rows to what is chosen: weights by score, or output directions; and how far the sets overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from safebasin.edits.attribution.calibration import Calibration, Positions
from safebasin.edits.attribution.matrices import Matrix
from safebasin.edits.attribution.moments import moments
from safebasin.edits.attribution.ranks import leading, random_leading, removed
from safebasin.edits.attribution.scores import Score, scores
from safebasin.edits.attribution.sets import Compare, count, drawn, only_first, top
from safebasin.errors import StudyError
from safebasin.weights.blocks import block_patterns
from safebasin.weights.noise import elements
from safebasin.weights.selection import matches

__all__ = ["Choice", "Chosen", "choose"]


class Choice(NamedTuple):
    """The settings of a choice; see `attribution`."""

    score: str
    safety: float
    utility: float
    compare: Compare
    positions: Positions
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The choice in each matrix, by its name."""

    unit: str
    """`weights` or `ranks`."""
    counts: Mapping[str, int]
    """How many of them."""
    sizes: Mapping[str, int]
    """Of how many."""
    left: Mapping[str, int]
    """How many stay."""
    shared: Mapping[str, tuple[float, float]]
    """Of weights |A ∩ B| and |A ∪ B| of the top shares of both sets; of ranks ‖UᵀS‖² and the smaller rank."""
    masks: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """Of weights: (out, in), bool."""
    removed: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """Of ranks: ΔW, (out, in); matrices of which none is removed are left out."""

    @property
    def count(self) -> int:
        """The number over all matrices."""
        return sum(self.counts.values())

    @property
    def size(self) -> int:
        """Of how many over all matrices."""
        return sum(self.sizes.values())

    def described(self) -> dict[str, object]:
        """As JSON: numbers chosen, and overlap by matrix and by layer."""
        return {
            "unit": self.unit,
            "chosen": self.count,
            "among": self.size,
            "chosen_by_matrix": dict(self.counts),
            "overlap": {name: _ratio([pair]) for name, pair in self.shared.items()},
            "overlap_by_layer": self._layers(),
        }

    def _layers(self) -> list[dict[str, object]]:
        """Overlap pooled over attention, and over MLP, of each layer; empty where the names show no layers."""
        found: dict[str, dict[str, object]] = {}
        for part in ("attention", "mlp"):
            try:
                patterns = block_patterns(self.shared, part)
            except StudyError:
                continue
            for label, pattern in patterns:
                inside = [pair for name, pair in self.shared.items() if matches(name, pattern)]
                found.setdefault(label.split()[-1], {})[part] = _ratio(inside)
        return [{"layer": int(number), **parts} for number, parts in sorted(found.items(), key=lambda f: int(f[0]))]


def choose(model: nn.Module, matrices: Sequence[Matrix], sets: Calibration, asked: Choice, *, seed: int) -> Chosen:
    """Choose by score or by rank.

    Raises:
        ModelError: where a score or a moment is not finite.
    """
    return _ranks(model, matrices, sets, asked, seed) if asked.score == "actsvd" else _weights(
        model, matrices, sets, asked, seed
    )  # fmt: skip


def _weights(model: nn.Module, matrices: Sequence[Matrix], sets: Calibration, asked: Choice, seed: int) -> Chosen:
    def scored(rows: Any) -> dict[str, torch.Tensor]:
        return scores(model, matrices, rows, cast("Score", asked.score), asked.positions)

    first = {name: top(values, asked.safety, asked.compare) for name, values in scored(sets.safety).items()}
    masks, shared = dict[str, torch.Tensor](), dict[str, tuple[float, float]]()
    for name, values in scored(sets.utility).items():
        same = top(values, asked.safety, asked.compare)
        shared[name] = float((first[name] & same).sum()), float((first[name] | same).sum())
        mask = only_first(first[name], top(values, asked.utility, asked.compare))
        masks[name] = drawn(mask, asked.compare, seed=seed, name=name) if asked.target == "random" else mask
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    sizes = {name: mask.numel() for name, mask in masks.items()}
    return Chosen(
        unit="weights", counts=counts, sizes=sizes, left={n: sizes[n] - counts[n] for n in counts}, shared=shared,
        masks=masks,
    )  # fmt: skip


def _ranks(model: nn.Module, matrices: Sequence[Matrix], sets: Calibration, asked: Choice, seed: int) -> Chosen:
    safe = moments(model, matrices, sets.safety, asked.positions, full=True)
    useful = moments(model, matrices, sets.utility, asked.positions, full=True)
    counts, sizes, left = dict[str, int](), dict[str, int](), dict[str, int]()
    gone, shared = dict[str, torch.Tensor](), dict[str, tuple[float, float]]()
    for matrix in matrices:
        name, size = matrix.name, matrix.weight.shape[0]
        ranks = count(asked.safety, size), count(asked.utility, size)
        directions = leading(matrix.weight, safe[name], ranks[0])
        kept = leading(matrix.weight, useful[name], ranks[1])
        shared[name] = float((kept.T @ directions).square().sum()), float(min(ranks))
        if asked.target == "random":
            directions = random_leading(_noise(seed, name, size, ranks[0]))
        counts[name], sizes[name] = ranks[0], size
        left[name] = max(size - ranks[0], ranks[1])
        if ranks[0] > 0:
            gone[name] = removed(matrix.weight, directions, kept)
    return Chosen(unit="ranks", counts=counts, sizes=sizes, left=left, shared=shared, removed=gone)


def _noise(seed: int, name: str, rows: int, columns: int) -> torch.Tensor:
    return torch.from_numpy(elements(seed, 0, name, 0, rows * columns, version=1)).reshape(rows, columns)


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    whole = sum(pair[1] for pair in pairs)
    return sum(pair[0] for pair in pairs) / whole if whole else None
