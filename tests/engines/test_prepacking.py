"""Prepacked products: those of the weights that a model has now, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from helpers.models import make_lora
from safebasin.engines import prepacking
from safebasin.engines.hf import HFEngine
from safebasin.engines.prepacking import Prepacking
from safebasin.records import Decoding, DirectionSpec, Message, Point

CHAT = [
    [Message(role="user", content=text)] for text in ("How do I weigh the clay?", "one two", "Ring the bell.", "no")
]
DECODING = Decoding(max_new_tokens=40)
AWAY = Point.at((DirectionSpec(kind="random", seed=3), 0.4))


LIBRARIES: list[prepacking.Library] = [each for each in get_args(prepacking.Library) if prepacking._works(each)]
"""Those of this build of torch: both, where it is for x86."""


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch: pytest.MonkeyPatch) -> str:
    """What lays the weights out, whoever made this processor."""
    monkeypatch.setattr(prepacking, "_library", lambda: request.param)
    return request.param


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models and layers of any size are prepacked."""
    monkeypatch.setattr(prepacking, "SMALL", 0)
    monkeypatch.setattr(prepacking, "LARGE", 0)


def load(folder: Path, **given: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, **given).eval()


def prepacked(model: PreTrainedModel) -> Prepacking:
    found = Prepacking(model, wanted=True)
    assert found.library
    return found


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("n_rows", [0, 1, 2, 3, 4, 5, 40, 127, 128, 300])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_the_sum_in_double_precision(n_rows: int, bias: bool, library: prepacking.Library) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Linear(130, 67, bias=bias)
        x = torch.randn(n_rows, 1, 130)
    expected = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    with torch.inference_mode():
        product = prepacking._PRODUCTS[library](layer)
        rows_apart = product(x.expand(-1, 2, -1).transpose(0, 1))[1]  # not as it lies in memory
        found = product(x)
    assert found.shape == expected.shape
    for made in (found, rows_apart[:, None]):
        torch.testing.assert_close(made.double(), expected, rtol=0, atol=1e-5)


def test_what_the_maker_of_the_processor_decides_is_not_a_matter_of_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for maker in ("GenuineIntel", "AuthenticAMD", ""):
        monkeypatch.setattr(prepacking, "processor_text", lambda maker=maker: f"vendor_id\t: {maker}\n")
        found[maker] = prepacking._library.__wrapped__()
    assert found == {"GenuineIntel": LIBRARIES[0], "AuthenticAMD": "onednn", "": "onednn"}


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("arch", ["llama", "qwen2", "gemma3", "gpt_neox", "phi3"])
def test_texts_and_scores_are_those_of_plain_products(arch, checkpoint, library) -> None:
    engines = {on: HFEngine(str(checkpoint(arch)), device="cpu", low_memory=not on) for on in (True, False)}
    assert {on: engine.facts().details["prepacked"] for on, engine in engines.items()} == {True: library, False: False}
    for point in (Point(), AWAY, Point()):
        for engine in engines.values():
            engine.move_to(point)
        answers = {on: engine.generate(CHAT, DECODING) for on, engine in engines.items()}
        assert [g.text for g in answers[True]] == [g.text for g in answers[False]]
        texts = ["Weigh it twice.", "yes", "Let it rest in sand.", ""]
        scores = {on: engine.score(CHAT, texts, DECODING) for on, engine in engines.items()}
        for ours, plain in zip(scores[True], scores[False], strict=True):
            assert ours.nll == pytest.approx(plain.nll, abs=1e-4)


@pytest.mark.usefixtures("small")
def test_products_are_of_the_weights_of_the_point_and_come_back_bit_for_bit(checkpoint, library) -> None:
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    texts = ["Weigh it twice.", "yes", "Let it rest in sand.", "no"]
    first = engine.score(CHAT, texts, DECODING)
    engine.move_to(AWAY)
    assert engine.score(CHAT, texts, DECODING) != first
    engine.move_to(Point())
    assert engine.score(CHAT, texts, DECODING) == first


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_merged_adapter_is_in_what_is_prepacked(checkpoint, tmp_path) -> None:
    base = checkpoint("llama")
    adapted = f"{base}+{make_lora(tmp_path / 'lora', base)}"
    texts = {on: [] for on in (True, False)}
    for on in texts:
        engine = HFEngine(adapted, device="cpu")
        engine._prepacking.library = engine._prepacking.library if on else None
        texts[on] = [g.text for g in engine.generate(CHAT, DECODING)]
    assert texts[True] == texts[False]
    assert texts[True] != [g.text for g in HFEngine(str(base), device="cpu").generate(CHAT, DECODING)]


