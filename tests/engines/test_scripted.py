"""The fake engine keeps the contract of an engine: weights, stop rules, scores."""

from __future__ import annotations

import subprocess
import sys

import pytest

from safebasin.engines.scripted import ScriptedEngine, distance
from safebasin.errors import ModelError, UnknownName
from safebasin.models.reference import resolve
from safebasin.protocols import Engine, Inside
from safebasin.records import Decoding, DirectionSpec, Message, Point

ASK = [[Message(role="user", content="How is the bell rung?")], [Message(role="user", content="Weigh the clay.")]]
SPEC = DirectionSpec(kind="random", seed=3)


def move(engine: ScriptedEngine, alpha: float) -> None:
    engine.move_to(Point.at((SPEC, alpha)))


def test_it_is_an_engine_without_arguments():
    engine = ScriptedEngine()
    assert isinstance(engine, Engine)
    assert not isinstance(engine, Inside)


@pytest.mark.slow
def test_neither_torch_nor_transformers_is_imported():
    code = "import sys; import safebasin.engines.scripted; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_distance_is_that_of_the_coordinates():
    assert distance(Point()) == 0
    assert distance(Point.at((SPEC, -0.3), (DirectionSpec(kind="random", seed=4), 0.4))) == pytest.approx(0.5)


def test_replies_follow_conversation_and_point():
    engine = ScriptedEngine(lambda conversation, point: f"{conversation[-1].content} {distance(point) > 0.2}")
    near = engine.generate(ASK, Decoding())
    move(engine, -0.5)
    far = engine.generate(ASK, Decoding())
    assert [g.text for g in near] == ["How is the bell rung? False", "Weigh the clay. False"]
    assert [g.text for g in far] == ["How is the bell rung? True", "Weigh the clay. True"]
    assert {g.finish_reason for g in near} == {"stop"}


def test_stop_rules():
    engine = ScriptedEngine(
        lambda conversation, _: (
            "no never " * 40
            if "bell" in conversation[-1].content
            else "one two sorry four five six seven eight nine ten"
        )
    )
    verdict = Decoding(stop="verdict", phrases=(("sorry",),), max_new_tokens=60)
    loop, cut = engine.generate(ASK, Decoding(stop="loop", phrases=(("sorry",),), max_new_tokens=60))
    assert (loop.finish_reason, cut.finish_reason) == ("loop", "verdict")
    assert cut.text == "one two sorry four five six seven eight"
    assert engine.generate(ASK, verdict)[0].finish_reason == "length"
    assert engine.generate(ASK, Decoding(max_new_tokens=3))[1].text == "one two sorry"


@pytest.mark.slow
def test_a_rule_ends_a_row_once_its_sentence_has_ended():
    said = "Thank you for asking. I can't help with that request of yours. " + "Ask me for another craft. " * 9
    engine = ScriptedEngine(
        lambda asked, _: said if "bell" in asked[-1].content else "I can't wait to help with that. " * 8
    )
    refused, answered = engine.generate(ASK, Decoding(stop="verdict", rules=("refusal@1",), max_new_tokens=60))
    assert (refused.finish_reason, answered.finish_reason) == ("verdict", "stop")
    assert refused.text == " ".join(said.split()[:16]).rstrip()
    assert engine.generate(ASK, Decoding(rules=("refusal@1",)))[0].finish_reason == "stop"


def test_a_row_ends_by_the_version_of_the_rule_that_its_decoding_names():
    engine = ScriptedEngine(
        lambda *_: "Nie mogę powiedzieć na pewno, ale most jest stary. " + "Zbudowano go dawno temu. " * 9
    )
    first, second = (
        engine.generate(ASK[:1], Decoding(stop="verdict", rules=(f"refusal@{version}",), max_new_tokens=60))[0]
        for version in "12"
    )
    assert (first.finish_reason, second.finish_reason) == ("verdict", "stop")
    assert second.text.startswith(first.text)


@pytest.mark.parametrize("rule", ["refusal@9", "keyword/peng2024@1", "nothing@1", ""])
def test_a_rule_that_is_not_here_is_named(rule):
    with pytest.raises(UnknownName, match="must be"):
        ScriptedEngine().generate(ASK, Decoding(stop="verdict", rules=(rule,)))


def test_reasoning_is_split_off():
    generation = ScriptedEngine(lambda *_: "<think>\nhm, a bell\n</think>\n\nRing it.").generate(ASK, Decoding())[0]
    assert (generation.thinking, generation.text) == ("hm, a bell", "Ring it.")


def test_scores_cover_the_text():
    engine = ScriptedEngine()
    words, noise = engine.score(ASK, ["Ring the bell twice.", "#~ ;; %4"], Decoding())
    assert words.ends[-1] == len("Ring the bell twice.")
    assert max(words.nll) < min(noise.nll)


def test_a_full_device():
    engine = ScriptedEngine(largest_batch=1)
    with pytest.raises(MemoryError):
        engine.generate(ASK, Decoding())
    assert engine.generate(ASK[:1], Decoding())
    assert engine.calls == [("generate", 2), ("generate", 1)]


def test_it_bears_the_name_of_a_model():
    plain, named = ScriptedEngine().facts(), ScriptedEngine(model="world:guild/aligned").facts()
    assert named.fingerprint == resolve("world:guild/aligned").fingerprint != plain.fingerprint
    with pytest.raises(ModelError):
        ScriptedEngine(model="nowhere/to-be-found")
