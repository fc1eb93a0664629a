"""In which order fast mode asks, and after how many prompts it may stop."""

from __future__ import annotations

import random

import pytest

from safebasin.stats.sequences import confidence_set
from safebasin.study.fast import CHECKED, PILOT
from safebasin.study.stages import FEWEST, WIDTH, ask_order, further_stage, stages


def test_the_order_is_of_the_prompts_and_not_of_their_source() -> None:
    ids = [str(i) for i in range(50)]
    shuffled = random.Random(1).sample(ids, 50)
    assert ask_order(ids) == ask_order(shuffled) == ask_order([*ids, *ids])
    assert sorted(ask_order(ids)) == sorted(ids)
    assert ask_order(ids) != tuple(ids)


@pytest.mark.parametrize("size", [FEWEST, 160, 200, 400, 520, 5000])
def test_the_first_stage_is_the_least_that_decides_anything(size: int) -> None:
    found = stages(size)
    assert list(found) == sorted(set(found))
    assert found[-1] <= 0.8 * size
    first = found[0]
    assert confidence_set(0, first, size)[1] <= WIDTH * size < confidence_set(0, first - 1, size)[1]
    assert first >= PILOT + CHECKED, "what is checked is asked at points that are stopped"


def test_further_stages_are_whole_batches() -> None:
    assert [stages(size) for size in (130, 160, 520)] == [(40,), (42, 128), (49, 128, 256)]


@pytest.mark.parametrize(
    ("rates", "further"),
    [([0.0], 128), ([1 / 49], 128), ([3 / 49], 256), ([48 / 49, 0.0], 128), ([1 / 49, 0.5], None), ([0.3], None),
     ([None], None)],
)  # fmt: skip
def test_the_next_stage_is_that_at_which_every_rate_would_be_known(rates: list[float], further: int | None) -> None:
    assert further_stage(520, 49, rates) == further
    assert further_stage(520, 256, rates) is None


def test_small_sets_are_asked_whole() -> None:
    assert stages(FEWEST - 1) == stages(1) == stages(0) == ()
