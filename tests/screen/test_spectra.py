"""Leading singular values against a whole decomposition, and the stable rank in closed form."""

from __future__ import annotations

import pytest
import torch

from safebasin.screen.spectra import LEADING, spectrum


def test_of_small_and_large_matrices_as_a_whole_decomposition_has_them() -> None:
    generator = torch.Generator().manual_seed(3)
    for shape in ((5, 3), (64, 200), (300, 260)):
        falling = torch.diag(0.95 ** torch.arange(min(shape)).double())
        left = torch.linalg.qr(torch.randn(shape[0], min(shape), generator=generator, dtype=torch.float64)).Q
        right = torch.linalg.qr(torch.randn(shape[1], min(shape), generator=generator, dtype=torch.float64)).Q
        made = spectrum(1e-25 * left @ falling @ right.T)
        assert made is not None
        exact = [1e-25 * 0.95**i for i in range(min(*shape, LEADING))]
        assert made.leading == pytest.approx(exact, rel=1e-3)
        total = sum(0.9025**i for i in range(min(shape)))
        assert made.stable_rank == pytest.approx(total, rel=2e-3)
        assert made.norm == pytest.approx(1e-25 * total**0.5, rel=1e-4)


def test_of_a_matrix_of_low_rank_and_of_none() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(400, 2, generator=generator) @ torch.randn(2, 300, generator=generator)
    made = spectrum(low)
    assert made is not None
    assert made.stable_rank <= 2 + 1e-4
    assert max(made.leading[2:]) < 1e-4 * made.leading[0]
    assert spectrum(torch.zeros(300, 300)) is None


def test_the_same_seed_gives_the_same_values() -> None:
    a = torch.randn(200, 200, generator=torch.Generator().manual_seed(1))
    state = torch.random.get_rng_state()
    assert spectrum(a) == spectrum(a)
    assert torch.equal(torch.random.get_rng_state(), state)