def run_and_fail(made: Prepacking, look: Callable[[], bool]) -> bool:
    """What is seen in the block, which ends by an exception."""
    try:
        with made.used():
            seen = look()
            raise KeyError
    except KeyError:
        return seen


@pytest.mark.usefixtures("small")
def test_outside_the_block_layers_are_their_own_also_after_a_failure(checkpoint) -> None:
    model = load(checkpoint("llama"))
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    prepacking_of = prepacked(model)
    assert run_and_fail(prepacking_of, lambda: all("forward" in vars(layer) for layer in layers))
    assert not any("forward" in vars(layer) for layer in layers)
    with prepacking_of.used():
        before = layers[0](torch.ones(1, layers[0].in_features))
    with torch.no_grad():
        layers[0].weight.mul_(2)
    prepacking_of.forget()
    with prepacking_of.used():
        assert torch.allclose(layers[0](torch.ones(1, layers[0].in_features)), 2 * before, rtol=1e-4)


@pytest.mark.usefixtures("small")
def test_what_is_not_served_computes_as_it_is(checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(checkpoint("llama"))
    assert not Prepacking(model, wanted=False).library
    assert not Prepacking(load(checkpoint("llama"), dtype="bfloat16"), wanted=True).library
    assert not Prepacking(load(checkpoint("gpt2")).to("meta"), wanted=True).library
    assert prepacked(model)
    needed = sum(4 * module.weight.numel() for module in model.modules() if type(module) is nn.Linear)
    with monkeypatch.context() as short:
        short.setattr(prepacking, "MOST_BYTES", needed - 1)
        assert not Prepacking(model, wanted=True).library
    monkeypatch.setattr(prepacking.memory, "available", lambda: 0)  # what is free does not count
    for total, fits in ((8 * needed, True), (8 * needed - 8, False)):
        monkeypatch.setattr(prepacking.memory, "total", lambda total=total: total)
        assert bool(Prepacking(model, wanted=True).library) == fits


def test_small_models_compute_as_they_are(checkpoint) -> None:
    assert not Prepacking(load(checkpoint("llama")), wanted=True).library


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fault", [AttributeError, RuntimeError, None])
def test_a_torch_without_the_operations_or_with_wrong_ones_computes_as_it_is(
    fault: type[Exception] | None, checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(layer: nn.Linear) -> prepacking.Product:
        if fault is not None:
            raise fault
        return lambda x: layer(x) + 1

    monkeypatch.setattr(prepacking, "_PRODUCTS", {"mkl": broken, "onednn": broken})
    monkeypatch.setattr(prepacking, "_library", prepacking._library.__wrapped__)
    assert not Prepacking(load(checkpoint("llama")), wanted=True).library


@pytest.mark.usefixtures("small")
def test_where_mkl_is_missing_onednn_serves(checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(layer: nn.Linear) -> prepacking.Product:
        raise AttributeError

    monkeypatch.setattr(prepacking, "_PRODUCTS", {**prepacking._PRODUCTS, "mkl": missing})
    monkeypatch.setattr(prepacking, "processor_text", lambda: "GenuineIntel")
    monkeypatch.setattr(prepacking, "_library", prepacking._library.__wrapped__)
    assert Prepacking(load(checkpoint("llama")), wanted=True).library == "onednn"


def test_asking_whether_it_works_draws_nothing_from_the_shared_generator() -> None:
    before = torch.random.get_rng_state()
    assert prepacking._works(LIBRARIES[0])
    assert torch.equal(torch.random.get_rng_state(), before)
