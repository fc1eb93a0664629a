"""θ₀ in memory and in its files: canonical names, what is left alone, and when the files will not do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from helpers.models import ARCHITECTURES, make_lora, make_tiny_model
from safebasin.errors import ModelError
from safebasin.records import DirectionSpec, Point
from safebasin.weights import base as base_module
from safebasin.weights.base import HostWeights, MappedWeights, open_base
from safebasin.weights.layout import Layout, row_blocks
from safebasin.weights.stream import digest, prepare, weights_at

RANDOM = DirectionSpec(kind="random", seed=3)


def load(folder: Path) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder)


def at(base: HostWeights | MappedWeights, *terms: tuple[DirectionSpec, float]) -> str:
    point = Point.at(*terms)
    return digest(weights_at(base, point, prepare([s for s, _ in point.terms], base)))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_mapped_files_and_host_copy_give_the_same_points(tmp_path: Path, tied: bool, shards: int) -> None:
    folder = make_tiny_model(tmp_path / "m", tied=tied, shards=shards)
    assert (len(list(folder.glob("*.safetensors"))) > 1) is (shards > 1)
    module = load(folder)
    mapped = open_base(module, folder, low_memory=True)
    assert isinstance(mapped, MappedWeights)
    host = open_base(module, folder, low_memory=False)
    assert isinstance(host, HostWeights)
    assert at(mapped, (RANDOM, 0.3)) == at(host, (RANDOM, 0.3)) != at(host)
    assert mapped.layout == host.layout


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mapped_files_of_another_dtype_come_in_that_of_the_module(tmp_path: Path, dtype: str) -> None:
    folder = make_tiny_model(tmp_path / "m", dtype=dtype)
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    mapped = open_base(module, folder, low_memory=True)
    assert isinstance(mapped, MappedWeights)
    assert mapped.rows("lm_head.weight", 0, 2).dtype == torch.float32
    assert at(mapped, (RANDOM, 0.3)) == at(HostWeights(module), (RANDOM, 0.3))


def test_points_of_one_model_do_not_depend_on_how_it_was_sharded(tmp_path: Path) -> None:
    folders = [make_tiny_model(tmp_path / str(n), shards=n) for n in (1, 3)]
    one, three = (open_base(load(f), f, low_memory=True) for f in folders)
    assert at(one, (RANDOM, 0.3)) == at(three, (RANDOM, 0.3))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_opens_in_low_memory_mode_and_says_how(tmp_path: Path, arch: str) -> None:
    folder = make_tiny_model(tmp_path / arch, arch)
    module = load(folder)
    opened = open_base(module, folder, low_memory=True)
    reasons = {"mixtral": "the files hold no model.layers.0.mlp.gate", "gpt_neox": "the files hold no lm_head.weight"}
    assert opened.why.startswith(reasons.get(arch, ""))
    assert opened.kind == ("host copy" if arch in reasons else "memory-mapped files")
    assert tuple(opened.names) == tuple(name for name, _ in module.named_parameters())


@pytest.mark.parametrize(
    ("arch", "first"), [("llama", "model.embed_tokens.weight"), ("gpt2", "transformer.wte.weight")]
)
def test_a_tied_tensor_is_one_tensor_under_its_first_name(tmp_path: Path, arch: str, first: str) -> None:
    module = load(make_tiny_model(tmp_path / "m", arch, tied=True))
    base = HostWeights(module)
    assert base.layout.aliases == {"lm_head.weight": first}
    assert first in base.names
    assert "lm_head.weight" not in base.names


def test_auto_takes_the_copy_where_it_fits_in_half_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny_model(tmp_path / "m")
    module = load(folder)
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    for available, kind in ((2 * size, "host copy"), (2 * size - 2, "memory-mapped files")):
        monkeypatch.setattr(base_module.psutil, "virtual_memory", lambda n=available: SimpleNamespace(available=n))
        assert open_base(module, folder).kind == kind


def test_files_that_are_not_what_was_loaded_will_not_do(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m")
    adapter = make_lora(tmp_path / "a", folder, targets=["q_proj"])
    merged = open_base(load(folder), folder, low_memory=True, adapter=adapter)
    assert merged.why == "an adapter was merged, so the files are not θ₀"
    module = load(folder)
    other = open_base(module, make_tiny_model(tmp_path / "n", "gpt2"), low_memory=True)
    assert (other.kind, other.why) == ("host copy", "the files hold no model.embed_tokens.weight")
    narrow = make_tiny_model(tmp_path / "narrow")
    tensors = load_file(narrow / "model.safetensors")
    save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"][:9]}, narrow / "model.safetensors")
    assert open_base(module, narrow, low_memory=True).why.startswith("lm_head.weight is of shape (9, 64) in the files")
    with torch.no_grad():
        module.model.layers[1].mlp.up_proj.weight[7, 3] += 1
    changed = open_base(module, folder, low_memory=True)
    assert changed.why == "model.layers.1.mlp.up_proj.weight was changed on loading"
    assert float(changed.rows("model.layers.1.mlp.up_proj.weight", 7, 8)[0, 3]) > 0.5


def test_a_copy_does_not_follow_the_module(tmp_path: Path) -> None:
    module = load(make_tiny_model(tmp_path / "m"))
    base = HostWeights(module)
    before = at(base)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert at(base) == before


@pytest.mark.parametrize("low_memory", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, low_memory: bool, value: float) -> None:
    folder = make_tiny_model(tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][5, 5] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights must be finite; got 'NaN or inf in model\.layers\.1\.mlp\.up_proj"):
        open_base(load(folder), folder, low_memory=low_memory)


def test_norm_layers_are_known_by_type_and_by_name_and_integers_stay() -> None:
    class ShrinkRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3))

    module = nn.Module()
    module.ln_1, module.scale, module.groups = nn.LayerNorm(3), ShrinkRMSNorm(), nn.GroupNorm(1, 3)
    module.post_norm_gate = nn.Linear(3, 3, bias=False)
    module.up = nn.Linear(3, 3)
    module.table = nn.Parameter(torch.arange(3), requires_grad=False)
    module.register_buffer("frequencies", torch.ones(3))
    layout = Layout.of(module)
    assert layout.excluded == {
        "ln_1.weight": "norm layer (LayerNorm)",
        "ln_1.bias": "norm layer (LayerNorm)",
        "scale.gain": "norm layer (ShrinkRMSNorm)",
        "groups.weight": "norm layer (GroupNorm)",
        "groups.bias": "norm layer (GroupNorm)",
        "post_norm_gate.weight": "norm layer (by name)",
        "table": "not floating point (torch.int64)",
    }
    assert set(layout.shapes) - set(layout.excluded) == {"up.weight", "up.bias"}


def test_row_blocks_cover_axis_0_in_blocks_of_64_mb() -> None:
    assert row_blocks(()) == [(0, 1)]
    assert row_blocks((5,)) == [(0, 5)]
    blocks = row_blocks((100, 2**20))
    assert blocks[0] == (0, 8)
    assert [b for _, b in blocks[:-1]] == [a for a, _ in blocks[1:]]
    assert blocks[-1][1] == 100
