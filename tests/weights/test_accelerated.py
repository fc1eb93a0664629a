"""Which of two draws and sums: kernels that were tried and were right, else torch. Stand-ins take a kernel's place."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from safebasin import weights
from safebasin.weights import accelerated, noise, philox, sums

CPU = torch.device("cpu")


class Kernels(SimpleNamespace):
    """Torch's operations under the names of the kernels; each call is counted."""

    def __init__(self) -> None:
        super().__init__(n_drawn=0, n_summed=0)

    def looked_up(self, key, start, stop, *, table, least_chosen=None):
        self.n_drawn += 1
        density = 1.0 if least_chosen is None else least_chosen / 2**32
        # by position, since stand-ins know no name: the key must be that of the name that is asked for
        name = next(n for n in ("a kernel is tried", "w") if noise.key_words(2, 0, 0, n) == key)
        return philox.elements(0, 0, name, start, stop, device=table.device, density=density)

    def summed(self, rows, moves, out):
        self.n_summed += 1
        return sums.summed(rows, moves, out)


class Fused(Kernels):
    """A compiler that rounds once where it should twice."""

    def summed(self, rows, moves, out):
        total = rows.double()
        for alpha, move in moves:
            total = (total + move.double() * float(np.float32(alpha))).float().double()
        return out.copy_(total.to(out.dtype))


class WithoutCompiler(Kernels):
    def looked_up(self, *_, **__):
        raise RuntimeError("Failed to find C compiler.")

    summed = looked_up


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch):
    """Puts kernels in place, as if the processor were a device that they serve."""
    for tried in (accelerated._draws, accelerated._sums):
        tried.cache_clear()

    def put(kernels: Kernels) -> Kernels:
        monkeypatch.setattr(accelerated, "_KERNELS_ON", ("cpu",))
        monkeypatch.setattr(accelerated, "find_spec", lambda _: object())
        monkeypatch.setitem(sys.modules, "safebasin.weights.triton_kernels", kernels)
        monkeypatch.setattr(weights, "triton_kernels", kernels, raising=False)
        return kernels

    yield put
    for tried in (accelerated._draws, accelerated._sums):
        tried.cache_clear()


def sum_up(dtype: torch.dtype = torch.float32, n_moves: int = 1, of_moves: torch.dtype = torch.float32) -> bool:
    """Whether a sum has the bits that it has by torch's operations."""
    torch.manual_seed(1)
    rows = torch.randn(3, 50).to(dtype)
    moves = [(0.4 - i, torch.randn(3, 50).to(of_moves)) for i in range(n_moves)]
    found = accelerated.summed(rows, moves, torch.empty_like(rows))
    return torch.equal(found, sums.summed(rows, moves, torch.empty_like(rows)))


@pytest.mark.parametrize("density", [1.0, 0.25])
def test_a_kernel_that_is_right_draws(place, density: float) -> None:
    kernels = place(Kernels())
    for _ in range(2):
        found = accelerated.elements(0, 0, "w", 5, 99, device=CPU, density=density)
        assert np.array_equal(found.numpy(), noise.elements(0, 0, "w", 5, 99, version=2, density=density))
    assert kernels.n_drawn == 3, "tried once, used twice"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_moves", [1, 2])
def test_a_kernel_that_is_right_sums(place, dtype: torch.dtype, n_moves: int) -> None:
    kernels = place(Kernels())
    assert sum_up(dtype, n_moves)
    assert sum_up(dtype, n_moves)
    assert kernels.n_summed == 3


@pytest.mark.parametrize(
    "case", [(torch.float16, 1), (torch.float64, 1), (torch.float32, 3), (torch.float32, 1, torch.float64)]
)
def test_what_no_kernel_serves_is_summed_by_torch(place, case: tuple) -> None:
    kernels = place(Kernels())
    assert sum_up(*case)
    assert kernels.n_summed == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_moves", [1, 2])
def test_a_kernel_that_fuses_is_found_out(
    place, dtype: torch.dtype, n_moves: int, caplog: pytest.LogCaptureFixture
) -> None:
    place(Fused())
    assert sum_up(dtype, n_moves)
    assert "gives other bits than torch on cpu: torch's operations take its place" in caplog.text


def test_without_a_compiler_torch_takes_a_kernels_place(place, caplog: pytest.LogCaptureFixture) -> None:
    place(WithoutCompiler())
    for _ in range(2):
        found = accelerated.elements(0, 0, "w", 0, 99, device=CPU)
        assert np.array_equal(found.numpy(), noise.elements(0, 0, "w", 0, 99, version=2))
    assert sum_up()
    assert len(caplog.messages) == 2, "one for noise and one for sums, however often they are asked for"
    assert "Failed to find C compiler." in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_cuda_draws_by_a_kernel_what_the_host_draws(density: float) -> None:
    pytest.importorskip("triton")
    device = torch.device("cuda")
    assert accelerated._draws(device, density < 1)
    found = accelerated.elements(3, 1, "w", 17, 10**6, device=device, density=density).cpu()
    assert np.array_equal(found.numpy(), noise.elements(3, 1, "w", 17, 10**6, version=2, density=density))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_moves", [1, 2])
def test_cuda_sums_by_a_kernel_what_the_host_sums(dtype: torch.dtype, n_moves: int) -> None:
    pytest.importorskip("triton")
    device = torch.device("cuda")
    assert accelerated._sums(device, dtype, n_moves)
    rows, moves = accelerated._hard_to_sum(torch.device("cpu"), dtype, n_moves)
    there = [(alpha, move.to(device)) for alpha, move in moves]
    found = accelerated.summed(rows.to(device), there, torch.empty_like(rows, device=device)).cpu()
    assert torch.equal(found, sums.summed(rows, moves, torch.empty_like(rows)))
