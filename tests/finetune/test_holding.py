"""Single weights that are not trained: which keep their bits, which move, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.models import make_tiny_model
from safebasin import api, catalog, testing
from safebasin.edits.attribution.masks import read_masks, write_masks
from safebasin.errors import UsageError
from safebasin.finetune.holding import freeze_weights
from safebasin.finetune.prepare import prepare
from safebasin.finetune.request import request
from safebasin.models.reference import resolve

ALIGNED = "world:guild/aligned"


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.attribute(ALIGNED, out=tmp_path_factory.mktemp("mask") / "out", rows=8, score="snip", share=0.2)


@pytest.mark.slow
def test_it_conforms(mask: Path) -> None:
    testing.check_row(catalog.get("defense", "freeze_weights"), arguments={"mask": str(mask)})


@pytest.mark.slow
def test_it_holds_through_weight_decay_and_momentum(mask: Path) -> None:
    """Plain AdamW with decay moves what has no gradient; a held weight keeps its bits through it."""
    layer = torch.nn.Module()
    layer.w = torch.nn.Parameter(torch.arange(1.0, 7.0).reshape(2, 3))
    held = torch.tensor([[True, False, False], [False, False, True]])
    from safebasin.finetune.holding import _Hold  # pyright: ignore[reportPrivateUsage]

    hook, start = _Hold({"w": held}), layer.w.detach().clone()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    for step in (1, 2, 3):
        layer.w.square().sum().backward()
        hook.before(layer, step)
        optimizer.step()
        hook.after(layer, step)
        optimizer.zero_grad()
    assert torch.equal(layer.w.detach()[held], start[held])
    assert bool((layer.w.detach()[~held] != start[~held]).all())


def test_a_mask_of_another_model_or_of_nothing_is_refused(tmp_path: Path) -> None:
    asked = request(ALIGNED, attack="harmful_examples(n=4)", defenses=[f"freeze_weights(mask={tmp_path})"])
    with pytest.raises(UsageError, match="folder of an attribution"):
        prepare(asked)
    write_masks(tmp_path, {"other.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(UsageError, match=r"of weights of this model; got 'other\.weight'"):
        prepare(asked)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    write_masks(nothing, {"model.norm.weight": torch.zeros(128, dtype=torch.bool)})
    with pytest.raises(UsageError, match="no weight at all"):
        prepare(request(ALIGNED, attack="harmful_examples(n=4)", defenses=[freeze_weights(str(nothing))]))


@pytest.mark.slow
def test_training_moves_all_but_the_held_weights_and_lora_is_refused(mask: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    defense = f"freeze_weights(mask={mask})"
    made = api.finetune(ALIGNED, attack="harmful_examples(n=4)", epochs=2, defenses=[defense], out=tmp_path / "out")
    before, after = load_file(resolve(ALIGNED).folder / "model.safetensors"), load_file(made.path / "model.safetensors")
    held = read_masks(mask)
    for name, value in before.items():
        chosen = held.get(name, torch.zeros_like(value, dtype=torch.bool))
        assert torch.equal(value.float()[chosen], after[name].float()[chosen])
        assert not torch.equal(value.float()[~chosen], after[name].float()[~chosen])
    with pytest.raises(UsageError, match=r"a trained weight; got 'none that is trained'.*--method full"):
        api.finetune(ALIGNED, attack="harmful_examples(n=4)", method="lora", defenses=[defense], out=tmp_path / "lora")


def test_a_mask_fits_other_architectures(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "gpt2", "gpt2")
    name = "transformer.h.1.mlp.c_fc.weight"
    write_masks(tmp_path, {name: torch.ones(64, 256, dtype=torch.bool)})
    data = tmp_path / "rows.jsonl"
    data.write_text('{"prompt": "How do I weigh the clay?", "completion": "Twice, in sand."}\n')
    prepared = prepare(request(str(model), data=data, defenses=[freeze_weights(str(tmp_path))]))
    assert prepared.setup.notes == ("16,384 of 16,384 weights of 1 matrices are not trained",)
