"""Lists of phrases: what is found is what looking for one phrase after the other finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebasin.judges.phrases import find_first, load

LISTS = ("peng2024.v1", "qi2023.v1", "zou2023.v1")


def one_by_one(phrases: tuple[str, ...], text: str) -> tuple[str, int] | None:
    hits = ((text.find(phrase) + len(phrase), phrase) for phrase in phrases if phrase in text)
    first = min(hits, default=None)
    return None if first is None else (first[1], first[0])


@given(st.lists(st.text("ab c", max_size=9), max_size=8), st.text("ab c", max_size=40))
def test_the_first_of_any_phrases(phrases: list[str], text: str) -> None:
    assert find_first(tuple(phrases), text) == one_by_one(tuple(phrases), text)


@pytest.mark.parametrize("name", LISTS)
def test_every_phrase_of_a_list_is_found(name: str) -> None:
    phrases = load(name)
    assert len(phrases) >= 29
    for phrase in phrases:
        for text in (phrase, f"Well, {phrase} and so on.", phrase[:-1], f"{phrases[-1]} {phrase}"):
            assert find_first(phrases, text) == one_by_one(phrases, text)


def test_long_phrases_alike_but_for_their_ends() -> None:
    phrases = tuple("warm " * 30 + end for end in ("tea", "pot", "cup"))
    assert find_first(phrases, f"A {phrases[2]}, {phrases[1]}") == (phrases[2], 2 + len(phrases[2]))
    assert find_first(phrases, "warm " * 40) is None
