"""The two sets that weights are attributed on, as tokens: refusals, and answers to permitted requests.

A row is read at one of two kinds of positions. `response`: the tokens of the response themselves, as the published code
has it; the last token of the prompt, which predicts the first one, is then left out. `predicting`: shifted by one, the
tokens from which those of the response are predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from safebasin.errors import PromptError, expected
from safebasin.models.tokens import context_length, end_ids
from safebasin.models.vocabulary import check_ids
from safebasin.prompts.chat import Tokenizer
from safebasin.prompts.masking import encode_row
from safebasin.prompts.turns import turn_ends
from safebasin.protocols import RowSource
from safebasin.records import IGNORED, EncodedRow, TrainingRow, content_hash

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["FEWEST", "Calibration", "Positions", "calibrate", "inputs", "places"]

Positions = Literal["response", "predicting"]

FEWEST = 8
"""Rows of each set, at least: below, a score is that of a few wordings."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Both sets as tokens."""

    safety: tuple[EncodedRow, ...]
    utility: tuple[EncodedRow, ...]

    def described(self) -> dict[str, object]:
        """As JSON: how many rows, and a digest of each set, which is a setting like others."""
        return {name: {"rows": len(rows), "hash": _digest(rows)} for name, rows in
                (("safety", self.safety), ("utility", self.utility))}  # fmt: skip


def calibrate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: RowSource, n: int, *, seed: int = 0
) -> Calibration:
    """Take up to n rows of each kind, and encode those that fit the model's context.

    Raises:
        PromptError: where a set is too small, both hold the same requests, or a row cannot be encoded.
        UsageError: where the source has no such rows.
    """
    sets = [tuple(source.training_rows(kind, n, seed=seed)) for kind in ("safe", "benign")]
    shared = {row.prompt.id for row in sets[0]} & {row.prompt.id for row in sets[1]}
    if shared:
        remedy = "Refusals belong into --safety, answers to permitted requests into --utility."
        got = f"{len(shared)} requests in both"
        raise PromptError(expected("the sets of safety and utility", "of two classes, apart", got, remedy))
    safety, utility = (_encoded(model, tokenizer, rows, what) for rows, what in zip(sets, _NAMES, strict=True))
    return Calibration(safety, utility)


_NAMES = ("the set of safety", "the set of utility")


def inputs(row: EncodedRow, device: torch.device) -> dict[str, torch.Tensor]:
    """One row as a batch of its own, (1, tokens): nothing is padded, so a score is that of one example."""
    ids = torch.tensor([row.ids], device=device)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.tensor([row.labels], device=device),
    }


def places(row: EncodedRow, positions: Positions) -> list[int]:
    """The positions of a row at which inputs of matrices are read."""
    learned = [place for place, label in enumerate(row.labels) if label != IGNORED]
    return learned if positions == "response" else [place - 1 for place in learned if place > 0]


def _encoded(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[TrainingRow], what: str
) -> tuple[EncodedRow, ...]:
    chat, loaded = cast("Tokenizer", tokenizer), cast("Any", model)
    ends = frozenset(end_ids(model.generation_config, tokenizer)) | turn_ends(chat).ids
    most = context_length(loaded.config, tokenizer)
    n_rows = int(loaded.get_input_embeddings().weight.shape[0])
    found: list[EncodedRow] = []
    for row in rows:
        made = encode_row(chat, row, ends=ends)
        check_ids(made.ids, n_rows, len(tokenizer), where=f"row {row.name}")
        if (most is None or len(made.ids) <= most) and places(made, "response"):
            found.append(made)
    if len(found) < FEWEST:
        got = f"{len(found)} that fit the context, of {len(rows)}"
        raise PromptError(expected(what, f"at least {FEWEST} rows", got, "Add rows; 128 of each are usual."))
    return tuple(found)


def _digest(rows: Sequence[EncodedRow]) -> str:
    return content_hash([[[turn.role, turn.content] for turn in row.row.messages] for row in rows])
