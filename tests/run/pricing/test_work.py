"""The arithmetic of a price, by hand."""

from __future__ import annotations

import pytest

from safebasin.models.sizes import CacheShape, ModelSizes
from safebasin.run.pricing.records import Lengths
from safebasin.run.pricing.work import DRAWN, Load, work_of

SIZES = ModelSizes(
    parameters=1000, body=800, head=100, heads=4, context=64, dtype="float32", stored_bytes=4000,
    cache=CacheShape(layers=2, key_heads=2, width=5, hidden=20, vocabulary=5),
)  # fmt: skip
LOAD = Load(
    points=3, directions=1, axes=1, batches=4, rows=8, scored=0.0, asked=0, calibration=0, own=0
)  # four points, a batch of two at each
LENGTHS = Lengths(prompt=10, shared=4, answer=6, passes=7, said=())


def test_tokens_operations_and_bytes_are_those_of_the_formula() -> None:
    work = work_of(SIZES, LOAD, LENGTHS, "float32")
    assert (work.read_tokens, work.decoded_tokens, work.scored_tokens) == (8 * 10 - 4 * 4, 48, 0)
    attention = 4 * 2 * 4 * 5  # 4 · layers · heads · width
    assert work.flops == 2 * 800 * 64 + attention * 64 * 5 + 2 * 900 * 48 + attention * 48 * 13
    passes = 4 * 7 + 4 * 2 + 64 / 8192  # decoding, two of reading a batch, and what a pass over many tokens holds
    cache = 2 * 2 * 2 * 5 * 4 * 48 * 13
    setting = 1000 * 12 * (3 + (DRAWN - 1) * 1)  # θ₀ and d̂ read, the weights written, in float32
    assert work.bytes_moved == pytest.approx(passes * 4000 + cache + setting)
    assert work.passes == 37


def test_half_precision_moves_half_of_the_weights_and_as_much_of_directions() -> None:
    whole, half = (work_of(SIZES, LOAD, LENGTHS, dtype) for dtype in ("float32", "bfloat16"))
    assert whole.flops == half.flops
    directions = 4 * 1000 * (3 + DRAWN - 1)
    assert half.bytes_moved - directions == pytest.approx((whole.bytes_moved - directions) / 2)


def test_scoring_reads_each_prompt_once_and_what_is_needed_of_each_answer() -> None:
    load = Load(**{**{f: getattr(LOAD, f) for f in Load.__slots__}, "scored": 0.5, "asked": 2, "calibration": 30})
    work = work_of(SIZES, load, LENGTHS, "float32")
    assert work.scored_tokens == 2 * 10 + 24 + 30
    assert work.decoded_tokens == 48


def test_nothing_left_is_no_work() -> None:
    nothing = Load(points=0, directions=0, axes=0, batches=0, rows=0, scored=0, asked=0, calibration=0, own=0)
    work = work_of(SIZES, nothing, LENGTHS, "float32")
    assert (work.flops, work.bytes_moved, work.passes) == (0, 0, 0)
