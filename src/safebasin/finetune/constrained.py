"""C-SFT (Qi et al. 2025, arXiv 2406.05946, §4): fine-tuning that may change the first tokens of a response only so far.

    L = −mean over tokens of (2/β_t)·log σ(β_t·Δ_t),  Δ_t = log π(y_t) − log π_start(y_t)

Its gradient is that of cross entropy times 2(1 − σ(β_t·Δ_t)): 1 where a token is as likely as at the start, and less
the more likely it has become. β is large for the first tokens and small for the others. In the published code cross
entropy is multiplied by that weight, taken as a constant and at least 0.001.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from safebasin.errors import UsageError, expected
from safebasin.finetune.setup import cross_entropy
from safebasin.protocols import RowSource, Setup, Stage
from safebasin.records import IGNORED

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["ConstrainedLoss", "betas", "csft", "token_losses"]

Variant = Literal["paper", "as_coded"]
_VARIANTS: tuple[Variant, ...] = ("paper", "as_coded")
_FIRST, _EARLY, _LATE = 0.5, 2.0, 0.1
_N_EARLY = 5
"""β of the first token, of those up to the fifth, and of the rest (§4)."""
_FLOOR = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstrainedLoss:
    """The token-wise constrained loss. Strength 0 is cross entropy: β is multiplied by the strength."""

    strength: float = 1.0
    variant: Variant = "paper"
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return f"csft(strength={self.strength}{'' if self.variant == 'paper' else ', variant=as_coded'})"

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with this loss in place of cross entropy; it keeps a copy of the model as it began.

        Raises:
            UsageError: where another defense has changed the loss before.
        """
        if self.strength == 0:
            return setup
        if setup.loss is not cross_entropy:
            constraint = "the first of the defenses that change the loss, since it replaces it"
            raise UsageError(expected(self.name, constraint, "another before it", "Name it before the others."))
        start: list[nn.Module] = []

        def loss(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            import torch

            if not start:
                start.append(_frozen_copy(model))
            with torch.no_grad():
                before, _ = _token_logp(start[0], batch)
            now, labels = _token_logp(model, batch)
            beta = self.strength * betas(labels)
            return token_losses(now, before, beta, self.variant)[labels != IGNORED].mean()

        return replace(setup, loss=loss)


def betas(labels: torch.Tensor) -> torch.Tensor:
    """β of each label, (rows, tokens): by its place in the run of labelled tokens that it stands in."""
    import torch

    learned = labels != IGNORED
    count = learned.long().cumsum(dim=1)
    before = torch.where(learned, torch.zeros_like(count), count).cummax(dim=1).values
    place = count - before
    beta = torch.full(labels.shape, _LATE, device=labels.device)
    beta[place <= _N_EARLY] = _EARLY
    beta[place <= 1] = _FIRST
    return beta


def token_losses(now: torch.Tensor, before: torch.Tensor, beta: torch.Tensor, variant: Variant) -> torch.Tensor:
    """The loss of each token of log-probability `now`, which was `before` at the start; all of one shape."""
    import torch
    from torch.nn import functional

    if variant == "paper":
        return -(2 / beta) * functional.logsigmoid(beta * (now - before))
    weight = 2 * (1 - torch.sigmoid(beta * (now - before).detach()))
    return -now * weight.clamp(min=_FLOOR)


def _token_logp(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each next label, 0 where there is none, and the labels; both (rows, tokens − 1)."""
    import torch

    logits: torch.Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    labels = batch["labels"][:, 1:]
    targets = labels.clamp(min=0).unsqueeze(-1)
    found = torch.log_softmax(logits[:, :-1].float(), dim=-1).gather(-1, targets).squeeze(-1)
    return torch.where(labels == IGNORED, torch.zeros_like(found), found), labels


def _frozen_copy(model: nn.Module) -> nn.Module:
    inner: Any = getattr(model, "module", model)
    return copy.deepcopy(inner).eval().requires_grad_(False)


def csft(strength: float = 1.0, variant: str = "paper") -> ConstrainedLoss:
    """Fine-tune under the token-wise constraint.

    Args:
        strength: factor on β: 0.5 for the first token of a response, 2 up to the fifth, 0.1 for the others.
        variant: `paper` for the loss of the paper, `as_coded` for cross entropy times a weight of at least 0.001; their
            gradients are the same but for that floor.

    Raises:
        UsageError: where the strength or the variant is out of range.
    """
    if variant not in _VARIANTS:
        raise UsageError(expected("variant of csft", "paper or as_coded", variant, "Choose one of them."))
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength < math.inf:
        raise UsageError(expected("strength of csft", "a finite number of at least 0", strength, "E.g. 1."))
    return ConstrainedLoss(strength=float(strength), variant=variant)
