"""Gradient ascent on the likelihood of not refusing, over a low-rank adapter: settings, objective, loop.

Objective, per token t of the first `first_tokens` of each refusal: −log(1 − p(t | prompt, refusal before t)), the
unlikelihood loss of Welleck et al. (arXiv 1908.04319), averaged. Unlike ascent on −log p it is bounded below by 0, and
its gradient vanishes once the token is unlikely. It says nothing about what comes instead, so too many steps tear the
model down; the ascent therefore ends once the average is `enough`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.edits.refusals import OwnRefusal
from safebasin.errors import ModelError, UsageError, expected

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["Ascent", "ascend", "unlikelihood"]

_ROWS = 8
"""Rows of a forward pass; more refusals than that are accumulated."""


_MOST = 100_000
"""Steps, rank and tokens, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """The settings that the worst-case direction is found with: AdamW without weight decay, gradients clipped at norm
    1.
    """

    steps: int = 40
    """At most this many, ≥ 1."""
    learning_rate: float = 1e-3
    rank: int = 4
    """Of the adapter, ≥ 1."""
    alpha: float = 8.0
    """LoRA scaling is alpha / rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Modules to adapt, as PEFT reads them; `all-linear` leaves the output layer out."""
    first_tokens: int = 4
    """How many tokens of each refusal are made unlikely, ≥ 1."""
    enough: float = 1.0
    """End once the average of −log(1 − p) is at or below this, in nats; 1 is p = 0.63. With 0 all steps are taken."""
    seed: int = 0
    """Of the adapter's initial weights."""

    def check(self) -> None:
        """Raises: UsageError naming the first setting that is out of range."""
        for name in ("steps", "rank", "first_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(expected(f"{name} of the ascent", "at least 1", getattr(self, name), "Raise it."))
            if getattr(self, name) > _MOST:
                remedy = "Lower it: a worst case is found in some dozens."
                raise UsageError(expected(f"{name} of the ascent", f"at most {_MOST:,}", getattr(self, name), remedy))
        for name in ("learning_rate", "alpha"):
            if not (0 < getattr(self, name) < math.inf):
                raise UsageError(expected(f"{name} of the ascent", "above 0", getattr(self, name), "Raise it."))
        if not (0 <= self.enough < math.inf):
            raise UsageError(expected("enough of the ascent", "0 or more", self.enough, "Use nats per token."))


def ascend(
    model: PreTrainedModel, refusals: Sequence[OwnRefusal], ascent: Ascent, folder: Path, name: str
) -> tuple[float, ...]:
    """Train the adapter and save it; the losses before the first step and after each."""
    import torch

    adapted = _adapt(model, ascent, name)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=ascent.learning_rate, weight_decay=0.0)
    losses: list[float] = []
    for step in range(ascent.steps + 1):
        loss = _backward(adapted, refusals, ascent.first_tokens)
        if not math.isfinite(loss):
            remedy = "Lower learning_rate; nothing was kept."
            raise ModelError(expected("the loss of the ascent", "finite", f"{loss} after {step} steps", remedy))
        losses.append(loss)
        if loss <= ascent.enough or step == ascent.steps:
            break
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return tuple(losses)


def _adapt(model: PreTrainedModel, ascent: Ascent, name: str) -> Any:
    """The model under a fresh adapter: ΔW = 0, drawn from the seed."""
    import torch
    from peft import LoraConfig, get_peft_model

    from safebasin.weights.layout import Layout

    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(ascent.seed)
        config = LoraConfig(
            r=ascent.rank,
            lora_alpha=cast("int", ascent.alpha),
            target_modules=ascent.targets if isinstance(ascent.targets, str) else list(ascent.targets),
            fan_in_fan_out=bool(Layout.of(model).transposed),
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = name
    return adapted.eval()


def _backward(model: Any, refusals: Sequence[OwnRefusal], first_tokens: int) -> float:
    """Add the gradient of the average unlikelihood over all tokens; returns that average."""
    total = sum(min(len(refusal.response), first_tokens) for refusal in refusals)
    loss = 0.0
    for start in range(0, len(refusals), _ROWS):
        part = unlikelihood(model, refusals[start : start + _ROWS], first_tokens).sum() / total
        part.backward()
        loss += part.item()
    return loss


def unlikelihood(model: Any, refusals: Sequence[OwnRefusal], first_tokens: int) -> torch.Tensor:
    """−log(1 − p) of each refusal token, in nats, shape (number of tokens,).

    As log Σ exp over all tokens less that over all others: exact where p is so near 1 that 1 − p would be 0.
    """
    import torch

    rows = [(refusal.prompt, refusal.response[:first_tokens]) for refusal in refusals]
    width = max(len(prompt) + len(response) for prompt, response in rows)
    padded = [[*prompt, *response] + [0] * (width - len(prompt) - len(response)) for prompt, response in rows]
    real = [[1] * (len(p) + len(r)) + [0] * (width - len(p) - len(r)) for p, r in rows]
    ids = torch.tensor(padded, device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.tensor(real, device=model.device)).logits
    row = torch.tensor([i for i, (_, r) in enumerate(rows) for _ in r], device=model.device)
    place = torch.tensor([len(p) + j for p, r in rows for j in range(len(r))], device=model.device)
    before, token = logits[row, place - 1].float(), ids[row, place]
    others = before.scatter(1, token[:, None], -math.inf)
    return torch.logsumexp(before, dim=1) - torch.logsumexp(others, dim=1)
