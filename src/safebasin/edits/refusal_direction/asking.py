"""Prompts that a direction is found on, as tokens, and how much a model refuses them: log-odds of a refusal's start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from safebasin.edits.attribution.calibration import FEWEST, Calibration, calibrate
from safebasin.errors import PromptError, expected
from safebasin.protocols import RowSource
from safebasin.records import IGNORED, EncodedRow

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Asked", "ask", "divergence", "gather", "refusal_score"]

_HELD_OUT = 5
"""One in so many prompts is held out for the choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Prompts that the model refuses, and others that it answers; each (1, tokens), the assistant's turn opened."""

    harmful: tuple[torch.Tensor, ...]
    harmless: tuple[torch.Tensor, ...]
    harmful_held: tuple[torch.Tensor, ...]
    harmless_held: tuple[torch.Tensor, ...]
    tokens: tuple[int, ...]
    """With which refusals begin, and no answer does."""
    positions: int
    """Tokens that all prompts end with: those behind the instruction."""
    sets: Calibration


def gather(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: RowSource, n: int, *, seed: int
) -> Asked:
    """Take prompts of both kinds, and leave out those that the model does not treat as it should.

    Raises:
        PromptError: where a set is too small, before or after, or refusals and answers begin alike.
        UsageError: where the source has no such rows.
    """
    sets = calibrate(model, tokenizer, source, n, seed=seed)
    safe, benign = ({_first(row)[1] for row in rows} for rows in (sets.safety, sets.utility))
    tokens = tuple(sorted(safe - benign))
    if not tokens:
        remedy = "Pass refusals into --safety, and answers into --utility."
        raise PromptError(expected("the sets of safety and utility", "of two classes", "the same first tokens", remedy))
    harmful, harmless = ([_prompt(row, model) for row in rows] for rows in (sets.safety, sets.utility))
    positions = max(1, _common_end([*harmful, *harmless]))
    refused = [ids for ids in harmful if refusal_score(ask(model, ids), tokens) > 0]
    answered = [ids for ids in harmless if refusal_score(ask(model, ids), tokens) < 0]
    for kind, left, given in (("refuses", refused, harmful), ("answers", answered, harmless)):
        if len(left) < FEWEST:
            remedy = "Pass more of them, or others."
            got = f"{len(left)} of {len(given)}"
            raise PromptError(expected(f"prompts that the model {kind}", f"at least {FEWEST}", got, remedy))
    cuts = [max(1, len(refused) // _HELD_OUT), max(1, len(answered) // _HELD_OUT)]
    return Asked(
        harmful=tuple(refused[cuts[0] :]), harmless=tuple(answered[cuts[1] :]), harmful_held=tuple(refused[: cuts[0]]),
        harmless_held=tuple(answered[: cuts[1]]), tokens=tokens, positions=positions, sets=sets,
    )  # fmt: skip


def ask(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the token after a prompt, (vocabulary,), float64 on the CPU."""
    with torch.no_grad():
        return cast("torch.Tensor", model(input_ids=ids).logits)[0, -1].cpu().double()


def refusal_score(logits: torch.Tensor, tokens: Sequence[int]) -> float:
    """Log p − log(1 − p), p the probability that a refusal begins, each with 1e-8 added; as published."""
    p = logits.softmax(dim=-1)[list(tokens)].sum()
    return float(torch.log(p + 1e-8) - torch.log(1 - p + 1e-8))


def divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    """KL(before ‖ after) of the next token in nats, 1e-6 added to each probability; as published."""
    p, q = before.softmax(dim=-1), after.softmax(dim=-1)
    return float((p * (torch.log(p + 1e-6) - torch.log(q + 1e-6))).sum())


def _first(row: EncodedRow) -> tuple[int, int]:
    """Place and token of the first learned token: how the response begins."""
    return next((place, label) for place, label in enumerate(row.labels) if label != IGNORED)


def _prompt(row: EncodedRow, model: Any) -> torch.Tensor:
    return torch.tensor([row.ids[: _first(row)[0]]], device=model.device)


def _common_end(prompts: Sequence[torch.Tensor]) -> int:
    """How many tokens all prompts end with; never all of the shortest."""
    most = min(ids.shape[1] for ids in prompts) - 1
    return next((n for n in range(most) if len({int(ids[0, -1 - n]) for ids in prompts}) > 1), most)
