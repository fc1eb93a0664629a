"""Rogan and Gladen's correction: closed forms, what is not identifiable, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.errors import StudyError
from safebasin.stats import estimate_rate
from safebasin.stats.correction import Accuracy, estimate_corrected_rate
from safebasin.stats.grades import estimate_mean_grade


def accuracy(tp: int, p: int, tn: int, n: int) -> Accuracy:
    return Accuracy(true_positive=tp, positive=p, true_negative=tn, negative=n)


HUGE = 10**9


def test_the_closed_form() -> None:
    """Sensitivity 0.9, specificity 0.8, observed 0.41: (0.41 + 0.8 − 1)/0.7 = 0.3."""
    found = estimate_corrected_rate(41, 100, accuracy(90, 100, 80, 100))
    assert found.value == pytest.approx(0.3)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < 0.3 < found.high <= 1


def test_a_perfect_judge_changes_nothing() -> None:
    found = estimate_corrected_rate(41, 100, accuracy(HUGE, HUGE, HUGE, HUGE))
    plain = estimate_rate(41, 100)
    assert found.value == pytest.approx(0.41)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.003)


def test_a_judge_of_known_mistakes_stretches_the_interval_by_one_over_youden() -> None:
    known = estimate_corrected_rate(41, 100, accuracy(9 * HUGE, 10 * HUGE, 8 * HUGE, 10 * HUGE))
    plain = estimate_rate(41, 100)
    assert known.high - known.low == pytest.approx((plain.high - plain.low) / 0.7, rel=0.02)  # type: ignore[operator]


def test_fewer_labels_widen_the_interval() -> None:
    many, few = (estimate_corrected_rate(41, 100, accuracy(9 * m, 10 * m, 8 * m, 10 * m)) for m in (100, 4))
    assert few.value == pytest.approx(many.value)
    assert few.low < many.low < many.high < few.high  # type: ignore[operator]


@pytest.mark.parametrize(("k", "value"), [(17, 0.0), (94, 1.0)])
def test_it_is_cut_at_zero_and_one(k: int, value: float) -> None:
    found = estimate_corrected_rate(k, 100, accuracy(90, 100, 80, 100))
    assert found.value == value
    assert found.low <= value <= found.high  # type: ignore[operator]
    assert found.high - found.low > 0.05  # type: ignore[operator]


@pytest.mark.parametrize(("k", "value"), [(0, 0.0), (5, 0.0), (100, 1.0)])
def test_labels_that_do_not_fit_claim_no_interval(k: int, value: float) -> None:
    """A judge that calls a fifth of harmless responses harmful cannot find none among a hundred."""
    found = estimate_corrected_rate(k, 100, accuracy(900, 1_000, 800, 1_000) if k < 100 else accuracy(60, 100, 95, 100))
    assert (found.value, found.low, found.high) == (value, None, None)
    assert "the labels do not fit" in found.method


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (accuracy(5, 10, 5, 10), "1.00 ≤ 1"),
        (accuracy(2, 10, 5, 10), "no better than chance"),
        (accuracy(0, 0, 5, 10), "labels of both kinds"),
        (accuracy(5, 10, 0, 0), "labels of both kinds"),
    ],
)
def test_what_is_not_identifiable_has_no_value(given: Accuracy, why: str) -> None:
    found = estimate_corrected_rate(41, 100, given)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "not identifiable" in found.method
    assert why in found.method


def test_a_judge_that_may_be_chance_excludes_nothing() -> None:
    found = estimate_corrected_rate(41, 100, accuracy(6, 10, 6, 10))
    assert (found.low, found.high) == (0, 1)
    assert "may be no better than chance" in found.method


def test_missing_verdicts_widen() -> None:
    given = accuracy(90, 100, 80, 100)
    whole, holed = estimate_corrected_rate(41, 100, given), estimate_corrected_rate(41, 100, given, n_missing=20)
    assert holed.value == whole.value
    assert holed.low < whole.low < whole.high < holed.high  # type: ignore[operator]
    assert estimate_corrected_rate(0, 0, given, n_missing=9).value is None
    with pytest.raises(StudyError):
        estimate_corrected_rate(3, 2, given)


@pytest.mark.parametrize(("true", "labels"), [(0.1, 40), (0.5, 40), (0.9, 100), (0.02, 100)])
def test_coverage_by_simulation(true: float, labels: int) -> None:
    """95 % intervals hold the true rate in 92 to 99 % of 2,000 draws, sensitivity 0.85, specificity 0.9."""
    rng = np.random.default_rng(1)
    said = true * 0.85 + (1 - true) * 0.1
    inside = 0
    for k, tp, tn in zip(
        *(rng.binomial(m, p, 2_000) for m, p in ((200, said), (labels, 0.85), (labels, 0.9))), strict=True
    ):
        found = estimate_corrected_rate(int(k), 200, accuracy(int(tp), labels, int(tn), labels))
        inside += found.low is not None and found.high is not None and found.low <= true <= found.high
    assert 0.92 <= inside / 2_000 <= 0.995


def test_coverage_where_few_labels_and_a_rare_harmless_pull_the_center() -> None:
    """The shift of the center keeps 95 % where symmetric limits fall below: 20 labels, sensitivity 0.6, rate 0.9."""
    rng = np.random.default_rng(1)
    rng.binomial(1, 0.5, 6_000)
    inside = 0
    draws = (rng.binomial(m, p, 4_000) for m, p in ((200, 0.9 * 0.6 + 0.1 * 0.05), (20, 0.6), (20, 0.95)))
    for k, tp, tn in zip(*draws, strict=True):
        found = estimate_corrected_rate(int(k), 200, accuracy(int(tp), 20, int(tn), 20))
        inside += found.low is not None and found.high is not None and found.low <= 0.9 <= found.high
    assert inside / 4_000 >= 0.952


def test_mean_grade_of_a_fixed_vector() -> None:
    """[1, 5, 5, 3]: mean 3.5, standard error 0.957, t₃ = 3.182: 0.45 to 6.55, cut at the scale."""
    found = estimate_mean_grade([1, 5, 5, 3])
    assert (found.value, found.low, found.high, found.n) == (3.5, 1.0, 5.0, 4)
    wide = estimate_mean_grade([2, 3, 4, 3] * 10)
    assert wide.low == pytest.approx(3 - 2.0227 * np.std([2, 3, 4, 3] * 10, ddof=1) / 40**0.5, abs=1e-3)


def test_missing_grades_widen_and_never_count_as_one() -> None:
    whole, holed = estimate_mean_grade([3.0, 3.5] * 20), estimate_mean_grade([*([3.0, 3.5] * 20), None, None])
    assert holed.value == whole.value
    assert holed.low < whole.low < whole.high < holed.high  # type: ignore[operator]
    assert (holed.n, holed.n_missing) == (40, 2)
    assert estimate_mean_grade([None]).value is None
    assert estimate_mean_grade([2.0]).low is None


def test_grades_that_are_all_alike_claim_no_certainty() -> None:
    """24 ones: of any other grade there may still be a share of 1 − 0.025^(1/24) or so, at most 5."""
    found = estimate_mean_grade([1.0] * 24)
    assert (found.value, found.low) == (1, 1)
    assert 1.3 < (found.high or 0) < 1.7
    assert (estimate_mean_grade([1.0] * 240).high or 0) < 1.07


def test_a_missing_grade_never_narrows_a_bound_of_alike_ones() -> None:
    whole, holed = estimate_mean_grade([1.0] * 80), estimate_mean_grade([1.0] * 79 + [None])
    assert whole.high == pytest.approx(1 + 4 * (1 - 0.025 ** (1 / 80)))
    assert holed.low == 1
    assert holed.high >= whole.high  # type: ignore[operator]
    many = estimate_mean_grade([1.0] * 40 + [None] * 40)
    assert many.high > 3, "half of the grades may be fives"  # type: ignore[operator]
