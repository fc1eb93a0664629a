"""Leading singular values of a change, and how many directions it has, without a whole decomposition."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["LEADING", "Spectrum", "spectrum"]

LEADING = 8
"""Singular values that are shown."""
_OVERSAMPLING = 8
_PASSES = 4
"""Of subspace iteration: the leading values are then right to a part in a thousand on all but flat spectra."""
_EXACT = 128
"""Shorter side up to which a matrix is decomposed whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """Of one matrix."""

    norm: float
    """‖A‖_F."""
    leading: tuple[float, ...]
    """Largest singular values, falling; as many as the matrix has, at most `LEADING`."""

    @property
    def stable_rank(self) -> float:
        """‖A‖²_F / ‖A‖²₂ (Rudelson and Vershynin 2007): at most the rank, and little moved by small values."""
        return self.norm**2 / self.leading[0] ** 2


def spectrum(matrix: torch.Tensor, *, seed: int = 0) -> Spectrum | None:
    """Leading singular values of a matrix; None where it is 0.

    Small matrices are decomposed whole, others by randomized subspace iteration (Halko, Martinsson and Tropp 2011,
    algorithm 4.4), which never gives a value above the true one.

    Args:
        matrix: (rows, columns), finite.
        seed: of the random start.
    """
    a = matrix.float()
    scale = float(a.abs().max()) if a.numel() else 0.0
    if scale == 0:
        return None
    a = a / scale  # squares of tiny changes must not vanish in float32
    norm = float(a.double().square().sum().sqrt())
    values = torch.linalg.svdvals(a) if min(a.shape) <= _EXACT else _leading(a, seed)
    return Spectrum(norm=norm * scale, leading=tuple(scale * float(v) for v in values[:LEADING]))


def _leading(a: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(a.shape[1], LEADING + _OVERSAMPLING, generator=generator, dtype=a.dtype)
    q = torch.linalg.qr(a @ start).Q
    for _ in range(_PASSES):
        q = torch.linalg.qr(a.T @ q).Q
        q = torch.linalg.qr(a @ q).Q
    return torch.linalg.svdvals(q.T @ a)
