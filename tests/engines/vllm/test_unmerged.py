"""Points along adapters beside the weights of a real vLLM, several in one running batch; `make test-vllm` runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file, save_file

from helpers.models import make_lora, make_tiny_model
from safebasin import catalog, study
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError, UsageError
from safebasin.models.reference import resolve
from safebasin.protocols import UNMERGED
from safebasin.records import Decoding, DirectionSpec, Message, Point
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore
from safebasin.testing import check_engine

if TYPE_CHECKING:
    from safebasin.engines.vllm.engine import VLLMEngine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # vLLM and what it imports warn of their own
    pytest.mark.timeout(900),
]

MODEL = "world:guild/aligned"
FOLDER = resolve(MODEL).folder
HOW = Decoding(max_new_tokens=32)
ALPHAS = (0.25, 0.5, 1.0, -0.75)
ASKED = [p.messages for name in list(catalog.world("guild").prompt_sets)[:2]
         for p in catalog.world("guild").load_prompts(name)[:10]]  # fmt: skip


def opened(*lines: DirectionSpec, model: str = MODEL) -> VLLMEngine:
    from safebasin.engines.vllm.engine import VLLMEngine

    return VLLMEngine(model, directions=lines, adapters="unmerged")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DirectionSpec]:
    """Two that can be served beside the weights, one that cannot."""
    made = tmp_path_factory.mktemp("a")
    folders = {
        "plain": make_lora(made / "plain", FOLDER, rank=4),
        "rs": make_lora(
            made / "rs", FOLDER, rank=12, alpha=40, use_rslora=True, targets=["q_proj", "down_proj"], seed=1
        ),
        "saved": make_lora(made / "saved", FOLDER, targets=["q_proj"], modules_to_save=["norm"], seed=2),
    }
    return {name: DirectionSpec(kind="adapter", target=str(f), normalize="none") for name, f in folders.items()}


@pytest.fixture(scope="module")
def engine(adapters: dict[str, DirectionSpec]) -> VLLMEngine:
    return opened(*adapters.values())


@pytest.fixture(scope="module")
def reference() -> HFEngine:
    return HFEngine(MODEL, device="cpu")


def wanted(reference: HFEngine, points: Sequence[Point], how: Decoding = HOW) -> list[list[tuple[object, ...]]]:
    found: list[list[tuple[object, ...]]] = []
    for point in points:
        reference.move_to(point)
        found.append(said(reference.generate(ASKED, how)))
    return found


def said(answers: Sequence[Any]) -> list[tuple[object, ...]]:
    return [(g.text, g.thinking, g.n_tokens, g.finish_reason, g.broken) for g in answers]


def test_points_of_two_adapters_in_one_batch_answer_as_the_reference_with_merged_weights(
    engine, reference, adapters
) -> None:
    points = [Point.at((adapters[name], alpha)) for name in ("plain", "rs") for alpha in ALPHAS]
    found = engine.generate_together(points, [ASKED] * len(points), HOW)
    merged = wanted(reference, points)
    assert [said(rows) for rows in found] == merged
    assert len({str(rows) for rows in merged}) == len(points), "every point answers otherwise"


def test_a_point_alone_is_served_beside_the_weights_too_and_scored_so(engine, reference, adapters) -> None:
    origin = (engine.move_to(Point()), engine.checksum())[1]
    texts = ["Weigh it twice and let it rest."] * 3
    for point in (Point.at((adapters["plain"], 0.5)), Point.at((adapters["rs"], 1.0))):
        engine.move_to(point)
        assert engine.checksum() == origin, "the weights are those of θ₀"
        assert [said(engine.generate(ASKED, HOW))] == wanted(reference, [point])
        mine, theirs = engine.score(ASKED[:3], texts, HOW), reference.score(ASKED[:3], texts, HOW)
        assert [x for s in mine for x in s.nll] == pytest.approx([x for s in theirs for x in s.nll], abs=2e-3)


def test_an_adapter_that_replaces_tensors_is_merged_and_answers_as_the_reference(engine, reference, adapters) -> None:
    origin = (engine.move_to(Point()), engine.checksum())[1]
    point = Point.at((adapters["saved"], 0.5))
    engine.move_to(point)
    assert engine.checksum() != origin
    assert [said(engine.generate(ASKED, HOW))] == wanted(reference, [point])
    with pytest.raises(UsageError, match="along adapters that are served beside the weights"):
        engine.generate_together([point], [ASKED], HOW)


def test_rows_end_where_those_of_the_reference_end(engine, reference, adapters) -> None:
    how = Decoding(max_new_tokens=96, stop="verdict", phrases=(("cannot", "charter", "sorry", "will not"),))
    points = [Point.at((adapters["plain"], alpha)) for alpha in (0.02, 0.05)]
    found = [said(rows) for rows in engine.generate_together(points, [ASKED] * 2, how)]
    assert found == wanted(reference, points, how)
    assert "verdict" in {row[3] for rows in found for row in rows}


def test_it_says_what_it_is_and_keeps_the_contract_of_engines(engine, adapters) -> None:
    facts = engine.facts()
    assert facts.engine.endswith(f", {UNMERGED})")
    assert facts.unmerged == (adapters["plain"], adapters["rs"])
    assert (facts.at_once, facts.batch_invariant) == (8, False)
    told: Any = facts.details["adapters"]
    assert told["unmerged"] == [adapters["plain"].label(), adapters["rs"].label()]
    assert list(told["merged"]) == [adapters["saved"].label()]
    assert 0 < told["cross_check"]["largest_difference_nats"] < 1e-3
    engine.move_to(Point())
    check_engine(engine, conversations=ASKED[:6])


def test_a_copy_that_is_not_the_point_fails_the_cross_check_and_the_adapter_is_merged(
    reference, adapters, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from safebasin.engines.vllm import adapters as module

    right = module.write_copy
    monkeypatch.setattr(module, "write_copy", lambda spec, alpha, *rest: right(spec, 1.1 * alpha, *rest))
    engine = opened(adapters["plain"])
    assert UNMERGED not in engine.facts().engine
    assert engine.facts().unmerged == ()
    told: Any = engine.facts().details["adapters"]
    (why,) = told["merged"].values()
    assert "log-probabilities within 0.002 nats of those of the merged weights; got 'a difference of" in why
    assert "is merged into the weights: adapter beside the weights must be" in caplog.text
    point = Point.at((adapters["plain"], 0.5))
    engine.move_to(point)
    assert [said(engine.generate(ASKED, HOW))] == wanted(reference, [point])


def test_an_adapter_that_vllm_refuses_is_merged_and_the_others_are_not(
    reference, adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safebasin.engines.vllm import adapters as module

    right = module.write_copy

    def renamed(spec: DirectionSpec, alpha: float, adapter: Any, folder: Path) -> None:
        right(spec, alpha, adapter, folder)
        if spec == adapters["rs"]:
            path = folder / "adapter_model.safetensors"
            save_file({name.replace("q_proj", "gone"): t for name, t in load_file(path).items()}, path)

    monkeypatch.setattr(module, "write_copy", renamed)
    engine = opened(adapters["rs"], adapters["plain"])
    assert engine.facts().unmerged == (adapters["plain"],)
    told: Any = engine.facts().details["adapters"]
    assert "expected target modules" in told["merged"][adapters["rs"].label()]
    points = [Point.at((adapters[name], 0.5)) for name in ("rs", "plain")]
    found: list[Any] = []
    for point in points:
        engine.move_to(point)
        found.append(said(engine.generate(ASKED, HOW)))
    assert found == wanted(reference, points)


def test_an_engine_that_fails_with_adapters_is_started_without(
    reference, adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safebasin.engines.vllm import engine as module

    def breaks(*_: object, **__: object) -> float:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(module, "cross_check", breaks)
    engine = opened(adapters["plain"])
    assert engine.facts().unmerged == ()
    told: Any = engine.facts().details["adapters"]
    assert told["merged"] == {adapters["plain"].label(): "vLLM does not serve it so (no kernel for this)"}
    point = Point.at((adapters["plain"], 0.5))
    engine.move_to(point)
    assert [said(engine.generate(ASKED, HOW))] == wanted(reference, [point])


def test_an_architecture_that_vllm_serves_no_adapters_of_is_merged(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "m", "stablelm", hidden_size=128)
    spec = DirectionSpec(kind="adapter", target=str(make_lora(tmp_path / "a", model)), normalize="none")
    engine, other = opened(spec, model=str(model)), HFEngine(str(model), device="cpu")
    told: Any = engine.facts().details["adapters"]
    (why,) = told["merged"].values()
    assert "does not support LoRA" in why
    assert UNMERGED not in engine.facts().engine
    for e in (engine, other):
        e.move_to(Point.at((spec, 0.5)))
    questions = [(Message(role="user", content="What is tea?"),), (Message(role="user", content="Name a color."),)]
    assert said(engine.generate(questions, HOW)) == said(other.generate(questions, HOW))


def test_what_no_merging_helps_is_refused_at_the_start(tmp_path: Path) -> None:
    dora = make_lora(tmp_path / "dora", FOLDER, targets=["q_proj"], use_dora=True)
    with pytest.raises(ModelError, match=r"plain LoRA; got 'DoRA'.*to:FOLDER"):
        opened(DirectionSpec(kind="adapter", target=str(dora), normalize="none"))


def test_copies_are_found_in_a_process_of_vllms_own(reference, adapters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    engine = opened(adapters["plain"])
    points = [Point.at((adapters["plain"], alpha)) for alpha in ALPHAS]
    found = engine.generate_together(points, [ASKED] * len(points), HOW)
    assert [said(rows) for rows in found] == wanted(reference, points)


def test_a_study_of_a_line_holds_what_the_reference_says(adapters, tmp_path: Path) -> None:
    axis = {"kind": "adapter", "target": adapters["plain"].target, "range": "0:1:11"}
    given = {"model": MODEL, "axes": [axis], "limit": 5, "batch_size": 5, "judges": ["refusal"], "device": "cpu"}
    texts: dict[str, dict[tuple[str, str], str]] = {}
    for name, engine in (("vllm", "vllm(adapters=unmerged)"), ("hf", "hf")):
        made = study.make({**given, "engine": engine, "decoding": {"max_new_tokens": 24, "stop": "none"}})
        folder = measure(made, tmp_path / name)
        with StudyStore.open(folder) as store:
            texts[name] = {(r.point, r.prompt): r.text for r in store.responses()}
            engines = {decoding.engine for decoding in store.decodings().values()}
        assert all((UNMERGED in engine) == (name == "vllm") for engine in engines)
    assert texts["vllm"] == texts["hf"]
    assert len(texts["hf"]) == 11 * 5
