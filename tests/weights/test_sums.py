"""Sums in pieces: the bits of the sum written out, in any dtype, whatever the length."""

from __future__ import annotations

import pytest
import torch

from safebasin.weights import sums
from safebasin.weights.sums import summed


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_PIECE", 7)


def written_out(rows: torch.Tensor, moves: list[tuple[float, torch.Tensor]]) -> torch.Tensor:
    is_wide = rows.dtype == torch.float64 or any(move.dtype == torch.float64 for _, move in moves)
    wide = torch.float64 if is_wide else torch.float32
    total = rows.to(wide)
    for alpha, move in moves:
        total = (move.to(wide) * alpha).reshape(rows.shape).add_(total)
    return total.to(rows.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("of_moves", [[torch.float32], [torch.float32] * 2, [torch.float64, torch.float32]])
@pytest.mark.parametrize("shape", [(5, 41), (3,), ()])
def test_pieces_have_the_bits_of_the_whole(
    dtype: torch.dtype, of_moves: list[torch.dtype], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    rows = torch.randn(shape).to(dtype)
    moves = [(0.3 - i, torch.randn(shape, dtype=one)) for i, one in enumerate(of_moves)]
    out = torch.empty(shape, dtype=dtype)
    assert summed(rows, moves, out) is out
    as_bytes = [t.reshape(-1).view(torch.uint8) for t in (out, written_out(rows, moves))]
    assert torch.equal(*as_bytes)


def test_nothing_that_is_given_is_written_to() -> None:
    rows, move = torch.randn(40), torch.randn(40)
    before = rows.clone(), move.clone()
    summed(rows, [(0.5, move), (1.0, move)], torch.empty(40))
    assert torch.equal(rows, before[0])
    assert torch.equal(move, before[1])


def test_it_writes_in_another_dtype_where_asked() -> None:
    rows, move = torch.randn(20), torch.randn(20)
    out = summed(rows, [(0.5, move)], torch.empty(20, dtype=torch.bfloat16))
    assert torch.equal(out, written_out(rows, [(0.5, move)]).bfloat16())
