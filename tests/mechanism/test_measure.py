"""A pair of models with a planted change: the measures find where it is and what it answers to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_lora, make_tiny_model
from safebasin import catalog
from safebasin.errors import PromptError, StudyError
from safebasin.locate.states import prompt_tokens
from safebasin.mechanism.inputs import last_inputs, tall_matrices
from safebasin.mechanism.measure import MechanismRequest, measure_mechanism
from safebasin.models.writing import copy_settings
from safebasin.prompts.sources import load_prompts
from safebasin.protocols import EngineSpec
from safebasin.records import Decoding, System

WORDS = ("clay", "wool", "cedar", "salt", "yard", "hall", "sand", "moss", "steam", "bell", "steps", "turns")
PLANTED = "model.layers.1.mlp.up_proj.weight"
Sources = tuple[tuple[str, str], ...]


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Twelve harmful prompts, which all end in one word, and twelve benign ones, which end in another."""
    made = []
    for kind, ending in (("harmful", "drum"), ("benign", "rest")):
        file = tmp_path / f"{kind}.jsonl"
        file.write_text("".join(json.dumps({"prompt": f"Weigh the {w} twice. {ending}"}) + "\n" for w in WORDS))
        made.append((kind, str(file)))
    return tuple(made)


def planted(base: Path, out: Path, sources: Sources) -> Path:
    """BASE with one matrix changed: it reads what tells the prompts apart, and writes where the matrix cannot."""
    engine = catalog.open_engine(EngineSpec(model=str(base), device="cpu"))
    model = AutoModelForCausalLM.from_pretrained(base)
    (matrix,) = [m for m in tall_matrices(model) if m.name == PLANTED]
    means = []
    for _, source in sources:
        tokens = prompt_tokens(engine, load_prompts(source), System(name="default"), Decoding())
        means.append(last_inputs(model, [matrix], tokens)[PLANTED].mean(axis=0))
    reads = means[0] - means[1]
    weight = dict(model.named_parameters())[PLANTED]
    left = np.linalg.svd(weight.detach().double().numpy())[0]
    with torch.no_grad():
        weight += torch.from_numpy(np.outer(left[:, -1], reads / np.linalg.norm(reads))).float()
    model.save_pretrained(out)
    copy_settings(base, out)
    return out


@pytest.mark.slow
def test_a_planted_change_is_outside_and_answers_to_harmful_prompts(tmp_path: Path, sources: Sources) -> None:
    base = make_tiny_model(tmp_path / "base")
    tuned = planted(base, tmp_path / "tuned", sources)
    control = make_lora(tmp_path / "lora", base)
    request = MechanismRequest(
        spec=EngineSpec(model=str(base), device="cpu"), tuned=str(tuned), control=f"adapter:{control}", sources=sources
    )
    found = measure_mechanism(request)
    assert (found.n_layers, len(found.matrices), len(found.layers)) == (2, 4, 2)
    by_name = {m.name: m for m in found.matrices}
    assert [m.columns is None for m in found.matrices] == [name != PLANTED for name in by_name]
    there = by_name[PLANTED]
    assert there.columns is not None
    assert there.columns.rank_change == 1
    assert there.columns.sine == pytest.approx(1.0, abs=1e-3)
    assert there.firing_gap.low is not None
    assert there.firing["harmful"].value != there.firing["benign"].value
    assert all(m.firing_gap.value == 0 for m in found.matrices if m is not there)
    assert there.control is not None
    assert abs(there.control.sine - there.control.chance) < 0.15, "a random adapter writes as chance has it"
    # Nothing below the changed matrix has moved.
    assert found.layers[0].base == found.layers[0].tuned
    assert found.layers[1].base != found.layers[1].tuned
    assert found.sensitivity is not None


def test_gpt2_stores_its_matrices_the_other_way(tmp_path: Path, sources: Sources) -> None:
    base, tuned = (make_tiny_model(tmp_path / f"m{seed}", "gpt2", seed=seed) for seed in (0, 1))
    request = MechanismRequest(
        spec=EngineSpec(model=str(base), device="cpu"), tuned=str(tuned), sources=sources, no_gradients=True
    )
    found = measure_mechanism(request)
    assert found.sensitivity is None
    assert [m.name.split(".")[-2] for m in found.matrices] == ["c_attn", "c_fc"] * 2
    assert all(m.columns is not None and m.columns.rank <= 64 for m in found.matrices)


def test_what_can_be_mended(tmp_path: Path, sources: Sources) -> None:
    base = make_tiny_model(tmp_path / "base")
    spec = EngineSpec(model=str(base), device="cpu")
    with pytest.raises(StudyError, match="TUNED must be another model than BASE"):
        measure_mechanism(MechanismRequest(spec=spec, tuned=str(base), sources=sources))
    with pytest.raises(StudyError, match="--benign must be given for a model that is not of an embedded world"):
        measure_mechanism(MechanismRequest(spec=spec, tuned=str(base), sources=sources[:1]))
    twice = (sources[0], ("benign", sources[0][1]))
    with pytest.raises(PromptError, match="harmful and benign prompts must be different ones; got '12 in both'"):
        measure_mechanism(MechanismRequest(spec=spec, tuned=str(base), sources=twice))
    with pytest.raises(PromptError, match="harmful prompts must be at least 10; got 4"):
        measure_mechanism(MechanismRequest(spec=spec, tuned=str(base), sources=sources, limit=4))
