"""Triton's kernels without a GPU: their numbers in Triton's interpreter, their instructions as compiled for CUDA.

`make test-triton` runs both, in an environment of its own. The interpreter is chosen where Triton is imported, so that
one run cannot do both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

from safebasin.weights import accelerated, noise, philox, sums, triton_kernels  # noqa: E402

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
interpreted = pytest.mark.skipif(not IS_INTERPRETED, reason="needs TRITON_INTERPRET=1")
compiled = pytest.mark.skipif(IS_INTERPRETED, reason="needs the compiler")
CPU = torch.device("cpu")
FAR = 2**40 + 5
LENGTHS = {
    "a few": (0, 40),
    "none": (3, 3),
    "one": (15, 16),
    "two of two counters": (15, 17),
    "over the edge of a block": (65_530, 65_541),
    "several programs": (17, 17 + 2 * 2048 + 3),
    "from the edge of a block": (noise.BLOCK, noise.BLOCK + 77),
    "beyond 32 bits": (FAR, FAR + 99),
}
KEYS = [(0, 0), (1, 0), (2**64 - 1, 2**64 - 1), (2**63, 2**31), (2**32 - 1, 2**63 - 1), (0x9E3779B97F4A7C15, 2**64 - 2)]

pytestmark = pytest.mark.triton


EDGES = [0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]


@triton.jit
def words(out, counters, key0: tl.uint64, key1: tl.uint64, n: tl.constexpr):
    at = tl.arange(0, n) * 4
    c0, c1, c2, c3 = (tl.load(counters + at + i).to(tl.uint64) for i in tl.static_range(4))
    for i, word in enumerate(tl.philox_impl(c0, c1, c2, c3, key0.to(tl.uint64), key1.to(tl.uint64))):
        tl.store(out + at + i, word.to(tl.int64))


@interpreted
@pytest.mark.parametrize("key", KEYS)
def test_tritons_philox_is_numpys_wherever_its_counter_is(key: tuple[int, int]) -> None:
    drawn = np.random.default_rng(0)
    counters = drawn.integers(0, 2**64, size=(256, 4), dtype=np.uint64)
    at_edges = drawn.random(counters.shape) < 0.5
    counters[at_edges] = drawn.choice(np.array(EDGES, dtype=np.uint64), size=at_edges.sum())
    out = torch.empty(counters.shape, dtype=torch.int64)
    words[(1,)](out, torch.from_numpy(counters.view(np.int64)), *key, len(counters))
    for counter, found in zip(counters, out.numpy().view(np.uint64), strict=True):
        number = sum(int(word) << (64 * i) for i, word in enumerate(counter))
        before = (number - 1) % 2**256  # numpy counts up before it draws
        assert np.array_equal(np.random.Philox(key=list(key), counter=before).random_raw(4), found)


def numbers_of_numpy(key: tuple[int, int], first: int, n: int) -> np.ndarray:
    """The 16-bit numbers of n counters from the given one on, which is all of block 0."""
    bits = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=np.array([first, 0, 0, 0], dtype=np.uint64))
    return bits.random_raw(4 * n).astype("<u8").view("<u2")


@interpreted
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("first", [0, 4090])
def test_the_kernel_counts_the_words_of_numpy(key: tuple[int, int], first: int) -> None:
    places = torch.arange(noise.BLOCK, dtype=torch.float32)  # a table that tells the number itself
    found = triton_kernels.looked_up(key, 16 * first, 16 * (first + 6), table=places)
    assert np.array_equal(found.numpy(), numbers_of_numpy(key, first, 6))


@interpreted
@pytest.mark.parametrize("density", [1.0, 0.3, 1e-9])
@pytest.mark.parametrize("where", LENGTHS)
def test_the_kernel_draws_the_bits_of_the_host(where: str, density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    start, stop = LENGTHS[where]
    monkeypatch.setattr(accelerated, "_draws", lambda *_: True)
    monkeypatch.setattr(philox, "elements", None)
    found = accelerated.elements(3, 1, "w", start, stop, device=CPU, density=density)
    assert np.array_equal(found.numpy(), noise.elements(3, 1, "w", start, stop, version=2, density=density))


@interpreted
@pytest.mark.parametrize("n_moves", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 2049), (1,), (), (0, 4)])
def test_the_kernel_sums_the_bits_of_the_host(shape: tuple[int, ...], dtype: torch.dtype, n_moves: int) -> None:
    torch.manual_seed(0)
    rows, others = torch.randn(shape).to(dtype), [torch.randn(shape) for _ in range(n_moves)]
    moves = list(zip((0.3, -0.7), others, strict=False))
    out = torch.empty(shape)  # the interpreter cuts bfloat16 off, where a device rounds
    assert triton_kernels.summed(rows, moves, out) is out
    assert torch.equal(out, sums.summed(rows, moves, torch.empty(shape)))


@interpreted
def test_both_kernels_pass_what_they_are_tried_by(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accelerated, "_KERNELS_ON", ("cpu",))
    accelerated._draws.cache_clear()
    accelerated._sums.cache_clear()
    assert accelerated._sums(CPU, torch.float32, 1)
    assert accelerated._sums(CPU, torch.float32, 2)
    assert not caplog.messages
    assert not accelerated._sums(CPU, torch.bfloat16, 1), "the interpreter does not round, and this is seen"
    assert "other bits than torch" in caplog.text
    accelerated._sums.cache_clear()


# --- compiled for devices that are not there --------------------------------------------------------------------------

ARCHITECTURES = [80, 90]
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def assembly(
    kernel: object, pointers: dict[str, str], constants: dict[str, int | bool], arch: int, **options: bool
) -> str:
    signature = {
        p.name: pointers.get(p.name) or ("constexpr" if p.is_constexpr else p.annotation_type) for p in kernel.params
    }
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
    target = triton.backends.compiler.GPUTarget("cuda", arch, 32)
    return triton.compile(source, target=target, options=options).asm["ptx"]


class Launched:
    """Takes a kernel's place, and keeps what it was launched with."""

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self.launch

    def launch(self, *_: object, **options: bool) -> None:
        self.options = options


