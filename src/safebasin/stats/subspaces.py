"""Where a change of a matrix lies beside it: column space, what the row space answers to; and how far clusters part.

The measures of Jain et al. 2024, arXiv 2407.10264, by the paper's definitions; its scripts compute others (they take
the tuned matrix for the change, center the means, keep 90 % of the energy). Plain arrays in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebasin.records import Estimate
from safebasin.stats.intervals import RESAMPLES, resamples
from safebasin.stats.landscape import Array

__all__ = ["ENERGY", "Columns", "columns", "empirical_rank", "estimate_gap", "estimate_mean", "firing", "separation"]

ENERGY = 0.99
"""Share of the squared Frobenius norm that the empirical rank keeps (§5)."""
_TOP = 15
"""Right singular vectors of a change that are asked (§5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The share of a change that writes outside the column space of its matrix."""

    rank: int
    """Empirical rank of the matrix."""
    rank_change: int
    """Empirical rank of the change."""
    sines: tuple[float, ...]
    """Of each of the change's leading left singular vectors, the sine of its angle to the matrix's column space; 0 is
    inside, 1 outside."""
    chance: float
    """The sine of a random vector, √(1 − rank / rows): what the sines are to be compared with."""

    @property
    def sine(self) -> float:
        """Their mean."""
        return float(np.mean(self.sines))


def empirical_rank(values: Array, energy: float = ENERGY) -> int:
    """The fewest leading singular values that hold a share of the squared norm; 0 where all are 0.

    Args:
        values: singular values, falling.
        energy: the share, 0 to 1.
    """
    held: Array = np.cumsum(np.square(np.asarray(values, dtype=np.float64)), dtype=np.float64)
    total = float(held[-1]) if held.size else 0.0
    # A hair below the share: rounding must not ask for one value more than hold it.
    return int(np.searchsorted(held, energy * total * (1 - 1e-12)) + 1) if total > 0 else 0


def columns(matrix: Array, change: Array) -> Columns | None:
    """Angles of a change to the column space of its matrix; None where nothing changed.

    Args:
        matrix: (rows, columns); a layer's weight as torch holds it, rows are outputs.
        change: of the same shape.

    Returns:
        With sin θᵢ = ‖(I − P)ũᵢ‖, P the projection on the leading left singular vectors of `matrix`, ũᵢ those of
        `change` (§5, column space).
    """
    left, values, _ = np.linalg.svd(np.asarray(matrix, dtype=np.float64), full_matrices=False)
    written, sizes, _ = np.linalg.svd(np.asarray(change, dtype=np.float64), full_matrices=False)
    rank, rank_change = empirical_rank(values), empirical_rank(sizes)
    if rank_change == 0:
        return None
    space, vectors = left[:, :rank], written[:, :rank_change]
    outside = vectors - space @ (space.T @ vectors)
    sines = np.minimum(np.linalg.norm(outside, axis=0), 1.0)
    return Columns(
        rank=rank,
        rank_change=rank_change,
        sines=tuple(map(float, sines)),
        chance=math.sqrt(max(0.0, 1 - rank / matrix.shape[0])),
    )


def firing(change: Array, inputs: Array, top: int = _TOP) -> Array:
    """Measure how strongly a change answers to each input: the mean of |σᵢ vᵢᵀa| over its leading right singular
    vectors.

    Args:
        change: (rows, columns).
        inputs: (n, columns); each is brought to unit norm, a row of zeros stays one.
        top: singular vectors, at most.

    Returns:
        Shape (n,).
    """
    _, sizes, right = np.linalg.svd(np.asarray(change, dtype=np.float64), full_matrices=False)
    found = np.asarray(inputs, dtype=np.float64)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    units = found / np.where(norms > 0, norms, 1.0)
    return np.abs(units @ right[:top].T * sizes[:top]).mean(axis=1)


def separation(states: Array, harmful: NDArray[np.bool_], *, seed: int = 0) -> Array:
    """Measure how much nearer each state is to the mean of benign ones than to that of harmful ones: τ (§5).

    τ(x) = ‖x − μ_harmful‖ − ‖x − μ_benign‖, positive where x lies with the benign. The means are those of the half that
    x is not in: with its own among them every state would lean to its own side, also where nothing tells the two apart.

    Args:
        states: (n, width).
        harmful: (n,), whether a state is of a harmful prompt; two or more of each kind.
        seed: of the halves.

    Returns:
        Shape (n,), in the unit of the states.
    """
    given, half = np.asarray(states, dtype=np.float64), np.zeros(len(states), dtype=bool)
    rng = np.random.default_rng(seed)
    for kind in (harmful, ~harmful):
        places = rng.permutation(np.flatnonzero(kind))
        half[places[: len(places) // 2]] = True
    found = np.empty(len(states))
    for mine in (half, ~half):
        means = [given[~mine & kind].mean(axis=0) for kind in (harmful, ~harmful)]
        far, near = (np.linalg.norm(given[mine] - mean, axis=1) for mean in means)
        found[mine] = far - near
    return found


def estimate_mean(values: Array, *, level: float = 0.95, seed: int = 0) -> Estimate:
    """The mean over prompts, with a percentile bootstrap over them; none for fewer than two, or where all are alike.

    Args:
        values: (n,), finite.
        level: coverage.
        seed: of the resampling.
    """
    replicates = resamples(len(values), seed) @ values
    return _estimate(float(values.mean()), replicates, [values], level, "mean over prompts")


def estimate_gap(first: Array, second: Array, *, level: float = 0.95, seed: int = 0) -> Estimate:
    """The mean over some prompts minus that over others, both drawn again; no interval where either is fewer than two,
    or all alike.
    """
    replicates = resamples(len(first), seed) @ first - resamples(len(second), seed + 1) @ second
    value = float(first.mean() - second.mean())
    return _estimate(value, replicates, [first, second], level, "difference of means over prompts")


def _estimate(value: float, replicates: Array, samples: Sequence[Array], level: float, what: str) -> Estimate:
    n = min(map(len, samples))
    if n < 2 or any(float(np.ptp(values)) == 0 for values in samples):
        # These values have no range, so that alike ones bound nothing.
        why = "" if n < 2 else ", since all of a kind are alike"
        return Estimate(value=value, level=level, n=n, method=f"{what}; no interval is claimed{why}")
    low, high = (float(np.quantile(replicates, share)) for share in ((1 - level) / 2, (1 + level) / 2))
    method = f"{what}, percentile bootstrap ({RESAMPLES} resamples)"
    return Estimate(value=value, low=low, high=high, level=level, n=n, method=method)
