"""Answered questions are a set of questions, held pair by pair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebasin.study.answered import Answered

QUESTIONS = st.sets(st.tuples(*(st.sampled_from("abc"),) * 3))


@pytest.mark.slow
@given(QUESTIONS, QUESTIONS, QUESTIONS)
def test_they_are_a_set(
    some: set[tuple[str, str, str]], more: set[tuple[str, str, str]], asked: set[tuple[str, str, str]]
) -> None:
    held = Answered.of(some)
    assert len(held) == len(some)
    assert bool(held) == bool(some)
    assert held.add(more) == len(more - some)
    assert held == Answered.of(some | more)
    points, systems, prompts = ({question[i] for question in asked} for i in range(3))
    kept = {q for q in some | more if q[0] in points and q[1] in systems and q[2] in prompts}
    assert held.within(points, systems, prompts) == Answered.of(kept)
    without = {"a": frozenset("b"), "c": frozenset("ac")}
    less = {q for q in kept if q[2] not in without.get(q[0], ())}
    assert held.within(points, systems, prompts, without=without) == Answered.of(less)
    assert all(held.prompts(p, s) == {q[2] for q in some | more if q[:2] == (p, s)} for p in "abc" for s in "abc")


def test_equal_sets_of_prompts_are_held_once() -> None:
    held = Answered()
    for point in "abc":
        held.add((point, "s", str(i)) for i in range(5))
        held.add((point, "s", str(i)) for i in range(5, 9))
    assert held.prompts("a", "s") is held.prompts("b", "s") is held.prompts("c", "s")
