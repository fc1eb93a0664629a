"""Losses of safety training beside cross entropy, on the seam of training defenses: DPO and unlearning (Jain et al.).

ℓ(y) is the mean cross entropy of a response in nats per token, y_p the response that safety prefers, y_l the one that
it rejects, ℓ_base that of the model before safety training (arXiv 2407.10264, §4):

    unlearn   ℓ(y_p) − γ ℓ(y_l)
    dpo       −log σ( β (ℓ_base(y_p) − ℓ(y_p)) − γ (ℓ_base(y_l) − ℓ(y_l)) )

Supervised safety fine-tuning, ℓ(y_p), needs nothing of this. DPO has two coefficients there, which that of TRL has not,
so the loss is put into TRL's trainer. The published code divides ℓ by the padded length; here it is the response's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from safebasin.protocols import RowSource, Setup, Stage
from safebasin.records import IGNORED, EncodedRow, Message, TrainingRow
from safebasin.worlds.loop import collate
from safebasin.worlds.pcfg.tasks import answer, parse_request, refusal

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["METHODS", "Contrast"]

Method = Literal["dpo", "unlearn"]
Batch = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Safety training away from a rejected response; of the rows of the lesson, which hold the preferred one."""

    method: Method
    gamma: float
    """Weight of the rejected response."""
    beta: float = 1.0
    """Weight of the preferred one."""
    stage: Stage = field(default="alignment", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """The method with its coefficients."""
        return f"{self.method}(beta={self.beta:g}, gamma={self.gamma:g})"

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with this loss; rows stay."""
        rejected = {row.ids: setup.encode(_rejected(row.row)) for row in setup.rows}
        before: list[nn.Module] = []

        def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
            import torch

            other = _rejected_batch(batch, rejected)
            preferred, avoided = response_loss(model, batch), response_loss(model, other)
            if self.method == "unlearn":
                return (self.beta * preferred - self.gamma * avoided).mean()
            if not before:
                before.append(_frozen_copy(model))
            with torch.no_grad():
                start = response_loss(before[0], batch), response_loss(before[0], other)
            margin = self.beta * (start[0] - preferred) - self.gamma * (start[1] - avoided)
            return -torch.nn.functional.logsigmoid(margin).mean()

        return replace(setup, loss=loss)


METHODS: Mapping[str, Contrast | None] = {
    "aligned": None,
    "dpo": Contrast(method="dpo", beta=0.1, gamma=0.01),
    "unlearn": Contrast(method="unlearn", gamma=0.05),
}
"""Checkpoint → what its safety training adds to cross entropy on the lesson. DPO's coefficients are the published ones
("medium"), unlearning's is half of it: ℓ(y_l) has no bound, and after 300 steps at 0.1 up to 12 % of the answers to
safe requests were wrong, more or less of them by the order of the rows and by how a machine rounds."""


def response_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """ℓ of each row, (rows,): mean cross entropy over the labels that are not ignored, in nats."""
    import torch

    logits: torch.Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    labels = batch["labels"][:, 1:]
    each = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    )
    return each.sum(dim=1) / (labels != IGNORED).sum(dim=1)


def _rejected(row: TrainingRow) -> TrainingRow:
    """The row with the other response: a refusal where there is an answer, an answer where there is a refusal."""
    *asked, said = row.messages
    request = parse_request(asked[-1].content)
    assert request is not None, "rows of the lesson are requests of the grammar"
    other = answer(request) if said.content == refusal(request) else refusal(request)
    return replace(row, messages=(*asked, Message(role="assistant", content=other)))


def _rejected_batch(batch: Batch, rejected: Mapping[tuple[int, ...], EncodedRow]) -> dict[str, torch.Tensor]:
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    rows = [rejected[tuple(ids[:n])] for ids, n in zip(batch["input_ids"].tolist(), lengths, strict=True)]
    made = collate([(row.ids, row.labels) for row in rows])
    return {name: value.to(batch["input_ids"].device) for name, value in made.items()}


def _frozen_copy(model: nn.Module) -> nn.Module:
    inner: Any = getattr(model, "module", model)
    return copy.deepcopy(inner).eval().requires_grad_(False)
