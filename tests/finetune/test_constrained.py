"""C-SFT: published weights, β by place, gradients of both variants in closed form, cross entropy at strength 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.models import make_tiny_model
from safebasin import catalog, testing
from safebasin.errors import UsageError
from safebasin.finetune.anchored import l2
from safebasin.finetune.constrained import betas, csft, token_losses
from safebasin.finetune.setup import cross_entropy
from safebasin.models.loading import load_causal
from safebasin.protocols import Setup

NOT = -100


def setup() -> Setup:
    return Setup(rows=(), encode=lambda row: row, loss=cross_entropy, parameters=(), tokenizer=None)  # pyright: ignore[reportArgumentType, reportReturnType]


@pytest.mark.parametrize("variant", ["paper", "as_coded"])
@pytest.mark.parametrize(
    ("beta", "delta", "weight"),
    [(2.0, 0.0, 1.0), (2.0, 1.0, 0.238406), (2.0, -1.0, 1.761594), (0.5, 1.0, 0.755081), (0.1, 1.0, 0.950042)],
)
def test_gradients_are_cross_entropys_times_the_published_weights(
    variant: Any, beta: float, delta: float, weight: float
) -> None:
    now = torch.tensor([-1.0], requires_grad=True, dtype=torch.float64)
    token_losses(now, torch.tensor([-1.0 - delta]), torch.tensor([beta]), variant).sum().backward()
    assert now.grad is not None
    assert float(now.grad) == pytest.approx(-weight, abs=1e-6)


def test_the_code_has_a_floor_and_the_paper_has_none() -> None:
    for variant, weight in (("paper", 2 / (1 + torch.e**40)), ("as_coded", 1e-3)):
        now = torch.tensor([-1.0], requires_grad=True, dtype=torch.float64)
        token_losses(now, torch.tensor([-21.0]), torch.tensor([2.0]), variant).sum().backward()  # pyright: ignore[reportArgumentType]
        assert now.grad is not None
        assert float(now.grad) == pytest.approx(-weight, rel=1e-6)


def test_beta_is_by_place_in_each_response() -> None:
    labels = torch.tensor([[NOT, 7, 7, 7, 7, 7, 7, 7, NOT, NOT, 7, 7, NOT], [7, 7, NOT, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]])
    found = betas(labels)
    first = [0.5, 2, 2, 2, 2, 0.1, 0.1]
    assert found[0, 1:8].tolist() == pytest.approx(first)
    assert found[0, 10:12].tolist() == pytest.approx([0.5, 2])
    assert found[1, :2].tolist() == pytest.approx([0.5, 2])
    assert found[1, 3:].tolist() == pytest.approx([*first, 0.1, 0.1, 0.1])


def batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, 9, 11, 30, 31, 32, 33, 34], [7, 8, 12, 13, 14, 15, 2, 2]])
    labels = ids.clone()
    labels[:, :2] = NOT
    labels[1, 6:] = NOT
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2", "mixtral"])
@pytest.mark.parametrize("variant", ["paper", "as_coded"])
def test_the_first_step_is_one_of_cross_entropy(variant: str, arch: str, tmp_path: Path) -> None:
    """Where nothing has moved every weight is 1, whatever makes the logits."""
    model = load_causal(make_tiny_model(tmp_path / "m", arch)).eval()  # GPT-2 drops out in training
    changed = csft(variant=variant).training(setup(), object())  # pyright: ignore[reportArgumentType]
    own, plain = gradients(model, changed.loss(model, batch())), gradients(model, cross_entropy(model, batch()))
    assert own.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(own[name], value, rtol=1e-3, atol=1e-5)


def test_a_later_step_is_another(tmp_path: Path) -> None:
    model = load_causal(make_tiny_model(tmp_path / "m"))
    changed = csft().training(setup(), object())  # pyright: ignore[reportArgumentType]
    before = float(changed.loss(model, batch()).detach())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05)
    own, plain = gradients(model, changed.loss(model, batch())), gradients(model, cross_entropy(model, batch()))
    assert any(not torch.allclose(own[name], value, rtol=1e-2, atol=1e-4) for name, value in plain.items())
    assert float(changed.loss(model, batch()).detach()) != before


def test_strength_0_changes_nothing() -> None:
    plain = setup()
    assert csft(0).training(plain, object()) is plain  # pyright: ignore[reportArgumentType]


def test_it_must_be_the_first_that_changes_the_loss() -> None:
    with pytest.raises(UsageError, match=r"csft\(strength=1.0\) must be the first"):
        csft().training(l2().training(setup(), object()), object())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["csft(strength=1.0)", "csft(strength=0.5, variant=as_coded)"])
def test_the_contract_and_the_name(text: str) -> None:
    made: Any = catalog.create("defense", text)
    assert made.name == text
    testing.check_defense(made)


@pytest.mark.parametrize("given", [{"strength": -1}, {"strength": float("nan")}, {"variant": "other"}])
def test_what_is_out_of_range_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="of csft"):
        csft(**given)