def sum_of(dtype: torch.dtype, arch: int, *, may_fuse: bool) -> str:
    pointers = {"out": TYPES[dtype], "rows": TYPES[dtype], "move": "fp32", "other": "fp32"}
    pointers = {name: f"*{kind}" for name, kind in pointers.items()}
    constants = {"has_two": True, "n_elements": 2048}
    return assembly(triton_kernels._sum, pointers, constants, arch, enable_fp_fusion=may_fuse)


@compiled
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("dtype", TYPES)
def test_no_product_is_fused_with_a_sum(dtype: torch.dtype, arch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fused = sum_of(dtype, arch, may_fuse=True)
    with monkeypatch.context() as patched:
        patched.setattr(triton_kernels, "_sum", launched := Launched())
        triton_kernels.summed(torch.ones(3, dtype=dtype), [(0.5, torch.ones(3))], torch.empty(3, dtype=dtype))
    apart = sum_of(dtype, arch, may_fuse=launched.options["enable_fp_fusion"])
    assert "fma.rn.f32" in fused, "what the option is for"
    assert "fma" not in apart
    assert len(re.findall(r"mul\.rn\.f32", apart)) == len(re.findall(r"add\.rn\.f32", apart)) > 0
    assert "ftz" not in apart, "small numbers are not cut to zero"
    assert ("cvt.rn.bf16" in apart) == (dtype == torch.bfloat16), "to the nearest"


@compiled
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_words_are_products_of_64_bits(is_sparse: bool, arch: int) -> None:
    constants = {"is_sparse": is_sparse, "n_counters": 128}
    ptx = assembly(triton_kernels._look_up, {"out": "*fp32", "table": "*fp32"}, constants, arch, enable_fp_fusion=False)
    assert "mul.hi.u64" in ptx
    assert all(f".param .u64 _look_up_param_{i}" in ptx for i in range(2, 7)), (
        "keys and places of 64 bits, whatever they are"
    )
