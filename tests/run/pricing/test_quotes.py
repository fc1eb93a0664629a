"""What a worker costs on one accelerator, or spread over several: arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from safebasin.run.pricing.accelerators import Accelerator
from safebasin.run.pricing.quotes import Spread, devices_for, quote
from safebasin.run.pricing.records import Memory, Quote, Work

CARD = Accelerator(
    name="card", title="", half_tflops=1.0, float32_tflops=0.5, bandwidth_gb_s=1.0, memory_gb=10.0, price_per_hour=3.0
)
WEIGHTS = Memory(dtype="bfloat16", weights=10**9, origin=10**9, directions=0, row=10**8, cache=10**8)
WORK = Work(read_tokens=1, decoded_tokens=1, scored_tokens=1, passes=1, flops=4e11, bytes_moved=5e8)


@pytest.mark.parametrize(("weights", "needed"), [(1, 1), (9, 1), (10, 2), (17, 2), (18, 3), (26, 3), (27, 4)])
def test_how_many_devices_hold_a_model(weights: int, needed: int) -> None:
    """9.2 GB of 10 are usable, of which whole layers fill 95 % where there are several devices."""
    assert devices_for(replace(WEIGHTS, weights=weights * 10**9, row=10**6), CARD) == needed


def quoted(weights: int, spread: Spread) -> Quote:
    memory = replace(WEIGHTS, weights=weights * 10**9)
    return quote(CARD, memory, lambda _dtype, _batch: (WORK, WORK), asked=None, n_prompts=64, price=None, spread=spread)


def test_layers_one_after_the_other_cost_money_and_save_no_time() -> None:
    alone, two = quoted(1, Spread()), quoted(1, Spread(gpus=2))
    assert (alone.name, two.name) == ("card", "2 × card")
    assert alone.seconds == two.seconds == pytest.approx(4e11 / 0.4e12 + 5e8 / 0.5e9)
    assert two.memory_bytes == 2 * alone.memory_bytes
    assert two.cost == pytest.approx(2 * (alone.cost or 0))


def test_matrices_that_are_cut_take_a_part_of_the_time() -> None:
    alone, two = quoted(1, Spread()), quoted(1, Spread(gpus=2, at_once=True))
    assert two.seconds == pytest.approx((alone.seconds or 0) / 2)
    assert two.cost == pytest.approx(alone.cost)


def test_a_model_that_needs_more_than_it_is_given_does_not_fit() -> None:
    one, two = quoted(15, Spread()), quoted(15, Spread(gpus=2))
    assert (one.fits, one.devices_needed, one.seconds) == (False, 2, None)
    assert (two.fits, two.devices_needed) == (True, 2)
    assert two.batch == 16, "the 3.4 GB that are left hold 20 rows, and 64 prompts in even batches are 16 each"
