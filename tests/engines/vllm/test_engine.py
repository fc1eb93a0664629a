"""The engine on a real vLLM; `make test-vllm` runs them in an environment of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.models import make_lora
from safebasin import catalog
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError, UsageError
from safebasin.models.reference import resolve
from safebasin.protocols import Engine
from safebasin.records import Decoding, DirectionSpec, Message, Point
from safebasin.testing import check_engine

if TYPE_CHECKING:
    from safebasin.engines.vllm.engine import VLLMEngine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # vLLM and what it imports warn of their own
    pytest.mark.timeout(900),
]

MODEL = "world:guild/aligned"
POINTS = [Point.at((DirectionSpec(kind="random", seed=0), alpha)) for alpha in (0.0, 0.05, -0.2, 0.4)]
HOW = Decoding(max_new_tokens=32)


ROADS = {"weight transfer": None, "reload": "VLLM_PLUGINS leaves 'safebasin' out"}
"""How the workers get the weights of a point, and why so: vLLM is told to leave the plugin out."""


def opened(model: str, road: str = "weight transfer") -> VLLMEngine:
    from safebasin.engines.vllm.engine import VLLMEngine

    with pytest.MonkeyPatch.context() as patch:
        if road == "reload":
            patch.setenv("VLLM_PLUGINS", "")
        return VLLMEngine(model)


@pytest.fixture(scope="module", params=ROADS)
def road(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def engine(road: str) -> VLLMEngine:
    return opened(MODEL, road)


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


def test_what_it_is_stands_in_its_name_and_the_manifest(engine, reference, road: str) -> None:
    facts = engine.facts()
    because = {"because": ROADS[road]} if ROADS[road] else {}
    assert facts.details["weights"] == {"by": road, **because}
    assert facts.engine.startswith("vllm(version=")
    assert facts.details["prefix_caching"] is False
    assert facts.batch_invariant is False
    assert (facts.fingerprint, facts.perturbed) == (reference.facts().fingerprint, reference.facts().perturbed)


def test_both_roads_lead_to_the_same_weights_bit_for_bit() -> None:
    engines = [opened(MODEL, road) for road in ROADS]
    for point in (*POINTS, Point()):
        for engine in engines:
            engine.move_to(point)
        assert len({engine.checksum() for engine in engines}) == 1


def test_a_point_that_does_not_fit_leaves_the_weights_as_they_are(engine) -> None:
    engine.move_to(POINTS[2])
    before = engine.checksum()
    with pytest.raises(UsageError, match="direction"):
        engine.move_to(Point.at((DirectionSpec(kind="unheard-of", seed=0), 0.5)))
    assert engine.checksum() == before
    engine.move_to(POINTS[1])
    assert engine.checksum() != before


def test_the_plugin_is_found_in_a_process_of_vllms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """There nobody but vLLM registers it, by the entry point of the installed package."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    engine = opened(MODEL)
    assert type(engine._llm.llm_engine.engine_core).__name__ == "SyncMPClient"
    assert engine.facts().details["weights"] == {"by": "weight transfer"}
    before = engine.checksum()
    engine.move_to(POINTS[1])
    assert engine.checksum() != before


def test_vllm_knows_the_point_that_its_weights_are_of() -> None:
    engine = opened(MODEL)
    engine.move_to(POINTS[2])
    assert engine._llm.llm_engine.get_weight_version() == POINTS[2].key


def test_a_transfer_that_brings_other_weights_is_left_for_the_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    from safebasin.engines.vllm import transfer

    monkeypatch.setattr(transfer, "repack_tied", lambda module: None)  # the head keeps the matrix of the last point
    engine = opened(MODEL)
    found = engine.facts().details["weights"]
    assert isinstance(found, dict)
    assert found["by"] == "reload"
    assert "self-test of the engine 'vllm'" in found["because"]
    engine.move_to(POINTS[1])
    other = opened(MODEL, "reload")
    other.move_to(POINTS[1])
    assert engine.checksum() == other.checksum()


def test_neither_road_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from safebasin.engines.vllm import roads

    def breaks(*_: object) -> None:
        raise Exception("Call to collective_rpc failed:\nno kernel")

    monkeypatch.setattr(roads.Transfer, "open", breaks)
    monkeypatch.setattr(roads.Reload, "open", breaks)
    with pytest.raises(ModelError, match=r"vLLM can reload; got .* \(Call to collective_rpc failed: no kernel\)"):
        opened(MODEL)


def test_a_transfer_that_breaks_off_is_left_for_the_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    from safebasin.engines.vllm import transfer

    def breaks(*_: object) -> None:
        raise NotImplementedError("no kernel for this")

    monkeypatch.setattr(transfer, "finalize_layerwise_reload", breaks)
    engine = opened(MODEL)
    assert engine.facts().details["weights"] == {"by": "reload", "because": "no kernel for this"}


@pytest.mark.parametrize("road", ROADS)
def test_a_model_with_an_adapter_is_the_merged_one(tmp_path: Path, asked, road: str) -> None:
    adapter = make_lora(tmp_path / "adapter", resolve(MODEL).folder)
    model = f"{resolve(MODEL).folder}+{adapter}"
    mine, theirs = opened(model, road), HFEngine(model, device="cpu")
    for point in POINTS[:3]:
        assert answers(mine, point, asked, HOW) == answers(theirs, point, asked, HOW)
    line = DirectionSpec(kind="adapter", target=str(adapter))
    plain = opened(MODEL, road)
    assert answers(plain, Point.at((line, 1.0)), asked, HOW) == answers(mine, Point(), asked, HOW)
