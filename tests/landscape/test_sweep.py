"""What a sweep says of a tuned model beside its base."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.landscape.sweep import told_by
from safebasin.stats import estimate_paired_difference, mcnemar


@pytest.mark.parametrize(("missing", "said"), [(0, "higher"), (10, "not told apart")])
def test_no_word_is_said_that_the_interval_does_not_bear(missing: int, said: str) -> None:
    """8 of 100 prompts gained, none lost: p = 0.008; with ten base verdicts missing it may be two less."""
    before, after = np.zeros(100), np.zeros(100)
    after[:8] = 1
    before[100 - missing :] = np.nan
    difference, p = estimate_paired_difference(before, after), mcnemar(8, 0)
    assert p == pytest.approx(2**-7)
    assert told_by(p, difference) == said
    assert (difference.low > 0) == (said == "higher")  # type: ignore[operator]
    assert told_by(p, estimate_paired_difference(after, before)) != "higher"
    assert told_by(0.06, difference) == "not told apart"


def test_fewer_successes_are_lower() -> None:
    before = np.repeat([1.0, 0.0], [10, 90])
    assert told_by(mcnemar(0, 10), estimate_paired_difference(before, np.zeros(100))) == "lower"
