"""Krippendorff's α against the values he published, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.errors import StudyError
from safebasin.stats.krippendorff import estimate_alpha, estimate_numbered_alpha

BINARY = ["0100000010", "1110010000"]
"""Krippendorff 2011, example A: two observers, ten units, α = 0.095."""
FOUR = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
"""Krippendorff 2011, example C: four observers, twelve units, missing data, α = 0.743."""


def rows(texts: list[str]) -> list[list[str | None]]:
    return [[None if c == "." else c for c in text] for text in texts]


@pytest.mark.parametrize(("texts", "value"), [(BINARY, 0.095), (FOUR, 0.743)])
def test_published_values(texts: list[str], value: float) -> None:
    found = estimate_alpha(rows(texts))
    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high <= 1


def test_perfect_opposite_and_chance() -> None:
    assert estimate_alpha(rows(["abab", "abab"])).value == 1
    assert estimate_alpha(rows(["ab" * 50, "ba" * 50])).value == pytest.approx(-1, abs=0.02)
    rng = np.random.default_rng(0)
    ratings = [list(rng.choice(["a", "b"], 4_000)) for _ in range(3)]
    found = estimate_alpha(ratings)
    assert found.value == pytest.approx(0, abs=0.04)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_one_label_or_no_pair_has_no_alpha() -> None:
    assert estimate_alpha(rows(["aaa", "aaa"])).method.endswith("only one label occurs")
    assert estimate_alpha(rows(["a..", ".b."])).method.endswith("nothing was judged twice")
    assert estimate_alpha([]).value is None
    with pytest.raises(StudyError, match="equal length"):
        estimate_alpha(rows(["ab", "a"]))


def test_units_with_one_label_count_for_nothing() -> None:
    more = rows([BINARY[0] + "1.", BINARY[1] + ".0"])
    found = estimate_alpha(more)
    assert (found.value, found.n, found.n_missing) == (estimate_alpha(rows(BINARY)).value, 10, 2)


def test_more_units_narrow_the_interval() -> None:
    few, many = estimate_alpha(rows(BINARY)), estimate_alpha(rows([text * 20 for text in BINARY]))
    assert many.high - many.low < (few.high - few.low) / 3  # type: ignore[operator]


def test_labels_by_number_are_labels_by_name() -> None:
    draw = np.random.default_rng(3)
    ratings, clusters = draw.integers(-1, 3, (3, 400)), draw.integers(4, 40, 400)
    names = [[None if label < 0 else "abc"[label] for label in row] for row in ratings.tolist()]
    found = estimate_numbered_alpha(ratings, clusters)
    assert found == estimate_alpha(names, clusters=[f"prompt {number}" for number in clusters])
    assert found.n_missing == (ratings < 0).sum()
