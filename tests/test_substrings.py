"""Many substrings looked for at once: what a plain search for each of them says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebasin.judges.wording import VERSIONS, rules
from safebasin.substrings import any_of

words = st.text("abné|.(^不", max_size=4)


@given(st.lists(words, max_size=6), st.text("abné|.(^不 ", max_size=12))
def test_a_text_holds_any_of_them_as_plain_search_says(substrings: list[str], text: str) -> None:
    assert any_of(tuple(substrings)).is_in(text) == any(one in text for one in substrings)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_cue_of_a_rule_is_found_in_the_middle_of_a_text_and_not_without_its_end(version: str) -> None:
    cues = rules(version).cues
    sought = any_of(cues)
    assert all(sought.is_in(f"zq{cue}zq") for cue in cues)
    for cut in {cue[:-1] for cue in cues}:
        assert sought.is_in(cut) == any(cue in cut for cue in cues)


def test_the_same_ones_are_compiled_once() -> None:
    assert any_of(("no", "not")) is any_of(("no", "not"))
