"""Triton kernels for an accelerator: the words of Philox4x64-10 looked up in the table of `noise`, and θ₀ + Σ αᵢ·d̂ᵢ.

Either is one pass over memory. The noise is integers, so its bits are those of the host by construction, and Triton's
interpreter shows that on a CPU. The sum is a product and a sum, each rounded by itself as in `sums`: a compiler would
fuse the two, which `enable_fp_fusion=False` forbids; the interpreter never fuses and cuts bfloat16 off, so that it
shows neither. The tests marked `gpu` do, and instructions compiled without a GPU. `accelerated` tries both kernels on
the device before it uses them, and alone imports this module: Triton is no dependency.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from safebasin.weights import noise

__all__ = ["looked_up", "summed"]

_BLOCK = tl.constexpr(noise.BLOCK)
_COUNTERS = 128
"""Of a program, each of 16 elements."""
_ELEMENTS = 2048
"""Of a program that sums."""


def looked_up(
    key: tuple[int, int], start: int, stop: int, *, table: torch.Tensor, least_chosen: int | None = None
) -> torch.Tensor:
    """Elements `start:stop` of a tensor's noise, float32 on the device of the table.

    Args:
        key: of the tensor, two words.
        start: first element.
        stop: one past the last element.
        table: the 65,536 quantiles, float32.
        least_chosen: of sparse noise, the first 32-bit number by which an element does not move.
    """
    out = torch.empty(stop - start, dtype=torch.float32, device=table.device)
    n_programs = triton.cdiv(-(-stop // 16) - start // 16, _COUNTERS)
    if start < stop:
        with torch.cuda.device_of(out):  # Triton launches on the current device
            _look_up[(n_programs,)](  # pyright: ignore[reportIndexIssue]
                out, table, *key, start, stop, least_chosen or 0,
                is_sparse=least_chosen is not None, n_counters=_COUNTERS, enable_fp_fusion=False,
            )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["key0", "key1", "start", "stop", "least_chosen"])
def _look_up(
    out,
    table,
    key0: tl.uint64,
    key1: tl.uint64,
    start: tl.int64,
    stop: tl.int64,
    least_chosen: tl.int64,
    is_sparse: tl.constexpr,
    n_counters: tl.constexpr,
):
    first = start // 16 + tl.program_id(0).to(tl.int64) * n_counters
    at = first * 16 + tl.arange(0, n_counters * 16)
    is_asked = (at >= start) & (at < stop)
    drawn = tl.load(table + _numbers(key0, key1, first, n_counters, 16, 0))
    if is_sparse:
        chosen = _numbers(key0, key1, first * 2, n_counters * 2, 32, _BLOCK // 16)
        drawn = tl.where(chosen < least_chosen, drawn, 0.0)
    tl.store(out + (at - start), drawn, mask=is_asked)


@triton.jit
def _numbers(key0, key1, first, n_counters: tl.constexpr, width: tl.constexpr, after: tl.constexpr):
    """Numbers of `width` bits, int64, of counters in a row: `after` counters of each block come before its first."""
    per_block: tl.constexpr = _BLOCK * width // 256
    group = first + tl.arange(0, n_counters)
    low = (group % per_block + (after + 1)).to(tl.uint64)  # numpy counts up before it draws
    block, zero = (group // per_block).to(tl.uint64), tl.zeros_like(low)
    w0, w1, w2, w3 = tl.philox_impl(low, zero, block, zero, key0.to(tl.uint64), key1.to(tl.uint64))
    words = tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3))  # w0 w1 w2 w3 of a counter, then the next
    each: tl.constexpr = 64 // width
    shifts = (tl.arange(0, each) * width).to(tl.uint64)
    parts = (words[:, None] >> shifts[None, :]) & ((1 << width) - 1)
    return tl.reshape(parts, [n_counters * 4 * each]).to(tl.int64)


def summed(rows: torch.Tensor, moves: Sequence[tuple[float, torch.Tensor]], out: torch.Tensor) -> torch.Tensor:
    """Write rows + Σ α·move into `out` in one pass, and return it.

    Args:
        rows: of θ₀, float32 or bfloat16.
        moves: α and rows of d̂ in float32, one or two pairs.
        out: contiguous, of the shape of `rows`, float32 or bfloat16.
    """
    (alpha, move), (beta, other) = (*moves, *moves)[:2]
    n = rows.numel()
    if n:
        with torch.cuda.device_of(out):
            _sum[(triton.cdiv(n, _ELEMENTS),)](  # pyright: ignore[reportIndexIssue]
                out.view(-1), rows.contiguous(), move.contiguous(), other.contiguous(), float(alpha), float(beta), n,
                has_two=len(moves) == 2, n_elements=_ELEMENTS, enable_fp_fusion=False,
            )  # fmt: skip
    return out


@triton.jit
def _sum(
    out,
    rows,
    move,
    other,
    alpha: tl.float32,
    beta: tl.float32,
    n: tl.int64,
    has_two: tl.constexpr,
    n_elements: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * n_elements + tl.arange(0, n_elements)
    is_there = at < n
    total = tl.load(move + at, mask=is_there) * alpha + tl.load(rows + at, mask=is_there).to(tl.float32)
    if has_two:
        total = tl.load(other + at, mask=is_there) * beta + total
    tl.store(out + at, total.to(out.dtype.element_ty), mask=is_there)
