"""Defenses on training and weights through the product's own training: bits that stay, loss, hooks, what is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from safebasin.errors import UsageError
from safebasin.finetune.prepare import estimate, prepare
from safebasin.finetune.request import request
from safebasin.finetune.run import last_checkpoint
from safebasin.finetune.tune import Tuned, finetune
from safebasin.models.reference import resolve
from safebasin.models.writing import is_unsafe, read_record
from safebasin.protocols import RowSource, Setup

pytest.importorskip("trl")
pytestmark = pytest.mark.slow  # TRL takes seconds to import

PLUGIN = Path(__file__).parents[1] / "plugin_package" / "src"
ALIGNED = "world:guild/aligned"


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tutorial's package, without installing it."""
    monkeypatch.syspath_prepend(str(PLUGIN))


def tuned(out: Path, *defenses: Any, resume: bool = False, **settings: Any) -> Tuned:
    given = {"attack": "harmful_examples(n=4)", "epochs": 2, "batch_size": 4, "save": "no", **settings}
    return finetune(prepare(request(ALIGNED, defenses=defenses, **given)), out, resume=resume)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A training defense that changes the setup as it is told."""

    change: Any
    name: str = "changed"
    stage: str = "finetuning"
    takes: tuple[str, ...] = ()

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        return self.change(setup)


def test_frozen_tensors_keep_their_bits(tmp_path: Path) -> None:
    from safebasin_kiln.cool import Cool

    made = tuned(tmp_path / "cool", Cool(layers="0 1", pull=0.0))
    before, after = weights(resolve(ALIGNED).folder), weights(made.path)
    moved = {name for name in before if not torch.equal(before[name].float(), after[name])}
    frozen = {name for name in before if ".layers.0." in name or ".layers.1." in name}
    assert frozen
    assert moved == before.keys() - frozen
    record = read_record(made.path)
    assert record["frozen"] == ["layers.0.*", "layers.1.*"]
    assert record["defenses"] == ["safebasin-kiln/cool(layers=0 1, pull=0.0)"]


def test_lora_adapts_no_layer_that_is_frozen(tmp_path: Path) -> None:
    from safebasin_kiln.cool import Cool

    made = tuned(tmp_path / "lora", Cool(layers="0 2", pull=0.0), method="lora")
    adapted = {name.split(".layers.")[1].split(".")[0] for name in load_file(made.path / "adapter_model.safetensors")}
    assert adapted == {"1", "3"}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_freeze_that_finds_nothing_or_leaves_nothing_is_an_error(tmp_path: Path, method: str) -> None:
    for number, (pattern, words) in enumerate(
        (("layers.77.*", "parameters of this model"), ("*", "less than the whole"))
    ):
        defense = Changed(change=lambda s, p=pattern: replace(s, frozen=(p,)))
        with pytest.raises(UsageError, match=words):
            tuned(tmp_path / str(number), defense, method=method)


def test_a_loss_of_ones_own_is_one_mean_over_the_step_however_it_is_cut(tmp_path: Path) -> None:
    seen: list[int] = []

    def change(setup: Setup) -> Setup:
        def loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            seen.append(len(batch["input_ids"]))
            return setup.loss(model, batch)

        return replace(setup, loss=loss)

    # AdamW divides a gradient by its own size, so that where it is near nothing the last bits decide: at a small rate
    # a step that went so adds nothing to the loss of the next
    few: dict[str, Any] = {"learning_rate": 1e-5}
    plain = tuned(tmp_path / "plain", **few)
    own = tuned(tmp_path / "own", Changed(change=change), **few)
    cut = tuned(tmp_path / "cut", Changed(change=change), micro_batch=1, **few)
    assert seen == [4, 4] + [1] * 8
    assert own.losses == pytest.approx(plain.losses, rel=1e-5)
    assert cut.losses == pytest.approx(plain.losses, rel=1e-4)
    before = weights(resolve(ALIGNED).folder)
    for name, value in weights(plain.path).items():
        moved = torch.linalg.norm(value - before[name].float())
        assert torch.linalg.norm(weights(cut.path)[name] - value) <= 0.1 * moved


class Count:
    """Remembers its calls, and undoes every step."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.start: dict[str, torch.Tensor] = {}

    def before(self, model: Any, step: int) -> None:
        self.calls.append(("before", step))
        self.start = {n: p.detach().clone() for n, p in model.named_parameters()}
        assert any(p.grad is not None for p in model.parameters())

    def after(self, model: Any, step: int) -> None:
        self.calls.append(("after", step))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.start[name])


