"""Noise: golden digests, addressable, normal."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from safebasin.weights import noise

GOLDEN = {
    (0, 0, "model.embed_tokens.weight", 0): "73272233be124e81",
    (0, 1, "model.embed_tokens.weight", 0): "54fe0c94febc4597",
    (7, 2, "lm_head.weight", 3): "27c57a2d2b9bdab0",
}


@pytest.mark.parametrize(("address", "digest"), GOLDEN.items())
def test_golden_digests_hold_the_version(address: tuple[int, int, str, int], digest: str) -> None:
    assert noise.NOISE_VERSION == 1
    assert hashlib.sha256(noise.block(*address).tobytes()).hexdigest()[:16] == digest


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 200_000), length=st.integers(0, 70_000))
def test_any_part_of_a_tensor_is_the_same_alone(start: int, length: int) -> None:
    whole = noise.elements(0, 0, "w", 0, 270_001)
    assert np.array_equal(noise.elements(0, 0, "w", start, start + length), whole[start : start + length])


def test_a_cache_changes_nothing_keeps_its_budget_and_saves_a_second_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = noise.elements(0, 0, "w", 0, 5 * noise.BLOCK)
    drawn: list[int] = []
    draw = noise.block
    monkeypatch.setattr(noise, "block", lambda *address: drawn.append(address[3]) or draw(*address))
    cache = noise.NoiseCache(3 * noise.BLOCK * 4)
    for _ in range(3):
        assert np.array_equal(noise.elements(0, 0, "w", 0, 5 * noise.BLOCK, cache=cache), plain)
    assert drawn == [0, 1, 2, 3, 4, 3, 4, 3, 4], "three blocks fit, in whatever order a sweep asks"
    assert noise.elements(0, 0, "w", 0, 9, cache=noise.NoiseCache(0)).size == 9


def test_threads_change_nothing() -> None:
    cache = noise.NoiseCache(7 * noise.BLOCK * 4)
    start, stop = 1000, 20 * noise.BLOCK + 17
    alone = noise.elements(0, 0, "w", start, stop)
    for _ in range(2):
        assert np.array_equal(noise.elements(0, 0, "w", start, stop, cache=cache, threads=4), alone)
    assert cache._held == 7 * noise.BLOCK * 4


def test_it_is_standard_normal() -> None:
    drawn = noise.elements(1, 0, "w", 0, 4 * noise.BLOCK)
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01


def test_sparse_noise_is_the_dense_one_where_it_is_drawn() -> None:
    dense = noise.elements(7, 2, "w", 0, 3 * noise.BLOCK)
    assert np.array_equal(noise.elements(7, 2, "w", 0, 3 * noise.BLOCK, density=1.0), dense)
    for density in (0.5, 0.1):
        sparse = noise.elements(7, 2, "w", 0, 3 * noise.BLOCK, density=density)
        drawn = sparse != 0
        assert np.array_equal(sparse[drawn], dense[drawn])
        deviation = math.sqrt(density * (1 - density) / dense.size)
        assert abs(drawn.mean() - density) < 4 * deviation
    digest = hashlib.sha256(noise.elements(7, 2, "w", 0, noise.BLOCK, density=0.1).tobytes()).hexdigest()
    assert digest[:16] == "26ada863201a14da"


def test_any_part_of_sparse_noise_can_be_drawn_alone() -> None:
    whole = noise.elements(7, 2, "w", 0, 3 * noise.BLOCK, density=0.1)
    for start, stop in ((0, 5), (noise.BLOCK - 3, noise.BLOCK + 9), (100, 2 * noise.BLOCK + 1)):
        assert np.array_equal(noise.elements(7, 2, "w", start, stop, density=0.1), whole[start:stop])
    cache = noise.NoiseCache(8 * noise.BLOCK * 4)
    for density in (0.1, 1.0, 0.1):
        alone = noise.elements(7, 2, "w", 0, noise.BLOCK, density=density)
        assert np.array_equal(noise.elements(7, 2, "w", 0, noise.BLOCK, density=density, cache=cache), alone)
