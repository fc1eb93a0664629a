"""Runs of every period against brute force, whichever number of tokens the rows get at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebasin.engines.cycles import PERIOD, Cycles


def run(text: list[int], period: int) -> int:
    """Tokens at the end of a text that equal the one a period before, counted one by one."""
    n = 0
    while n + period < len(text) and text[-1 - n] == text[-1 - n - period]:
        n += 1
    return n


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 2), min_size=90, max_size=90), min_size=1, max_size=3), st.data())
def test_runs_equal_brute_force(texts, data):
    cycles, at = Cycles(4, 100), [0] * len(texts)
    rows = [3, 0, 2][: len(texts)]
    for _ in range(6):
        counts = np.asarray([data.draw(st.integers(0, 15)) for _ in texts])
        tokens = np.full((len(texts), 15), 1)
        for row, text in enumerate(texts):
            tokens[row, : counts[row]] = text[at[row] : at[row] + counts[row]]
            at[row] += int(counts[row])
        cycles.see(rows, tokens, counts)
        expected = [[run(t[:n], p) for p in range(1, PERIOD + 1)] for t, n in zip(texts, at, strict=True)]
        assert cycles.runs(rows).tolist() == expected


def test_a_row_goes_on_with_its_period():
    cycles = Cycles(2, 40)
    cycles.see([0, 1], np.asarray([[7, 1, 2, 3, 1, 2], [5, 5, 9, 0, 0, 0]]), np.asarray([6, 3]))
    assert cycles.go_on([0, 1], np.asarray([3, 2]), 5).tolist() == [[3, 1, 2, 3, 1], [5, 9, 5, 9, 5]]
    assert cycles.go_on([1], np.asarray([5]), 3).tolist() == [[0, 0, 5]], "nothing was seen so far back"


def back(text: list[int]) -> int:
    """How far back the longest of the last three, two and one tokens was last said; 0 where never."""
    for n in (3, 2, 1):
        for distance in range(1, len(text) - n + 1):
            if text[len(text) - n :] == text[len(text) - n - distance : len(text) - distance]:
                return distance
    return 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=40))
def test_distances_equal_brute_force(text):
    cycles = Cycles(2, 41)
    if text:
        cycles.see([1], np.asarray([text]), np.asarray([len(text)]))
    assert cycles.distances([1, 0]).tolist() == [back(text), 0]
