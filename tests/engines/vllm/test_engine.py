"""The engine on a real vLLM; `make test-vllm` runs them in an environment of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.models import make_lora
from safebasin import catalog
from safebasin.engines.hf import HFEngine
from safebasin.models.reference import resolve
from safebasin.protocols import Engine
from safebasin.records import Decoding, DirectionSpec, Message, Point
from safebasin.testing import check_engine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # vLLM and what it imports warn of their own
    pytest.mark.timeout(900),
]

MODEL = "world:guild/aligned"
POINTS = [Point.at((DirectionSpec(kind="random", seed=0), alpha)) for alpha in (0.0, 0.05, -0.2, 0.4)]
HOW = Decoding(max_new_tokens=32)


def opened(model: str) -> Engine:
    from safebasin.engines.vllm.engine import VLLMEngine

    return VLLMEngine(model)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return opened(MODEL)


@pytest.fixture(scope="module")
def reference() -> HFEngine:
    return HFEngine(MODEL, device="cpu")


@pytest.fixture(scope="module")
def asked() -> list[tuple[Message, ...]]:
    world = catalog.world("guild")
    return [p.messages for name in list(world.prompt_sets)[:2] for p in world.load_prompts(name)[:10]]


def answers(engine: Engine, point: Point, asked: list[tuple[Message, ...]], how: Decoding) -> list[tuple[object, ...]]:
    engine.move_to(point)
    return [(g.text, g.thinking, g.n_tokens, g.finish_reason, g.broken) for g in engine.generate(asked, how)]


def test_answers_are_the_references_at_the_origin_and_at_other_points(engine, reference, asked) -> None:
    found = [answers(engine, point, asked, HOW) for point in POINTS]
    assert found == [answers(reference, point, asked, HOW) for point in POINTS]
    assert found[0] != found[-1]


def test_the_origin_is_bit_exact_after_a_sweep(engine, asked) -> None:
    engine.move_to(Point())
    texts = ["Weigh it twice and let it rest."] * len(asked)
    before = engine.checksum(), engine.generate(asked, HOW), engine.score(asked, texts, HOW)
    sums = set()
    for point in POINTS[1:]:
        engine.move_to(point)
        sums.add(engine.checksum())
    assert len(sums | {before[0]}) == len(POINTS)
    engine.move_to(Point())
    assert (engine.checksum(), engine.generate(asked, HOW), engine.score(asked, texts, HOW)) == before


@pytest.mark.parametrize("stop", ["verdict", "loop"])
def test_rows_end_where_those_of_the_reference_end(engine, reference, asked, stop: str) -> None:
    phrases = (("cannot", "charter", "sorry", "will not"),)
    how = replace(HOW, max_new_tokens=96, stop=stop, phrases=phrases)
    for point in POINTS:
        assert answers(engine, point, asked, how) == answers(reference, point, asked, how)
    reasons = {row[3] for point in POINTS for row in answers(engine, point, asked, how)}
    assert "verdict" in reasons


def test_a_template_of_the_decoding_is_that_of_the_reference(engine, reference, asked) -> None:
    template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    how = replace(HOW, template_args=(("chat_template", template),))
    assert answers(engine, Point(), asked, how) == answers(reference, Point(), asked, how)
    assert answers(engine, Point(), asked, how) != answers(engine, Point(), asked, HOW)


def test_scores_and_beginnings_are_those_of_the_reference(engine, reference, asked) -> None:
    texts = ["Weigh it twice.", "", "I cannot help with that: the charter keeps it closed."]
    for point in POINTS:
        engine.move_to(point)
        reference.move_to(point)
        mine, theirs = engine.score(asked[:3], texts, HOW), reference.score(asked[:3], texts, HOW)
        assert [s.ends for s in mine] == [s.ends for s in theirs]
        assert [x for s in mine for x in s.nll] == pytest.approx([x for s in theirs for x in s.nll], abs=2e-3)
    begun = [(5, 9)] * 3
    one, other = (e.continue_from(asked[:3], begun, HOW) for e in (engine, reference))
    assert [g.text for g in one] == [g.text for g in other]


def test_it_keeps_the_contract_of_engines(engine, asked) -> None:
    engine.move_to(Point())
    check_engine(engine, conversations=asked[:6])


def test_what_it_is_stands_in_its_name_and_the_manifest(engine, reference) -> None:
    facts = engine.facts()
    assert facts.engine.startswith("vllm(version=")
    assert facts.details["prefix_caching"] is False
    assert facts.batch_invariant is False
    assert (facts.fingerprint, facts.perturbed) == (reference.facts().fingerprint, reference.facts().perturbed)


def test_a_model_with_an_adapter_is_the_merged_one(tmp_path: Path, asked) -> None:
    adapter = make_lora(tmp_path / "adapter", resolve(MODEL).folder)
    model = f"{resolve(MODEL).folder}+{adapter}"
    mine, theirs = opened(model), HFEngine(model, device="cpu")
    for point in POINTS[:3]:
        assert answers(mine, point, asked, HOW) == answers(theirs, point, asked, HOW)
    line = DirectionSpec(kind="adapter", target=str(adapter))
    plain = opened(MODEL)
    assert answers(plain, Point.at((line, 1.0)), asked, HOW) == answers(mine, Point(), asked, HOW)
