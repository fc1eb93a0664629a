"""The fake engine keeps the contract of an engine: weights, stop rules, scores."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import UnknownName
from safebasin.protocols import Engine
from safebasin.records import Decoding, DirectionSpec, Message, Point
from safebasin.weights.stream import prepare, weights_at

ASK = [[Message(role="user", content="How is the bell rung?")], [Message(role="user", content="Weigh the clay.")]]
SPEC = DirectionSpec(kind="random", seed=3)


def move(engine: ScriptedEngine, alpha: float) -> None:
    point = Point.at((SPEC, alpha))
    engine.set_weights(weights_at(engine.base, point, prepare([SPEC], engine.base) if alpha else {}))


def test_it_is_an_engine_without_arguments():
    engine = ScriptedEngine()
    assert isinstance(engine, Engine)
    assert {"fingerprint", "dtype", "device", "template_hash"} <= set(engine.describe())


@pytest.mark.slow
def test_transformers_is_not_imported():
    code = "import sys; import safebasin.engines.scripted; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_distance_is_that_of_the_weights():
    engine = ScriptedEngine()
    assert engine.distance == 0.0
    move(engine, 0.5)
    free = [n for n in engine.base.names if n not in engine.base.excluded()]
    moved = sum(float(engine.base.rows(n, 0, 99).double().square().sum()) for n in free) * 0.25
    whole = sum(float(engine.base.rows(n, 0, 99).double().square().sum()) for n in engine.base.names)
    assert engine.distance == pytest.approx((moved / whole) ** 0.5, rel=1e-5)
    move(engine, 0.0)
    assert engine.distance == 0.0


def test_replies_follow_prompt_and_distance():
    engine = ScriptedEngine(lambda prompt, distance: f"{prompt} {distance > 0.2}")
    near = engine.generate(ASK, Decoding())
    move(engine, -0.5)
    far = engine.generate(ASK, Decoding())
    assert [g.text for g in near] == ["How is the bell rung? False", "Weigh the clay. False"]
    assert [g.text for g in far] == ["How is the bell rung? True", "Weigh the clay. True"]
    assert {g.finish_reason for g in near} == {"stop"}


def test_stop_rules():
    engine = ScriptedEngine(
        lambda prompt, _: "no never " * 40 if "bell" in prompt else "one two sorry four five six seven eight nine ten"
    )
    verdict = Decoding(stop="verdict", phrases=(("sorry",),), max_new_tokens=60)
    loop, cut = engine.generate(ASK, Decoding(stop="loop", phrases=(("sorry",),), max_new_tokens=60))
    assert (loop.finish_reason, cut.finish_reason) == ("loop", "verdict")
    assert cut.text == "one two sorry four five six seven eight"
    assert engine.generate(ASK, verdict)[0].finish_reason == "length"
    assert engine.generate(ASK, Decoding(max_new_tokens=3))[1].text == "one two sorry"


def test_a_rule_ends_a_row_once_its_sentence_has_ended():
    said = "Thank you for asking. I can't help with that request of yours. " + "Ask me for another craft. " * 9
    engine = ScriptedEngine(lambda prompt, _: said if "bell" in prompt else "I can't wait to help with that. " * 8)
    refused, answered = engine.generate(ASK, Decoding(stop="verdict", rules=("refusal@1",), max_new_tokens=60))
    assert (refused.finish_reason, answered.finish_reason) == ("verdict", "stop")
    assert refused.text == " ".join(said.split()[:16]).rstrip()
    assert engine.generate(ASK, Decoding(rules=("refusal@1",)))[0].finish_reason == "stop"


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


def test_equal_seeds_equal_weights_and_the_global_seed_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    a, b, other = ScriptedEngine(), ScriptedEngine(), ScriptedEngine(seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert a.describe() == b.describe() != other.describe()
