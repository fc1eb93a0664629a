"""Guessing how a row goes on: from which cycles, and how long a pass is."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.engines.paced.drafting import FEW, LONGEST, SEEN, SHORTEST, Drafter


def fed(*texts: str) -> Drafter:
    """A drafter that has seen these rows, a letter a token."""
    drafter = Drafter(len(texts), 64)
    width = max(map(len, texts))
    tokens = np.asarray([[ord(letter) for letter in text.ljust(width)] for text in texts])
    drafter.see(range(len(texts)), tokens, np.asarray([len(text) for text in texts]))
    return drafter


def guess(drafter: Drafter, row: int = 0, n: int = 8) -> str:
    return "".join(chr(token) for token in drafter.guess([row], n)[0])


CYCLES = [
    ("xababababab", "abababab"),
    ("xaaaaaaaa", "aaaaaaaa"),
    ("xabcabcabc", "abcabcab"),
    ("xaaaxaaaxaaa", "xaaaxaaa"),
]


@pytest.mark.parametrize(("text", "expected"), CYCLES)
def test_a_cycle_goes_on(text: str, expected: str) -> None:
    drafter = fed(text)
    assert drafter.cyclic([0]).tolist() == [True]
    assert guess(drafter) == expected


def test_the_shortest_cycle_that_fits_is_taken() -> None:
    assert guess(fed("abaabaabaaba")) == "abaabaab"


def test_text_and_cycles_that_have_only_begun_are_not_cyclic() -> None:
    drafter = fed("abcdefghij", "abcdabcda", "x" + "a" * SEEN, "x" + "a" * (SEEN + 1))
    assert drafter.cyclic([0, 1, 2, 3]).tolist() == [False, False, False, True], "the first a repeats nothing"


def test_passes_grow_while_guesses_hold_and_shrink_when_they_do_not() -> None:
    drafter = fed("abababababab")
    sizes = [drafter.size]
    for share in (1, 1, 1, 0.5, 0.1, 0.1, 0.1, 0.1):
        drafter.learn(share * drafter.size)
        sizes.append(drafter.size)
    assert sizes == [8, 16, LONGEST, LONGEST, LONGEST, 16, 8, SHORTEST, SHORTEST]


def test_a_few_rows_go_on_as_after_what_they_said_before() -> None:
    drafter = fed("the cat sat on the c", "abcdefghijklmnopqrst")
    assert not drafter.cyclic([0, 1]).any()
    assert guess(drafter, n=11) == "at sat on t"
    assert drafter.few([0]) == FEW
    assert drafter.few([0, 1]) == FEW // 2, "one of them can be guessed"
    assert drafter.few([1]) == 1, "it has said nothing twice"
    assert drafter.few([0] * FEW) == 1, "these are not few"


def test_where_cycles_end_a_row_none_is_set_apart_but_guesses_follow_it() -> None:
    drafter = Drafter(1, 64, apart=False)
    drafter.see([0], np.asarray([[ord(letter) for letter in "ab" * 10]]), np.asarray([20]))
    assert drafter.cyclic([0]).tolist() == [False]
    assert guess(drafter, n=4) == "abab"
