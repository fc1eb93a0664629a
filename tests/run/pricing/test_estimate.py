"""What `plan` says of a study's price: for a model that is here, one whose weights are not, and with a probe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.cli import main
from safebasin.engines.hf import HFEngine
from safebasin.engines.paced.reading import shared as shared_by
from safebasin.errors import ModelError, PromptError
from safebasin.models.sizes import sizes_of
from safebasin.protocols import Generation
from safebasin.records import Decoding, Message, Point
from safebasin.run.execute import measure
from safebasin.run.preview import preview
from safebasin.run.pricing import estimate, probe
from safebasin.run.pricing.estimate import Asking
from safebasin.run.pricing.work import decode_flops, pass_bytes, read_flops
from safebasin.study import Study

LLAMA_7B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000,
    "max_position_embeddings": 4096, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
LLAMA_70B = {
    **LLAMA_7B, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("price") / "model")


def study(model: Path, tmp_path: Path, **given: object) -> Study:
    file = tmp_path / "tea.txt"
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(4)))
    flags: dict[str, object] = {"directions": 1, "range": "-0.2:0.2:5", "max_new_tokens": 4, "batch_size": 2}
    fixed: dict[str, object] = {"device": "cpu", "judge": "keyword/peng2024"}
    return api.make_study(str(model), prompts=file, **{**fixed, **flags, **given})


def promised(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_what_is_left_is_priced_and_what_is_done_is_not(model: Path, tmp_path: Path) -> None:
    asked, out = study(model, tmp_path), tmp_path / "out"
    before = api.plan_study(asked, out=out).price
    assert before is not None
    assert before.most.decoded_tokens == 5 * 4 * 4
    assert 0 < before.expected.decoded_tokens < before.most.decoded_tokens
    assert before.expected.flops < before.most.flops
    assert any("assumed" in sentence for sentence in before.said)
    assert all(quote.fits and quote.batch == 2 for quote in before.quotes)
    assert (before.here, before.advice) == (None, ())

    measure(study(model, tmp_path, range="-0.2:0.2:3"), out)
    half = api.plan_study(asked, out=out).price
    assert half is not None
    assert half.most.decoded_tokens == 2 * 4 * 4
    assert any("those of the 12 responses that are there" in sentence for sentence in half.said)
    measure(asked, out)
    done = api.plan_study(asked, out=out).price
    assert done is not None
    assert (done.most.flops, done.most.bytes_moved) == (0, 0)
    assert api.plan_study(asked, out=out, price=False).price is None


def test_prompts_that_the_context_cannot_hold_are_counted_and_map_refuses_them(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text(f"How warm is the pot?\n{'tea ' * 3000}\nHow cold is it?\n{'pot ' * 3000}\n")
    given: dict[str, Any] = {"directions": 1, "range": "0:0.2:2", "max_new_tokens": 4, "judge": "keyword/peng2024"}
    asked = api.make_study(str(model), prompts=file, device="cpu", **given)
    price = api.plan_study(asked, out=tmp_path / "out").price
    assert price is not None
    assert any(said.startswith("2 of 4 prompts with their system prompts do not fit") for said in price.said)
    with pytest.raises(PromptError, match="shorter than the context"):
        measure(asked, tmp_path / "run")
    short = api.plan_study(study(model, tmp_path), out=tmp_path / "out").price
    assert short is not None
    assert not any("context" in said for said in short.said)


@pytest.mark.slow
def test_where_a_model_fits_is_told_without_its_weights(tmp_path: Path) -> None:
    small, large = (promised(tmp_path / name, c) for name, c in (("7b", LLAMA_7B), ("70b", LLAMA_70B)))
    given: dict[str, object] = {"max_new_tokens": 512, "batch_size": "auto", "dtype": "bfloat16"}
    planned = api.plan_study(study(small, tmp_path, **given), out=tmp_path / "out")
    assert planned.price is not None
    assert planned.weights_bytes is None
    assert any("the weights of" in sentence for sentence in planned.unknown)
    assert any("the weights are not here" in sentence for sentence in planned.price.said)
    assert planned.price.memory.weights == 2 * 6_738_415_616
    assert all(quote.fits for quote in planned.price.quotes)

    whole = api.plan_study(study(small, tmp_path, **{**given, "dtype": "float32"}), out=tmp_path / "out").price
    assert whole is not None
    assert {quote.name for quote in whole.quotes if not quote.fits} == {"l4", "a10", "rtx4090"}
    assert "--dtype bfloat16 it fits l4, a10, rtx4090 too" in " ".join(whole.advice)

    price = api.plan_study(study(large, tmp_path, **given), out=tmp_path / "out").price
    assert price is not None
    assert [quote.name for quote in price.quotes if quote.fits] == ["b200"]
    alone = api.plan_study(study(large, tmp_path, **given), out=tmp_path / "out", accelerators="h100").price
    assert alone is not None
    assert (alone.quotes[0].seconds, alone.quotes[0].cost, alone.quotes[0].batch) == (None, None, 0)
    assert alone.quotes[0].devices_needed == 2
    assert "--gpus-per-worker takes 2 of h100" in " ".join(alone.advice)
    assert "--low-memory" in " ".join(alone.advice)

    two = api.plan_study(study(large, tmp_path, **given, device="auto", gpus_per_worker=2), out=tmp_path / "out").price
    assert two is not None
    fits = {quote.name for quote in two.quotes if quote.fits}
    assert fits == {"2 × a100-80gb", "2 × h100", "2 × h200", "2 × b200"}

    with pytest.raises(ModelError, match="with its weights where it is to be probed"):
        api.plan_study(study(large, tmp_path, **given), out=tmp_path / "out", probe=True)
    with pytest.raises(ModelError, match="saved as safetensors"):
        measure(study(large, tmp_path, **given), tmp_path / "run")


def test_a_model_whose_sizes_cannot_be_told_is_planned_without_a_price(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise ModelError("config.json must be of an architecture whose sizes are known; got 'model'.")

    monkeypatch.setattr(estimate, "sizes_of", unknown)
    planned = api.plan_study(study(model, tmp_path), out=tmp_path / "out")
    assert (planned.price, planned.responses) == (None, 20)
    assert any("the price: config.json must be of an architecture" in sentence for sentence in planned.unknown)
    with pytest.raises(ModelError, match="whose sizes are known"):
        api.plan_study(study(model, tmp_path), out=tmp_path / "out", probe=True)


def test_cost_is_hours_times_the_price_of_one(model: Path, tmp_path: Path) -> None:
    asked = study(model, tmp_path)
    price = api.plan_study(asked, out=tmp_path / "out", accelerators="h100", price_per_hour=7200).price
    assert price is not None
    (quote,) = price.quotes
    assert quote.seconds is not None
    assert quote.cost == pytest.approx(2 * quote.seconds)
    reached = (quote.compute_efficiency * quote.peak_flops, quote.bandwidth_efficiency * quote.bandwidth)
    by_hand = price.expected.flops / reached[0] + price.expected.bytes_moved / reached[1]
    assert quote.seconds == pytest.approx(by_hand)


@pytest.mark.slow
def test_a_probe_measures_its_two_constants_and_how_long_answers_are(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    asked = study(model, tmp_path, max_new_tokens=12)
    price = api.plan_study(asked, out=tmp_path / "out", probe=True, price_per_hour=3600).price
    assert price is not None
    assert price.probed is not None
    assert price.here is not None
    assert price.here.seconds is not None
    assert 0 < price.probed.compute_efficiency < 2
    assert 0 < price.probed.bandwidth_efficiency < 2
    assert price.here.cost == pytest.approx(price.here.seconds)
    assert not any(quote.cost == quote.seconds for quote in price.quotes)  # the price was that of this machine
    assert 1 <= price.probed.lengths.answer <= 12
    assert price.probed.lengths.scored == 0  # keywords are found in the text
    assert any("measured at" in sentence for sentence in price.said)
    assert not (tmp_path / "out").exists()
    json.dumps(asdict(price))


@pytest.mark.slow
def test_a_point_of_a_probe_counts_for_as_many_of_its_line_as_it_stands_for(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LongAtTheEnds(HFEngine):
        ends = False

        def move_to(self, point: Point) -> None:
            self.ends = any(abs(alpha) > 0.19 for _, alpha in point.terms)
            super().move_to(point)

        def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
            made = super().generate(conversations, decoding)
            return [replace(one, n_tokens=11 if self.ends else 2) for one in made]

    monkeypatch.setattr(probe, "load_engine", lambda *_: LongAtTheEnds(str(model), device="cpu", dtype="float32"))
    asked = study(model, tmp_path, max_new_tokens=12, range="-0.2:0.2:9", stop="none")
    price = api.plan_study(asked, out=tmp_path / "out", probe=True).price
    assert price is not None
    assert price.probed is not None
    five_of_nine = (1.5 * 11 + 2 * 2 + 2 * 2 + 2 * 2 + 1.5 * 11) / 9
    assert price.probed.lengths.answer == pytest.approx(five_of_nine)


@pytest.mark.slow
@pytest.mark.parametrize("compiling", [0.0, 5.0])
def test_passes_of_a_probe_are_those_of_an_engine_that_takes_what_the_formula_says(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiling: float
) -> None:
    """With a clock that tells the time of the formula; the cache, which the formula counts by itself, is in it once.

    What a judge compiles for its first answers is no part of it.
    """
    sizes = sizes_of(model)
    sizes = replace(sizes, cache=replace(sizes.cache, key_heads=20 * sizes.cache.key_heads))  # as large as the weights
    flops_s, bytes_s, now, left = 1e7, 1e8, [0.0], [compiling]

    def clock() -> float:
        now[0] += 1e-9
        return now[0]

    class AsTheFormulaSays(HFEngine):
        def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
            n, length = len(conversations), min(9, decoding.max_new_tokens)
            ids = [self.inspect("", one, decoding) for one in conversations]
            prompt, shared = sum(map(len, ids)) / n, shared_by(ids)
            flops = read_flops(sizes, n * prompt - (n - 1) * shared, prompt)
            flops += decode_flops(sizes, n * length, prompt + length / 2)
            moved = length * pass_bytes(sizes, "float32")
            moved += n * length * (prompt + length / 2) * sizes.cache.cache_bytes(1, 4)
            now[0] += flops / flops_s + moved / bytes_s
            if decoding.max_new_tokens == 12:  # as the study asks
                now[0] += left[0]
                left[0] = 0.0
            return [replace(one, n_tokens=length) for one in super().generate(conversations, decoding)]

    monkeypatch.setattr(estimate, "sizes_of", lambda *_: sizes)
    monkeypatch.setattr(probe, "SECONDS", 1e9)
    monkeypatch.setattr(probe, "load_engine", lambda *_: AsTheFormulaSays(str(model), device="cpu", dtype="float32"))
    asked = study(model, tmp_path, max_new_tokens=12, stop="none")
    price = preview(asked, tmp_path / "out", Asking(probe=True, clock=clock)).price
    assert price is not None
    assert price.probed is not None
    assert price.probed.compute_efficiency * price.probed.peak_flops == pytest.approx(flops_s, rel=0.1)
    assert price.probed.bandwidth_efficiency * price.probed.bandwidth == pytest.approx(bytes_s, rel=0.2)
    assert price.probed.lengths.answer == pytest.approx(9)
    assert price.probed.lengths.passes == pytest.approx(9, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "whole"),
    [("I cannot help with that.", False), ("Warm the pot, then pour water on two spoons of leaves and wait.", True)],
)
def test_a_probe_sees_how_much_of_an_answer_is_scored(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, whole: bool
) -> None:
    class Says(HFEngine):
        def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
            return [replace(one, text=text) for one in super().generate(conversations, decoding)]

    monkeypatch.setattr(probe, "load_engine", lambda *_: Says(str(model), device="cpu", dtype="float32"))
    price = api.plan_study(study(model, tmp_path, judge="outcome"), out=tmp_path / "out", probe=True).price
    assert price is not None
    assert price.probed is not None
    scored = price.probed.lengths.scored
    assert (scored == 1) is whole, scored
    assert price.expected.scored_tokens >= scored * price.expected.decoded_tokens


def test_a_probe_of_a_model_that_is_too_large_is_refused_before_it_is_loaded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = total = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    monkeypatch.setattr(estimate, "probe", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ModelError, match=r"small enough for this machine .* --low-memory, --dtype bfloat16"):
        api.plan_study(study(model, tmp_path), out=tmp_path / "out", probe=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--accelerator", "v1000"], "--accelerator must be one of l4, "),
        (["--price-per-hour", "-1", "--accelerator", "h100"], "--price-per-hour must be a finite number, 0 or more"),
        (["--price-per-hour", "1"], "--price-per-hour must be the price of one device"),
    ],
)
def test_what_is_typed_wrongly_is_a_line(
    given: Sequence[str], said: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(model), "--prompts", "world:guild/harmful", "-o", str(tmp_path / "out"), *given])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_price_is_printed_with_its_formula(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(model), "--prompts", "world:guild/harmful", "-o", str(tmp_path / "out"), "--limit", "4"])
    assert not ended.value.code
    shown = capsys.readouterr().out
    for part in ("seconds = FLOPs / (C × peak FLOP/s)", "h100", "at most", "none of it exact", "assumed"):
        assert part in shown, part
