"""Records: identity is content."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebasin import records
from safebasin.records import (
    Decoding,
    DirectionSpec,
    LanguageTest,
    Message,
    ModelRef,
    Point,
    Prompt,
    Response,
    Score,
    System,
)

RANDOM = DirectionSpec(kind="random", seed=1)


@pytest.mark.parametrize(
    ("text", "path", "revision", "adapter"),
    [
        ("org/name", "org/name", None, None),
        ("org/name@main", "org/name", "main", None),
        ("org/name@main+./lora", "org/name", "main", "./lora"),
        ("./folder+org/lora", "./folder", None, "org/lora"),
        ("world:guild/aligned", "world:guild/aligned", None, None),
        ("./odd@name+x/", "./odd@name+x", None, None),
    ],
)
def test_model_ref_parses(text: str, path: str, revision: str | None, adapter: str | None) -> None:
    ref = ModelRef.parse(text)
    assert (ref.path, ref.revision, ref.adapter) == (path, revision, adapter)
    assert str(ref) == text.rstrip("/")


def test_zero_terms_are_dropped_so_that_landscapes_share_the_origin() -> None:
    other = DirectionSpec(kind="random", seed=2)
    assert Point.at((RANDOM, 0.0), (other, 0.0)).key == Point().key == "origin"
    assert Point.at((RANDOM, 0.5), (other, 0.0)) == Point.at((RANDOM, 0.5))


def test_point_key_depends_on_every_part_of_the_recipe() -> None:
    changed = {
        "kind": "to",
        "seed": 9,
        "index": 1,
        "normalize": "filter",
        "only": "*.mlp.*",
        "target": "elsewhere",
        "fingerprint": "abc",
        "version": 2,
        "orthogonal_to": (DirectionSpec(kind="random", seed=7),),
        "args": (("density", 0.5),),
    }
    assert set(changed) == {f.name for f in dataclasses.fields(DirectionSpec)}
    keys = {Point.at((dataclasses.replace(RANDOM, **{k: v}), 0.5)).key for k, v in changed.items()}
    keys |= {Point.at((RANDOM, 0.5)).key, Point.at((RANDOM, -0.5)).key}
    assert len(keys) == len(changed) + 2


def test_prompt_id_is_its_messages_and_nothing_else() -> None:
    turn = (Message(role="user", content="Weigh the clay."),)
    assert Prompt(messages=turn, source="a", category="b").id == Prompt(messages=turn).id
    assert Prompt(messages=(Message(role="system", content="Weigh the clay."),)).id != Prompt(messages=turn).id


def test_system_prompts_default_none_and_text() -> None:
    prompt = Prompt(messages=(Message(role="user", content="Hi"),))
    assert System(name="default").messages(prompt) == prompt.messages
    assert System(name="none", text="").messages(prompt)[0] == Message(role="system", content="")
    own = Prompt(messages=(Message(role="system", content="mine"), *prompt.messages))
    assert System(name="x", text="other").messages(own) == own.messages


def test_decoding_key_depends_on_every_field() -> None:
    plain = Decoding()
    changed = {
        "max_new_tokens": 7,
        "stop": "verdict",
        "phrases": (("No",),),
        "rules": ("refusal@1",),
        "template_args": (("a", 1),),
        "dtype": "float32",
        "seed": 1,
        "defenses": ("a@1",),
        "engine": "mine",
    }
    assert set(changed) == {f.name for f in dataclasses.fields(Decoding)}
    assert len({dataclasses.replace(plain, **{k: v}).key for k, v in changed.items()} | {plain.key}) == len(changed) + 1


@pytest.mark.parametrize(
    ("decoding", "key"),
    [
        (Decoding(), "27efd13377b682f5"),
        (
            Decoding(stop="verdict", phrases=(("I refuse",), ("No", "Never")), template_args=(("a", True),)),
            "b9d7e97933e83ab0",
        ),
        (Decoding(max_new_tokens=64, stop="loop", phrases=(("No",),), dtype="float32"), "5bf8e5a42fbdf13a"),
    ],
)
def test_decodings_of_the_first_release_keep_their_keys(decoding: Decoding, key: str) -> None:
    assert decoding.key == key


def test_an_unstopped_decoding_keeps_what_the_text_depends_on() -> None:
    stopped = Decoding(max_new_tokens=9, stop="loop", phrases=(("No",),), rules=("refusal@1",), dtype="float32")
    assert stopped.unstopped == Decoding(max_new_tokens=9, dtype="float32")


def test_response_key_is_the_question_not_the_answer() -> None:
    one = Response(
        point="origin", prompt="p", system="default", decoding="d", text="a", n_tokens=1, finish_reason="stop"
    )
    assert dataclasses.replace(one, text="b", n_tokens=9, finish_reason="length").key == one.key
    assert dataclasses.replace(one, sample=1).key != one.key


def test_score_means_by_hand() -> None:
    score = Score(response="r", nll=(1.0, 2.0, 3.0, 6.0), ends=(2, 5, 6, 9))
    assert score.mean() == 3.0
    assert score.mean(skip=3) == 6.0
    assert score.mean(until=5) == 1.5, "the third token begins at character 5, outside the prefix"
    assert score.mean(until=6) == 2.0
    assert score.mean(until=0) is None
    assert Score(response="r", nll=(), ends=()).mean() is None


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.canonical_json(math.nan)


@given(st.dictionaries(st.text(), st.integers()))
def test_content_hash_ignores_the_order_of_keys(value: dict[str, int]) -> None:
    assert records.content_hash(value) == records.content_hash(dict(reversed(value.items())))


def test_a_likelihood_near_zero_is_not_rounded_away() -> None:
    test = LanguageTest(threshold=0.5, language=0.0031, shuffled=9.76, own=0.0, n=40)
    assert "85 % of them lie below 0.0031, with their words shuffled half lie above 9.76" in test.words()
    assert "answers at 0.00)" in test.words()
