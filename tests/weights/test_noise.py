"""Noise: golden digests of both versions, addressable, normal, the same words on any device."""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from safebasin.records import NOISE_VERSION
from safebasin.weights import noise, philox

GOLDEN = {
    (1, 0, 0, "model.embed_tokens.weight", 0): "73272233be124e81",
    (1, 0, 1, "model.embed_tokens.weight", 0): "54fe0c94febc4597",
    (1, 7, 2, "lm_head.weight", 3): "27c57a2d2b9bdab0",
    (2, 0, 0, "model.embed_tokens.weight", 0): "8c112c8ec084c72a",
    (2, 0, 1, "model.embed_tokens.weight", 0): "10f0db4f52dc443f",
    (2, 7, 2, "lm_head.weight", 3): "62eb43e83a4a82ca",
}
SPARSE = {1: "26ada863201a14da", 2: "535d2884b0aa3d3d"}
TABLE = "1cfbba1e07e34386a57626f82aeb43e6ed54ba70a3ea6b7d964dc66a841074a8"
versions = pytest.mark.parametrize("version", noise.VERSIONS)


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(array.astype("<f4").tobytes()).hexdigest()


@pytest.mark.parametrize(("address", "digest"), GOLDEN.items())
def test_golden_digests_hold_each_version(address: tuple[int, int, int, str, int], digest: str) -> None:
    assert NOISE_VERSION == noise.VERSIONS[-1] == 2
    version, seed, index, name, number = address
    start, stop = number * noise.BLOCK, (number + 1) * noise.BLOCK
    assert sha(noise.elements(seed, index, name, start, stop, version=version))[:16] == digest


@versions
@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 200_000), length=st.integers(0, 70_000))
def test_any_part_of_a_tensor_is_the_same_alone(version: int, start: int, length: int) -> None:
    whole = noise.elements(0, 0, "w", 0, 270_001, version=version)
    alone = noise.elements(0, 0, "w", start, start + length, version=version)
    assert np.array_equal(alone, whole[start : start + length])


@versions
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_threads_change_nothing(version: int, density: float) -> None:
    start, stop = 1000, 20 * noise.BLOCK + 17
    alone = noise.elements(0, 0, "w", start, stop, version=version, density=density)
    for threads in (2, 3, 4):
        drawn = noise.elements(0, 0, "w", start, stop, version=version, density=density, threads=threads)
        assert np.array_equal(drawn, alone)


@versions
def test_it_is_standard_normal(version: int) -> None:
    drawn = noise.elements(1, 0, "w", 0, 4 * noise.BLOCK, version=version)
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    wide = drawn.astype(np.float64)
    for lag in (1, 2, 3, 4, 16, noise.BLOCK):  # within a word, beside it, in the next counter, in the next block
        assert abs(np.corrcoef(wide[:-lag], wide[lag:])[0, 1]) < 5 / 512
    assert abs(wide.mean()) < 5 / 512
    assert abs(wide.var() - 1) < 5 * math.sqrt(2) / 512
    assert abs(stats.kurtosis(wide, fisher=False) - 3) < 5 * math.sqrt(24) / 512


@versions
def test_tensors_directions_and_seeds_have_nothing_in_common(version: int) -> None:
    addresses = [(0, 0, "w"), (0, 0, "v"), (0, 1, "w"), (1, 0, "w")]
    drawn = [noise.elements(*one, 0, 4 * noise.BLOCK, version=version) for one in addresses]
    apart = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(apart).max() < 5 / 512


