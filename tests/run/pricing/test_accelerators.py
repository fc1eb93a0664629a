"""The table of accelerators, and what users name of it."""

from __future__ import annotations

import math

import pytest

from safebasin.errors import StudyError
from safebasin.run.pricing.accelerators import check_price, chosen, sources


def test_the_table_holds_numbers_that_can_be() -> None:
    rows = chosen([])
    assert len({row.name for row in rows}) == len(rows) >= 5
    for row in rows:
        assert row.peak("float32") < row.peak("bfloat16") == row.peak("float16") < 1e16, row
        assert 1e2 < row.bandwidth_gb_s < 1e5, row
        assert 8 <= row.memory_gb <= 1000, row
        assert 0 < row.price_per_hour < 50, row
    assert "2025" in sources()
    assert "none of it exact" in sources()


def test_an_accelerator_that_is_not_known_is_told_the_others() -> None:
    assert [row.name for row in chosen(["h100", "l4", "h100"])] == ["h100", "l4"]
    with pytest.raises(StudyError, match=r"--accelerator must be one of l4, a10, .*b200; got 'v1000'\."):
        chosen(["h100", "v1000"])


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
def test_a_price_is_a_number_that_money_can_be(price: float) -> None:
    with pytest.raises(StudyError, match=r"--price-per-hour must be a finite number, 0 or more"):
        check_price(price, devices=1)


def test_a_price_is_of_one_device() -> None:
    check_price(0.0, devices=1)
    check_price(None, devices=9)
    with pytest.raises(StudyError, match=r"with one --accelerator, or with --probe and none; got .2.0 for 9 devices"):
        check_price(2.0, devices=9)
