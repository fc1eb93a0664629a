"""In which order fast mode asks, and after how many prompts it may stop."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binom  # pyright: ignore[reportMissingTypeStubs]

from safebasin.stats.sequences import confidence_set, sequence, stopping_bias
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


def mean_of_what_was_asked(size: int, rate: float) -> float:
    """What the share of successes among those asked is on average, answers independent: over all ways to be stopped."""
    at = stages(size)
    total, open_paths = 0.0, {((n, k),): float(binom.pmf(k, n, rate)) for n in at[:1] for k in range(n + 1)}
    while open_paths:
        going: dict[tuple[tuple[int, int], ...], float] = {}
        for path, chance in open_paths.items():
            n, k = path[-1]
            found = sequence([(n, k, 0) for n, k in path], size)
            if found.high - found.low <= WIDTH + 1e-12:
                total += chance * k / n
            elif (further := further_stage(size, n, [k / n])) is None:
                total += chance * (k + (size - n) * rate) / size  # the rest is asked, whatever it brings
            else:
                for more in range(further - n + 1):
                    step = (*path, (further, k + more))
                    going[step] = going.get(step, 0.0) + chance * float(binom.pmf(more, further - n, rate))
        open_paths = going
    return total


@pytest.mark.slow
@pytest.mark.parametrize("size", [160, 200])
def test_stopping_draws_no_rate_further_to_an_end_than_is_said(size: int) -> None:
    bound = stopping_bias(stages(size)[0])
    off = [rate - mean_of_what_was_asked(size, rate) for rate in (0.01, 0.02, 0.03, 0.05, 0.1, 0.3, 0.5)]
    assert bound / 2 < max(off) <= bound
    assert abs(off[-1]) < 1e-9  # a half is drawn nowhere
    assert mean_of_what_was_asked(size, 0.98) - 0.98 == pytest.approx(off[1])