@versions
def test_sparse_noise_is_the_dense_one_where_it_is_drawn(version: int) -> None:
    dense = noise.elements(7, 2, "w", 0, 3 * noise.BLOCK, version=version)
    for density in (0.5, 0.1):
        sparse = noise.elements(7, 2, "w", 0, 3 * noise.BLOCK, version=version, density=density)
        drawn = sparse != 0
        assert np.array_equal(sparse[drawn], dense[drawn])
        deviation = math.sqrt(density * (1 - density) / dense.size)
        assert abs(drawn.mean() - density) < 4 * deviation
        assert abs(np.corrcoef(drawn, dense)[0, 1]) < 0.012
    assert sha(noise.elements(7, 2, "w", 0, noise.BLOCK, version=version, density=0.1))[:16] == SPARSE[version]


@versions
def test_any_part_of_sparse_noise_can_be_drawn_alone(version: int) -> None:
    whole = noise.elements(7, 2, "w", 0, 3 * noise.BLOCK, version=version, density=0.1)
    for start, stop in ((0, 5), (noise.BLOCK - 3, noise.BLOCK + 9), (100, 2 * noise.BLOCK + 1)):
        alone = noise.elements(7, 2, "w", start, stop, version=version, density=0.1)
        assert np.array_equal(alone, whole[start:stop])


# --- the table of version 2 -------------------------------------------------------------------------------------------


def test_the_table_is_the_quantiles_rounded_correctly_whoever_computes_them() -> None:
    table = noise.quantiles()
    assert sha(table) == TABLE
    middles = (np.arange(table.size) + 0.5) / table.size
    independent = np.array([NormalDist().inv_cdf(float(p)) for p in middles[: table.size // 2]])
    assert np.array_equal(table[: table.size // 2], independent.astype(np.float32))
    assert np.array_equal(table, -table[::-1])
    exact = special.ndtri(middles[: table.size // 2])
    held = table[: table.size // 2].astype(np.float64)
    steps = [np.nextafter(table[: table.size // 2], np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    to_border = np.min([np.abs(exact - (held + step) / 2) for step in steps], axis=0) / np.abs(exact)
    assert to_border.min() > 1e-12, "no value is so near to a border that an error of 1e-15 could tip it"


def test_the_table_is_as_normal_as_the_docs_say() -> None:
    table = noise.quantiles().astype(np.float64)
    assert table.mean() == 0
    assert table.var() == pytest.approx(0.99998, abs=1e-6)
    assert (table**4).mean() / table.var() ** 2 == pytest.approx(2.9992, abs=1e-4)
    assert table.max() == pytest.approx(4.3249, abs=1e-4)
    assert np.unique(table).size == noise.BLOCK


def test_what_is_chosen_of_sparse_noise_is_an_integer() -> None:
    assert [noise.least_chosen(density) for density in (1.0, 0.5, 2**-32, 1e-12)] == [2**32, 2**31, 1, 1]


# --- on any device ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(key=st.tuples(*[st.integers(0, 2**64 - 1)] * 2), low=st.integers(0, 2**40), block=st.integers(0, 2**40))
def test_torch_counts_the_words_of_numpy(key: tuple[int, int], low: int, block: int) -> None:
    bits = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=np.array([low, 0, block, 0], dtype=np.uint64))
    found = philox.words(key, torch.arange(low + 1, low + 9), torch.full((8,), block))
    assert np.array_equal(found.numpy().view(np.uint64).reshape(-1), bits.random_raw(32))


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize(("start", "stop"), [(0, 40), (3, 3), (65_530, 65_541), (17, 140_001), (noise.BLOCK, 70_000)])
def test_torch_draws_the_bits_of_numpy(start: int, stop: int, density: float) -> None:
    cpu = torch.device("cpu")
    found = philox.elements(3, 1, "w", start, stop, device=cpu, density=density)
    assert np.array_equal(found.numpy(), noise.elements(3, 1, "w", start, stop, version=2, density=density))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_cuda_draws_the_bits_of_numpy(density: float) -> None:
    found = philox.elements(3, 1, "w", 17, 10**6, device=torch.device("cuda"), density=density).cpu()
    assert np.array_equal(found.numpy(), noise.elements(3, 1, "w", 17, 10**6, version=2, density=density))
