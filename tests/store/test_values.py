"""Values of columns as they come back: what was not stored by us is refused where it is read."""

from __future__ import annotations

import pytest

from safebasin.records import Image, Message, Score
from safebasin.store.values import pack_score, read_turn, read_verdict, unpack_score, written_turn


def test_a_score_comes_back_and_one_of_unequal_lengths_does_not() -> None:
    score = Score(response="k", nll=(0.5, 1.25), ends=(3, 7))
    nll, ends = pack_score(score)
    assert unpack_score("k", nll, ends) == score
    with pytest.raises(ValueError, match="1 likelihoods with 2 ends"):
        unpack_score("k", nll[:4], ends)


@pytest.mark.parametrize("grade", ["5", b"\x05", [5]])
def test_a_grade_that_is_no_number_is_refused(grade: object) -> None:
    row = ("k", "rubric", "1", "complied", 1, "")
    assert read_verdict((*row, 4)).grade == 4
    assert read_verdict((*row, None)).grade is None
    with pytest.raises(TypeError, match="where a number was stored"):
        read_verdict((*row, grade))


def test_a_turn_comes_back_and_of_its_image_what_it_is_known_by() -> None:
    plain = Message(role="user", content="What is it")
    assert written_turn(plain) == {"role": "user", "content": "What is it"}
    assert read_turn(written_turn(plain)) == plain
    shown = Message(role="user", content="What is it", image=Image(digest="ab" * 32, name="a.png", path="/home/a.png"))
    found = read_turn(written_turn(shown))
    assert found == shown
    assert found.image is not None
    assert (found.image.name, found.image.path) == ("a.png", "")
