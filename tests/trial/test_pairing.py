"""Arms on the same prompts: closed forms."""

from __future__ import annotations

import numpy as np

from safebasin.stats import mcnemar
from safebasin.trial.pairing import pairs_of


def test_pairs_are_those_of_mcnemar_on_the_same_prompts() -> None:
    none = np.array([1.0] * 20)
    half = np.array([1.0] * 10 + [0.0] * 10)
    first, second, third = pairs_of({"no defense": none, "one": half, "other": half.copy()})
    assert (first.first, first.second, first.difference.value) == ("no defense", "one", 0.5)
    assert first.p == second.p == mcnemar(10, 0)
    assert first.apart
    assert second.apart
    assert (third.p, third.difference.value, third.apart) == (1.0, 0.0, False)


def test_missing_verdicts_are_left_out_of_a_pair() -> None:
    (pair,) = pairs_of({"a": np.array([1.0, np.nan, 0.0]), "b": np.array([0.0, 1.0, 0.0])})
    assert (pair.difference.value, pair.difference.n, pair.difference.n_missing) == (0.5, 2, 1)
