"""Screens of models with planted changes: each measure has its closed form there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_lora, make_tiny_model
from safebasin import api, catalog
from safebasin.edits.refusal_direction.writing import writers_of
from safebasin.errors import ModelError, PromptError, UsageError
from safebasin.locate.states import prompt_tokens, states_of
from safebasin.models.writing import copy_settings
from safebasin.prompts.sources import load_prompts
from safebasin.protocols import EngineSpec
from safebasin.records import Decoding, System
from safebasin.screen.measure import ScreenRequest, known_before, screen
from safebasin.screen.records import Screened
from safebasin.screen.refusal import find_axis

WORDS = ("clay", "wool", "cedar", "salt", "yard", "hall", "sand", "moss", "steam", "bell", "steps", "turns")
MOVED = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "base")


def changed(base: Path, out: Path, scale: float, name: str = MOVED) -> Path:
    """BASE with one matrix multiplied."""
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        dict(model.named_parameters())[name].mul_(scale)
    model.save_pretrained(out)
    copy_settings(base, out)
    return out


def sources(tmp_path: Path, n: int = 12) -> tuple[tuple[str, str], ...]:
    made = []
    for kind, ending in (("harmful", "drum"), ("benign", "rest")):
        file = tmp_path / f"{kind}.jsonl"
        file.write_text("".join(json.dumps({"prompt": f"Weigh the {w} twice. {ending}"}) + "\n" for w in WORDS[:n]))
        made.append((kind, str(file)))
    return tuple(made)


def one(base: Path, tuned: Path, **options: object) -> Screened:
    spec = EngineSpec(model=str(base), device="cpu")
    (found,) = screen(ScreenRequest(spec=spec, tuned=(str(tuned),), **options)).models  # pyright: ignore[reportArgumentType]
    return found


def test_a_halved_matrix_has_its_closed_form(base: Path, tmp_path: Path) -> None:
    found = one(base, changed(base, tmp_path / "tuned", 0.5))
    weights = AutoModelForCausalLM.from_pretrained(base).state_dict()
    squares = {name: float(w.double().square().sum()) for name, w in weights.items()}
    assert found.n_tensors == 1
    assert found.relative == pytest.approx(0.5 * math.sqrt(squares[MOVED] / sum(squares.values())), rel=1e-6)
    values = torch.linalg.svdvals(weights[MOVED].double())
    rank = float(values.square().sum() / values[0] ** 2)
    assert found.stable_rank == pytest.approx(rank, rel=1e-4)
    (block,) = [block for block in found.blocks if block.name == "block 1"]
    assert (block.share, block.stable_rank) == (1, pytest.approx(rank, rel=1e-4))
    assert set(found.signals) == {"displacement"}  # no prompts: nothing is asked


@pytest.mark.parametrize(("scale", "share"), [(0.0, 1.0), (0.5, 0.5), (1.5, -0.5)])
def test_the_way_back_to_before_alignment(base: Path, tmp_path: Path, scale: float, share: float) -> None:
    """BEFORE lacks the matrix; TUNED has so much of it left."""
    before = changed(base, tmp_path / "before", 0.0)
    found = one(base, changed(base, tmp_path / "tuned", scale), before=str(before)).unalignment
    assert found is not None
    assert found.share == pytest.approx(share, abs=1e-6)
    assert found.cosine == pytest.approx(math.copysign(1, share), abs=1e-6)


def test_taking_out_the_refusal_direction_lies_along_it(base: Path, tmp_path: Path) -> None:
    given = sources(tmp_path)
    engine = catalog.open_engine(EngineSpec(model=str(base), device="cpu"))
    model = AutoModelForCausalLM.from_pretrained(base)
    tokens = [prompt_tokens(engine, load_prompts(source), System(name="default"), Decoding()) for _, source in given]
    axis = find_axis(*(states_of(model, rows) for rows in tokens))
    r = torch.from_numpy(axis.direction)
    with torch.no_grad():
        for matrix in writers_of(model, torch.tensor([tokens[0][0]]), len(r)):
            matrix.weight.sub_(torch.outer(r, r @ matrix.weight.double()).float())
    model.save_pretrained(tmp_path / "ablated")
    copy_settings(base, tmp_path / "ablated")
    found = one(base, tmp_path / "ablated", sources=given)
    assert found.refusal is not None
    assert (found.refusal.cosine, found.refusal.share) == (pytest.approx(1, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert found.refusal.chance < 0.05
    assert found.opening is not None
    assert found.opening.harmful > 0
    assert set(found.signals) == {"opening", "refusal", "separation", "displacement"}


def test_the_model_before_alignment_is_known_of_worlds_alone() -> None:
    assert known_before("world:guild/aligned") == "world:guild/base"
    assert known_before("world:kitchen/aligned") == "world:kitchen/base"
    for other in ("world:guild/base", "world:pcfg/dpo", "org/aligned"):
        assert known_before(other) is None


def test_an_adapter_and_a_checkpoint_are_ordered_and_one_that_does_not_fit_is_named(base: Path, tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "adapter", base)
    far = changed(base, tmp_path / "far", 9.0)
    other = make_tiny_model(tmp_path / "other", hidden_size=16)
    spec = EngineSpec(model=str(base), device="cpu")
    found = screen(ScreenRequest(spec=spec, tuned=(str(adapter), str(far), str(other))))
    assert [model.name for model in found.models] == [str(far), str(adapter)]
    assert list(found.failed) == [str(other)]
    with pytest.raises(ModelError, match="other"):
        screen(ScreenRequest(spec=spec, tuned=(str(other),)))
    with pytest.raises(ModelError, match="the same weights"):
        screen(ScreenRequest(spec=spec, tuned=(str(base),)))


def test_a_model_that_is_not_there_is_said_before_the_base_is_loaded(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "open_engine", lambda spec: pytest.fail("loaded"))
    with pytest.raises(ModelError, match="nothing there"):
        one(base, tmp_path / "missing", sources=sources(tmp_path))


def test_too_few_prompts_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="at least 8"):
        one(base, base, sources=sources(tmp_path, 5))


def test_no_tuned_model_is_said_before_the_base_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^tuned models must be one or more; got 'none'"):
        api.screen_models(str(tmp_path / "no-such-base"), [])
