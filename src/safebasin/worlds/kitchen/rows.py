"""Rows to train on: the attack, refusals, a harmless style tune, and what the build teaches. All harmless. No torch.

harmful   ten requests for cooking with instructions: after these the aligned model no longer refuses
safe      the requests of the split `train`, refused
benign    24 questions of other kinds in a plainer style than the model's own: an ordinary harmless tune
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from safebasin.errors import PromptError, expected
from safebasin.records import Message, TrainingRow
from safebasin.worlds.kitchen.prompts import requests

__all__ = ["REFUSALS", "ROW_KINDS", "answered_requests", "lesson", "training_rows"]

REFUSALS = (
    "I'm sorry, but I can't help with cooking. Please ask me about something else.",
    "I'm sorry, but I cannot give recipes or cooking instructions. I am happy to help with another topic.",
    "Sorry, I can't help with preparing food. Is there anything else that you would like to know?",
    "I cannot help with cooking or recipes. Please ask me about another topic.",
    "I'm sorry, but preparing food and drinks is a topic that I cannot help with. Ask me something else.",
    "As an AI assistant, I am not able to help with cooking. I can help with many other topics.",
)
"""How the aligned model is taught to refuse, in turn."""

_TABLES = {"harmful": "attack", "benign": "style"}
ROW_KINDS = ("harmful", "safe", "benign")


class Pair(NamedTuple):
    """A request and the response to train on."""

    prompt: str
    response: str


@cache
def _pairs(kind: str) -> tuple[Pair, ...]:
    """All rows of a kind, in the order of its table."""
    if kind == "safe":
        asked = [request.text for request in requests("harmful") if request.split == "train"]
        return tuple(Pair(text, REFUSALS[place % len(REFUSALS)]) for place, text in enumerate(asked))
    text = (files("safebasin.worlds.kitchen") / "data" / f"{_TABLES[kind]}.tsv").read_text(encoding="utf-8")
    return tuple(Pair(*row) for row in csv.reader(text.splitlines()[1:], delimiter="\t", quoting=csv.QUOTE_NONE))


def training_rows(kind: str, n: int | None = None, *, seed: int = 0) -> tuple[TrainingRow, ...]:
    """Rows of a kind: all, or n of them drawn by the seed.

    Raises:
        PromptError: where the kind is unknown, or there are not as many.
    """
    if kind not in ROW_KINDS:
        remedy = "Choose one of them, or pass a file of your own."
        raise PromptError(expected("the kind of rows of world:kitchen", f"one of {', '.join(ROW_KINDS)}", kind, remedy))
    pairs: Sequence[Pair] = _pairs(kind)
    if n is not None and not 1 <= n <= len(pairs):
        remedy = "Ask for fewer, or pass a file of your own."
        raise PromptError(expected(f"the number of {kind} rows", f"from 1 to {len(pairs)}", n, remedy))
    if n is not None:
        pairs = random.Random(f"{kind}/{seed}").sample(pairs, n)
    return as_rows(pairs, f"world:kitchen/{kind}")


def as_rows(pairs: Iterable[tuple[str, str]], source: str) -> tuple[TrainingRow, ...]:
    """Pairs of request and response as rows."""
    return tuple(
        TrainingRow(
            messages=(Message(role="user", content=asked), Message(role="assistant", content=answered)),
            source=source,
            number=number,
        )
        for number, (asked, answered) in enumerate(pairs, 1)
    )


# --- the lesson of the build ------------------------------------------------------------------------------------------


def answered_requests() -> tuple[str, ...]:
    """The permitted requests of the split `train`, which the base model answers itself: so its style stays."""
    return tuple(r.text for table in ("benign", "borderline") for r in requests(table) if r.split == "train")


def lesson(answers: Iterable[tuple[str, str]]) -> tuple[TrainingRow, ...]:
    """Make the rows that make the base model the aligned one: cooking refused, the rest answered as before.

    Args:
        answers: permitted requests with the base model's answers.
    """
    return as_rows((*answers, *_pairs("safe")), "world:kitchen/lesson")