def test_hooks_are_called_around_each_step_and_may_change_weights(tmp_path: Path) -> None:
    hook = Count()
    made = tuned(tmp_path / "hook", Changed(change=lambda s: replace(s, hooks=(hook,))), micro_batch=2)
    assert hook.calls == [("before", 1), ("after", 1), ("before", 2), ("after", 2)]
    before, after = weights(resolve(ALIGNED).folder), weights(made.path)
    assert all(torch.equal(before[name].float(), after[name]) for name in before)


def test_a_run_whose_loss_remembers_begins_anew_on_resume(tmp_path: Path) -> None:
    from safebasin_kiln.cool import Cool

    whole = tuned(tmp_path / "whole", Cool(), save="epoch")
    out = tmp_path / "again"
    tuned(out, Cool(), save="epoch")
    record = json.loads((out / "safebasin.json").read_text())
    (out / "safebasin.json").write_text(json.dumps({**record, "complete": False}))
    (out / "model.safetensors").unlink()
    assert last_checkpoint(out) is not None
    again = tuned(out, Cool(), resume=True, save="epoch")
    assert again.losses == whole.losses
    assert all(torch.equal(value, weights(again.path)[name]) for name, value in weights(whole.path).items())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_weight_defense_at_0_keeps_the_tuned_model_and_at_1_undoes_it(tmp_path: Path, method: str) -> None:
    from safebasin_kiln.temper import Temper

    kept = tuned(tmp_path / "kept", Temper(0.0), method=method)
    none = tuned(tmp_path / "none", Temper(1.0), method=method)
    base = weights(resolve(ALIGNED).folder)
    assert all(torch.equal(value.float(), weights(none.path)[name].float()) for name, value in base.items())
    assert kept.method == "full"
    assert kept.model == str(kept.path)
    assert is_unsafe(kept.path)
    assert is_unsafe(kept.path / "undefended")
    assert read_record(kept.path)["defenses"] == ["safebasin-kiln/temper(strength=0.0)"]
    assert read_record(kept.path / "undefended")["defenses"] == []
    if method == "full":
        before = weights(kept.path / "undefended")
        assert all(torch.equal(value, weights(kept.path)[name]) for name, value in before.items())
        assert any(not torch.equal(value, weights(none.path)[name]) for name, value in before.items())
    else:
        assert (kept.path / "undefended" / "adapter_model.safetensors").is_file()
        assert any(not torch.equal(value.float(), weights(kept.path)[name].float()) for name, value in base.items())


def test_what_asks_another_model_says_beforehand_what_it_takes() -> None:
    from safebasin.protocols import Cost

    class Asking(Changed):
        def estimate(self, rows: Any) -> Mapping[str, Cost]:
            return {"rubric": Cost(requests=len(rows))}

    found = estimate(request(ALIGNED, attack="harmful_examples(n=4)", defenses=[Asking(change=lambda s: s)]))
    assert found == {"rubric": Cost(requests=4)}


def test_a_defense_of_inference_is_not_for_training() -> None:
    from safebasin_kiln.steer import Steer

    with pytest.raises(UsageError, match=r"rows, training or weights.*steer.*inference"):
        request(ALIGNED, attack="harmful_examples(n=4)", defenses=[Steer()])
