"""Noise and sums where a tensor lies: by Triton's kernels on CUDA, else by torch's operations; the bits are the same.

Each kernel is tried on the device before it is used. One that fails there (Triton wants a C compiler), or gives other
bits than torch's operations, is left alone, and the log says so. Triton comes with torch's CUDA builds for Linux and is
imported when it is first wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec

import torch

from safebasin.weights import philox, sums
from safebasin.weights.noise import BLOCK, key_words, least_chosen

__all__ = ["elements", "summed"]

_log = logging.getLogger(__name__)
_KERNELS_ON = ("cuda",)
"""Kinds of device for which there are kernels."""
_SUMMED = (torch.float32, torch.bfloat16)
"""Dtypes of θ₀ that the kernel sums."""
_ALPHAS = (0.3, -0.7)
_SEED = 0, 0, "a kernel is tried"


def elements(
    seed: int, index: int, name: str, start: int, stop: int, *, device: torch.device, density: float = 1.0
) -> torch.Tensor:
    """Elements of the noise of a tensor, float32 on a device; arguments and bits are those of `philox.elements`."""
    if _draws(device, density < 1):
        return _drawn_by_kernel(seed, index, name, start, stop, device, density)
    return philox.elements(seed, index, name, start, stop, device=device, density=density)


def summed(rows: torch.Tensor, moves: Sequence[tuple[float, torch.Tensor]], out: torch.Tensor) -> torch.Tensor:
    """Write rows + Σ α·move into `out`, and return it; arguments and bits are those of `sums.summed`."""
    is_served = rows.dtype == out.dtype and all(move.dtype == torch.float32 for _, move in moves)
    if is_served and len(moves) <= len(_ALPHAS) and _sums(rows.device, rows.dtype, len(moves)):
        return _summed_by_kernel(rows, moves, out)
    return sums.summed(rows, moves, out)


def _drawn_by_kernel(
    seed: int, index: int, name: str, start: int, stop: int, device: torch.device, density: float
) -> torch.Tensor:
    from safebasin.weights import triton_kernels

    key, least = key_words(philox.VERSION, seed, index, name), least_chosen(density) if density < 1 else None
    return triton_kernels.looked_up(key, start, stop, table=philox.table(device), least_chosen=least)


def _summed_by_kernel(
    rows: torch.Tensor, moves: Sequence[tuple[float, torch.Tensor]], out: torch.Tensor
) -> torch.Tensor:
    from safebasin.weights import triton_kernels

    return triton_kernels.summed(rows, moves, out)


@cache
def _draws(device: torch.device, is_sparse: bool) -> bool:
    density, (start, stop) = 0.3 if is_sparse else 1.0, (17, BLOCK + 5_000)

    def is_right() -> bool:
        found = _drawn_by_kernel(*_SEED, start, stop, device, density)
        return _same_bits(found, philox.elements(*_SEED, start, stop, device=device, density=density))

    return device.type in _KERNELS_ON and _passes(is_right, "noise", device)


@cache
def _sums(device: torch.device, dtype: torch.dtype, n_moves: int) -> bool:
    def is_right() -> bool:
        rows, moves = _hard_to_sum(device, dtype, n_moves)
        return _same_bits(
            _summed_by_kernel(rows, moves, torch.empty_like(rows)), sums.summed(rows, moves, torch.empty_like(rows))
        )

    return device.type in _KERNELS_ON and dtype in _SUMMED and _passes(is_right, f"sums in {dtype}", device)


def _hard_to_sum(
    device: torch.device, dtype: torch.dtype, n_moves: int
) -> tuple[torch.Tensor, list[tuple[float, torch.Tensor]]]:
    """Rows and moves that all but cancel in their second half: a product fused with a sum shows there in any dtype."""
    n = BLOCK // 2 - 3
    seed, index, name = _SEED
    drawn = [philox.elements(seed, index + i, name, 0, 2 * n, device=device) for i in range(n_moves + 1)]
    moves = list(zip(_ALPHAS, drawn[1:], strict=False))
    cancelling = sum(-alpha * move[n:] for alpha, move in moves)
    return torch.cat([drawn[0][:n], torch.as_tensor(cancelling)]).to(dtype), moves


def _same_bits(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.equal(found.view(torch.uint8), expected.view(torch.uint8))


def _passes(is_right: Callable[[], bool], what: str, device: torch.device) -> bool:
    if find_spec("triton") is None:
        return False
    try:
        if is_right():
            return True
        why = "gives other bits than torch"
    except Exception as problem:  # whatever a compiler, a linker or a driver may raise
        why = f"fails ({type(problem).__name__}: {problem})"
    _log.warning("Triton's kernel for %s %s on %s: torch's operations take its place.", what, why, device)
    return False
