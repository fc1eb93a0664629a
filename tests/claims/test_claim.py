"""Claim files: every one is sound, and its rules answer as they say."""

from __future__ import annotations

import pytest

from safebasin.claims.check import STATISTICS
from safebasin.claims.claim import Claim, Finding, answer, load_claims, papers
from safebasin.errors import StudyError
from safebasin.records import Estimate


def claim(reproduced: str, not_reproduced: str) -> Claim:
    return Claim(
        name="x",
        source="s",
        hypothesis="h",
        statistic="basin_kept",
        meaning="m",
        reproduced=reproduced,
        not_reproduced=not_reproduced,
        negative="n",
    )


def found(value: float | None, low: float | None = None, high: float | None = None, p: float | None = None) -> Finding:
    return Finding(estimate=Estimate(value=value, low=low, high=high), p=p)


@pytest.mark.parametrize("paper", papers())
def test_every_claim_has_a_statistic_and_a_source(paper: str) -> None:
    claims = load_claims(paper)
    assert len(claims) >= (8 if paper in ("peng2024", "qi2023") else 2)
    assert len({c.name for c in claims}) == len(claims)
    for one in claims:
        assert one.statistic in STATISTICS, one.name
        assert one.source
        assert one.meaning
        assert one.negative
        assert [e.version for e in one.earlier] == list(range(one.version - 1, 0, -1))


def test_where_both_rules_hold_the_claim_is_reproduced() -> None:
    """A small effect that is certain: above zero, and below what matters."""
    assert answer(claim("low > 0", "high <= 0.02"), found(0.01, 0.005, 0.015)) == "reproduced"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.3, 0.9, "reproduced"), (0.0, 0.1, "not reproduced"), (0.1, 0.3, "undecided"), (None, None, "undecided")],
)
def test_the_three_answers(low: float | None, high: float | None, expected: str) -> None:
    assert answer(claim("low >= 0.2", "high < 0.2"), found(0.5, low, high)) == expected


def test_rules_may_be_joined() -> None:
    two_sided = claim("low > 0.02 or high < -0.02", "low >= -0.02 and high <= 0.02")
    assert answer(two_sided, found(-0.1, -0.2, -0.05)) == "reproduced"
    assert answer(two_sided, found(0.0, -0.01, 0.01)) == "not reproduced"
    assert answer(two_sided, found(0.0, -0.01, 0.1)) == "undecided"
    ordered = claim("value < 0 and p <= 0.05", "value >= 0")
    assert answer(ordered, found(-0.5, p=0.06)) == "undecided"
    assert answer(ordered, found(-0.5, p=0.05)) == "reproduced"


@pytest.mark.parametrize("rule", ["low >> 1", "median > 0", "low > x", ""])
def test_a_rule_that_does_not_parse_is_an_error(rule: str) -> None:
    with pytest.raises(ValueError, match="must be made of"):
        claim(rule, "value > 0")


def test_an_unknown_paper_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(StudyError, match=r"one of arditi2024, bhardwaj2024, hsu2024, .*, yi2024, yuan2025; got 'peng'"):
        load_claims("peng")
