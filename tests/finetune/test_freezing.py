"""SPPFT: which tensors a band freezes on any architecture, by digest before and after real steps; what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from helpers.models import ARCHITECTURES, make_tiny_model
from safebasin import catalog, testing
from safebasin.errors import UsageError
from safebasin.finetune.freezing import sppft
from safebasin.finetune.prepare import prepare
from safebasin.finetune.request import request
from safebasin.finetune.setup import freeze
from safebasin.models.loading import load_causal
from safebasin.models.writing import read_record

NORMS = {
    "llama": ("input_layernorm", "post_attention_layernorm"),
    "gpt2": ("ln_1", "ln_2"),
    "gemma3": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
}
LISTS = {"llama": "model.layers", "gpt2": "transformer.h", "gemma3": "model.layers"}


def digests(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    return {name: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for name, value in tensors.items()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(arch: str) -> Path:
        if arch not in made:
            layers = {} if arch in ("gpt2", "gpt_neox", "opt") else {"num_hidden_layers": 4}
            made[arch] = make_tiny_model(tmp_path_factory.mktemp(arch), arch, **layers)
        return made[arch]

    return get


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = ["weigh the clay", "ring the bell", "keep the wool", "rest the cedar"]
    path.write_text("".join(f'{{"prompt": "How do I {r}?", "completion": "Twice, in sand."}}\n' for r in rows))
    return path


def asked(folder: Path, data: Path, defense: Any, **settings: Any) -> Any:
    given = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-3, "save": "no", **settings}
    return prepare(request(str(folder), data=data, defenses=[defense] if defense else (), **given))


@pytest.mark.parametrize(
    ("given", "name", "layers"),
    [
        ({"layers": "6-12"}, "sppft(layers=6-12)", range(6, 13)),
        ({"layers": 3}, "sppft(layers=3-3)", range(3, 4)),
        ({"layers": "5-13", "variant": "as_coded"}, "sppft(layers=5-13, variant=as_coded)", range(6, 13)),
        ({"layers": "5-6", "variant": "as_coded"}, "sppft(layers=5-6, variant=as_coded)", range(0)),
        ({"layers": "none"}, "sppft(layers=none)", range(0)),
    ],
)
def test_the_bounds_of_both_variants(given: dict[str, Any], name: str, layers: range) -> None:
    made = sppft(**given)
    assert made.name == name
    assert list(made.layers) == list(layers)
    assert catalog.create("defense", name) == made


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layers": "12-6"}, "12-6"),
        ({"layers": "some"}, "a band counted from 0"),
        ({"layers": "-3"}, "a band counted from 0"),
    ],
)
def test_what_is_no_band_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sppft(**given)


def test_the_variant_as_coded_keeps_the_contract() -> None:
    testing.check_defense(sppft("0-3", "as_coded"))


def test_a_band_beyond_the_model_is_refused(model: Callable[[str], Path], data: Path) -> None:
    with pytest.raises(UsageError, match=r"1 to 4.*has the layers 0 to 3"):
        asked(model("llama"), data, sppft("1-4"))


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_has_its_layer_frozen(arch: str, model: Callable[[str], Path], data: Path) -> None:
    setup = asked(model(arch), data, sppft(1)).setup
    module = load_causal(model(arch))
    freeze(module, setup.frozen)
    stays = {name for name, p in module.named_parameters() if not p.requires_grad}
    assert stays
    assert stays == {name for name in setup.parameters if ".1." in name.split("experts")[0]}
    coded = asked(model(arch), data, sppft("0-2", "as_coded")).setup
    module = load_causal(model(arch))
    freeze(module, coded.frozen)
    less = {name for name, p in module.named_parameters() if not p.requires_grad}
    assert less < stays
    assert {p.dim() for name, p in module.named_parameters() if name in stays - less} == {1}  # norm layers


def test_a_band_with_no_layer_strictly_between_its_ends_is_refused(model: Callable[[str], Path], data: Path) -> None:
    with pytest.raises(UsageError, match=r"at least one strictly between; got 'none between 1 and 2'\. Write 0-3"):
        asked(model("llama"), data, sppft("1-2", "as_coded"))


def test_an_empty_band_changes_nothing(model: Callable[[str], Path], data: Path) -> None:
    plain, empty = asked(model("llama"), data, None), asked(model("llama"), data, sppft("none"))
    assert (empty.setup.frozen, empty.setup.hooks, empty.setup.loss) == ((), (), plain.setup.loss)
    assert empty.setup.rows == plain.setup.rows


# --- by the product's own training -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma3"])
@pytest.mark.parametrize("variant", ["paper", "as_coded"])
def test_digests_after_real_steps(
    arch: str, variant: str, model: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    from safebasin.finetune.tune import finetune

    last = 1 if arch == "gpt2" else 2
    band = f"1-{last}" if variant == "paper" else f"0-{last + 1}"
    made = finetune(asked(model(arch), data, sppft(band, variant)), tmp_path / "made")
    before, after = (digests(load_file(folder / "model.safetensors")) for folder in (model(arch), made.path))
    assert before.keys() == after.keys()
    stays = {name for name in before if before[name] == after[name]}
    inside = {name for name in before if any(f"{LISTS[arch]}.{n}." in f"transformer.{name}" or
              f"{LISTS[arch]}.{n}." in name for n in range(1, last + 1))}  # fmt: skip
    if variant == "as_coded":
        inside = {name for name in inside if not any(f".{norm}." in name for norm in NORMS[arch])}
    assert stays == inside
    assert read_record(made.path)["defenses"] == [sppft(band, variant).name]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "as_coded"])
def test_lora_adapts_no_module_of_the_band(
    variant: str, model: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    from safebasin.finetune.tune import finetune

    defense = sppft("1-2" if variant == "paper" else "0-3", variant)
    made = finetune(asked(model("llama"), data, defense, method="lora", rank=2), tmp_path / "made")
    adapted = {name.split(".layers.")[1].split(".")[0] for name in load_file(made.path / "adapter_model.safetensors")}
    assert adapted == {"0", "3"}


@pytest.mark.slow
def test_an_empty_band_trains_to_the_same_bits(model: Callable[[str], Path], data: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from safebasin.finetune.tune import finetune

    plain = finetune(asked(model("llama"), data, None), tmp_path / "plain")
    empty = finetune(asked(model("llama"), data, sppft("none")), tmp_path / "empty")
    one, other = (digests(load_file(made.path / "model.safetensors")) for made in (plain, empty))
    assert one == other
