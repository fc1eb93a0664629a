"""DeRTa (Yuan et al. 2024, arXiv 2407.09121): training to refuse at any place of a response, not at its start alone.

Of a request with a harmful response h and a refusal r, two rows are made:

    prefix       request, the first k tokens of h without loss, then r: −log p(r | request, h_<k), k drawn for each row
    transition   request and h; at each place of h the token that r begins with is taught, never one of h:
                 −Σ_t log p(r_1 | request, h_<t)

Both are rows of plain cross entropy, as in the published code, so that they weigh by their tokens. That code teaches
one token that is written down for one model; here it is the first token of the row's own refusal, as this tokenizer
writes it there. No loss of its own, and no measurement: refusal after a forced prefix is measured elsewhere.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from safebasin import catalog
from safebasin.errors import PromptError, expected
from safebasin.prompts.masking import span_of
from safebasin.protocols import RowSource, Setup, Stage
from safebasin.records import IGNORED, EncodedRow, Message, TrainingRow

__all__ = ["Derta", "derta"]

Variant = Literal["paper", "as_coded"]
_FEW_WORDS = 3
"""Words below which the published code passes a harmful response over."""
_EVERY = 3
"""In the published code each third row has no prefix."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Derta:
    """Rows of both kinds, beside the rows that are there. Share 0 adds each plain refusal twice: the control."""

    n: int | None
    share: float = 1.0
    drop: float = 0.0
    variant: Variant = "paper"
    stage: Stage = field(default="alignment", init=False)
    takes: tuple[str, ...] = field(default=("refused",), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        given = {"n": self.n, "share": self.share if self.share < 1 else None, "drop": self.drop or None}
        return catalog.write_call("derta", {**given, "variant": None if self.variant == "paper" else self.variant})

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with two rows more for each of the source.

        Raises:
            PromptError: where a row lacks its harmful response.
            UsageError: where the source has no such rows, or not as many.
        """
        # Another seed than the attack's own, as when refusals are mixed in.
        rows = source.training_rows("refused", self.n, seed=seed + 1)
        _check(rows)
        draw = random.Random(f"derta/{seed}")
        late = set(draw.sample(range(len(rows)), round(self.share * len(rows))))
        answers: list[EncodedRow] = []
        transitions: list[EncodedRow] = []
        for place, row in enumerate(rows):
            if place not in late:
                answers += [setup.encode(row)] * 2
            elif self.variant == "paper" or len(row.harmful.split()) >= _FEW_WORDS:
                pair = _Pair.of(setup, row)
                answers.append(self._prefixed(pair, place, draw))
                transitions.append(pair.transition(self.variant))
        kept = [row for row in self._dropped(transitions, draw) if any(label != IGNORED for label in row.labels)]
        notes = self._notes(len(rows), len(late), len(transitions), len(kept))
        return replace(setup, rows=(*setup.rows, *answers, *kept), notes=(*setup.notes, *notes))

    def _prefixed(self, pair: _Pair, place: int, draw: random.Random) -> EncodedRow:
        if self.variant == "paper":
            return pair.after_tokens(draw.randint(0, pair.length))
        words = pair.row.harmful.split()
        return pair.after_words(0 if place % _EVERY == 0 else draw.randint(1, len(words) - 2))

    def _dropped(self, rows: Sequence[EncodedRow], draw: random.Random) -> list[EncodedRow]:
        """The rows with most of their labels taken away: of each row a share, or of a padded row a share of all places.

        In the published code places are drawn from the whole row, prompt and padding too, so that a row may keep no
        label. It is as long there as its batch was padded to, here as the longest row.
        """
        if self.drop == 0:
            return list(rows)
        width = max((len(row.ids) for row in rows), default=0)
        made: list[EncodedRow] = []
        for row in rows:
            is_paper = self.variant == "paper"
            places = [i for i, label in enumerate(row.labels) if label != IGNORED] if is_paper else range(width)
            stays = set(draw.sample(places, n_kept(len(places), self.drop)))
            labels = tuple(label if i in stays else IGNORED for i, label in enumerate(row.labels))
            made.append(replace(row, labels=labels))
        return made

    def _notes(self, given: int, late: int, made: int, kept: int) -> list[str]:
        said = [
            f"{made} refusals behind part of a harmful response, {kept} rows of transition to a refusal, "
            f"{2 * (given - late)} plain refusals"
        ]
        if made < late:
            said.append(f"{late - made} of {given} harmful responses have fewer than {_FEW_WORDS} words: left out")
        if kept < made:
            said.append(f"{made - kept} of {made} rows of transition keep no label: left out")
        return said


def n_kept(n: int, drop: float) -> int:
    """Count the labels that stay of n: max(1, ⌈(1 − drop)·n⌉)."""
    return max(1, math.ceil(round((1 - drop) * n, 9)))


class _Span(NamedTuple):
    """A turn as tokens of the whole row, and where a text stands in it."""

    row: EncodedRow
    first: int
    """Where its first token stands …"""
    last: int
    """… and the one behind its last."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A request with both responses, as tokens."""

    setup: Setup
    row: TrainingRow
    plain: _Span
    """The refusal right away."""
    harmful: _Span
    later: _Span
    """The refusal behind the whole harmful response, and a blank."""

    @staticmethod
    def of(setup: Setup, row: TrainingRow) -> _Pair:
        return _Pair(
            setup,
            row,
            _spoken(setup, row, row.response, row.response),
            _spoken(setup, row, row.harmful, row.harmful),
            _spoken(setup, row, f"{row.harmful.strip()} {row.response.strip()}", row.response),
        )

    @property
    def length(self) -> int:
        """Tokens of the harmful response."""
        return self.harmful.last - self.harmful.first

    def after_tokens(self, k: int) -> EncodedRow:
        """The refusal behind the first k tokens of the harmful response."""
        if k == 0:
            return self.plain.row
        start = self.harmful.first
        return self._joined(self.harmful.row.ids[: start + k], k, self.later)

    def after_words(self, k: int) -> EncodedRow:
        """The refusal behind the first k words of the harmful response."""
        if k == 0:
            return self.plain.row
        said = " ".join(self.row.harmful.split()[:k])
        found = _spoken(self.setup, self.row, f"{said} {self.row.response.strip()}", self.row.response)
        return self._joined(found.row.ids[: found.first], found.first - self.plain.first, found)

    def _joined(self, ids: tuple[int, ...], silent: int, refusal: _Span) -> EncodedRow:
        before = self.plain.row.labels[: len(ids) - silent]
        behind = refusal.row.labels[refusal.first :]
        return EncodedRow(
            row=self.row,
            ids=(*ids, *refusal.row.ids[refusal.first :]),
            labels=(*before, *(IGNORED,) * silent, *behind),
        )

    def transition(self, variant: Variant) -> EncodedRow:
        """The harmful response, with the start of the refusal as the label of its places.

        In the published code one token is the label of all, the end of the turn too; in the paper of the response's
        places alone, and the first of them has the token that begins a response.
        """
        found, later = self.harmful, self.later.row.ids[self.later.first]
        labels = [IGNORED] * len(found.row.ids)
        last = found.last if variant == "paper" else len(labels)
        for i in range(found.first, last):
            if i < found.last or found.row.labels[i] != IGNORED:
                labels[i] = later
        if variant == "paper":
            labels[found.first] = self.plain.row.ids[self.plain.first]
        return replace(found.row, row=self.row, labels=tuple(labels))


def _spoken(setup: Setup, row: TrainingRow, said: str, sought: str) -> _Span:
    """The row with another last response, and where a text that ends it stands.

    Raises:
        PromptError: where the tokens do not hold the text.
    """
    turns = (*row.messages[:-1], Message(role="assistant", content=said.strip()))
    made = setup.encode(replace(row, messages=turns))
    found = span_of(setup.tokenizer, made.ids, sought)
    if found is None:
        remedy = "Leave the row out, or mend its characters."
        constraint = "one whose response the tokenizer gives back as it was"
        raise PromptError(expected(f"row {row.name}", constraint, sought[:40], remedy))
    return _Span(replace(made, row=row), *found)


def _check(rows: Sequence[TrainingRow]) -> None:
    bad = [row.number for row in rows if not row.harmful.strip()]
    if bad:
        numbers = f"row{'s' if len(bad) > 1 else ''} {', '.join(map(str, bad[:_SHOWN]))}"
        shown = f"{len(bad)} of {len(rows)} without one ({numbers}{', …' if len(bad) > _SHOWN else ''})"
        what = f"rows of {rows[0].source or 'refusals'} for derta"
        remedy = "Give it in a column 'harmful_response'; the row's own response is the refusal."
        raise PromptError(expected(what, "refusals with a harmful response beside", shown, remedy))


def derta(
    n: Annotated[int, Field(ge=1)] | None = None,
    share: Annotated[float, Field(ge=0, le=1)] = 1.0,
    drop: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    variant: Variant = "paper",
) -> Derta:
    """Train refusals behind part of a harmful response, and the transition to one at each of its places.

    Args:
        n: rows that hold a refusal and a harmful response, two rows being made of each; None takes all of `--safe`.
        share: of them, which are trained so; of the others the refusal is trained on twice. 0 is the control of the
            same size.
        drop: share of the labels of transition that are taken away: 0.95 in the paper's full fine-tuning, 0 in its
            LoRA.
        variant: `paper` draws the prefix from 0 to all tokens and drops labels of each response; `as_coded` draws it
            from words, none for each third row, teaches the transition at the end of the turn too, and drops places of
            the whole padded row, so that some rows keep no label.

    Raises:
        UsageError: where an argument is out of range.
    """
    return Derta(n=n, share=share, drop=drop, variant=variant)
