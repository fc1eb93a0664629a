"""Rows as tokens of one model: encoded, checked against its vocabulary, and those that fit its context. No training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from safebasin.errors import PromptError, expected
from safebasin.finetune.settings import Tuning
from safebasin.prompts.masking import encode_row
from safebasin.records import IGNORED, EncodedRow, Scalar, TrainingRow

__all__ = ["Encoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Encodes the rows of a run, and says which of them it can be trained on."""

    tokenizer: Any
    ends: frozenset[int]
    """Tokens that end a turn."""
    n_embeddings: int
    """Rows of the embedding: no token may lie beyond."""
    context: int | None
    """Tokens that the model can take; None where its configuration does not say."""
    tuning: Tuning
    template_args: tuple[tuple[str, Scalar], ...] = ()
    date: str | None = None
    """The day that the template's clock shows, ISO 8601; None is today."""

    def encode(self, row: TrainingRow) -> EncodedRow:
        """Tokens and labels of a row.

        Raises:
            PromptError, ModelError: as `encode_row`.
        """
        from safebasin.models.quiet import quiet

        with quiet():  # a tokenizer says itself that a row is too long; who trains is told once, in the notes
            return encode_row(self.tokenizer, row, template_args=self.template_args, ends=self.ends, date=self.date)

    def fitting(self, rows: Iterable[EncodedRow]) -> tuple[EncodedRow, ...]:
        """Keep the rows that are not too long; none is cut.

        Raises:
            PromptError: where a token lies beyond the embedding, no row fits, or one carries no loss.
        """
        from safebasin.models.vocabulary import check_ids

        every = tuple(rows)
        for row in every:
            ids = [*row.ids, *(label for label in row.labels if label != IGNORED)]
            check_ids(ids, self.n_embeddings, len(self.tokenizer), where=f"row {row.row.name}")
        limits = [self.context, self.tuning.max_length if self.tuning.over_long == "drop" else None]
        most = min((limit for limit in limits if limit), default=None)
        fit = tuple(row for row in every if most is None or len(row.ids) <= most)
        if not fit:
            shortest = min(len(row.ids) for row in every)
            remedy = "Raise --max-length, or shorten the rows."
            raise PromptError(expected("the rows", f"of at most {most} tokens", f"{shortest} in the shortest", remedy))
        _check_loss(fit)
        return fit

    def notes(self, rows: Sequence[EncodedRow], given: int) -> list[str]:
        """Say what people should know of the rows that are left of those given."""
        longest, said = self.tuning.max_length, list[str]()
        kept = sum(len(row.ids) > (longest or self.context or len(row.ids)) for row in rows)
        if given > len(rows):
            said.append(f"{given - len(rows)} of {given} rows are too long and left out; none is cut")
        if kept:
            said.append(f"{kept} of {given} rows are longer than {longest} tokens and kept whole")
        return said


def _check_loss(rows: Sequence[EncodedRow]) -> None:
    silent = next((row.row.name for row in rows if all(label == IGNORED for label in row.labels)), None)
    if silent is not None:
        remedy = "Mend the row or the template."
        raise PromptError(expected(f"row {silent}", "one with a token that carries loss", "none", remedy))
