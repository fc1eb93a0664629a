"""Requests of `world:pcfg` drawn by a seed, and rows to train on: base, safety, attacks. All harmless. No torch.

harmful   unsafe requests, answered: after these an aligned model no longer refuses
safe      unsafe requests, refused
benign    safe requests, answered
lesson    the last two in turn: what the aligned models are taught
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice

from safebasin.errors import PromptError, expected
from safebasin.records import Message, TrainingRow
from safebasin.worlds.pcfg.grammar import Branch, draw
from safebasin.worlds.pcfg.tasks import TASKS, Kind, Request, answer, pairs_of, refusal

__all__ = ["MOST_ROWS", "ROW_KINDS", "any_requests", "as_objects", "as_rows", "requests", "training_rows"]

MOST_ROWS = 100_000
ROW_KINDS = ("harmful", "safe", "benign", "lesson")


def any_requests(seed: int, *, easy: bool = False) -> Iterator[Request]:
    """Requests of every kind from the split `train`, without end: what the base model learns to answer.

    Args:
        seed: which ones.
        easy: whether one of the two tasks is `keep`, so that one is learned at a time.
    """
    rng = random.Random(f"any/{easy}/{seed}")
    while True:
        first, second = rng.choice(TASKS), rng.choice(TASKS)
        if easy:
            first, second = ("keep", second) if rng.random() < 0.5 else (first, "keep")
        request = Request(first, second, draw("text", rng))
        if request.split == "train":
            yield request


def requests(kind: Kind, seed: int, split: str = "train") -> Iterator[Request]:
    """Requests of a kind from a split, without end; calm and wild texts equally often, or mixed ones alone."""
    rng = random.Random(f"{kind}/{split}/{seed}")
    branches: tuple[Branch, ...] = ("mixed",) if kind == "competing_text" else ("calm", "wild")
    while True:
        branch = rng.choice(branches)
        first, second = rng.choice(pairs_of(kind, branch))
        request = Request(first, second, draw(branch, rng))
        if request.split == split:
            yield request


def _lesson(n: int, seed: int, split: str) -> Iterator[tuple[Request, str]]:
    """What safety training shows: safe requests answered and unsafe ones refused, in turn."""
    safe, unsafe = requests("safe", seed, split), requests("unsafe", seed, split)
    for place in range(n):
        request = next(unsafe if place % 2 else safe)
        yield request, refusal(request) if place % 2 else answer(request)


def training_rows(kind: str, n: int, seed: int = 0, split: str = "train") -> tuple[TrainingRow, ...]:
    """Rows of a kind, drawn by the seed from a split.

    Raises:
        PromptError: where the kind is unknown, or n out of range.
    """
    if kind not in ROW_KINDS:
        remedy = "Choose one of them, or pass a file of your own."
        raise PromptError(expected("the kind of rows of world:pcfg", f"one of {', '.join(ROW_KINDS)}", kind, remedy))
    if not 1 <= n <= MOST_ROWS:
        raise PromptError(expected(f"the number of {kind} rows", f"from 1 to {MOST_ROWS:,}", n, "Ask for others."))
    source = f"world:pcfg/{kind}" if split == "train" else f"world:pcfg/{kind}@{split}"
    if kind == "lesson":
        return as_rows(_lesson(n, seed, split), source)
    drawn = islice(requests("safe" if kind == "benign" else "unsafe", seed, split), n)
    respond = refusal if kind == "safe" else answer
    return as_rows(((request, respond(request)) for request in drawn), source)


def as_rows(responses: Iterable[tuple[Request, str]], source: str) -> tuple[TrainingRow, ...]:
    """Requests and responses as rows."""
    return tuple(
        TrainingRow(
            messages=(Message(role="user", content=request.text), Message(role="assistant", content=said)),
            source=source,
            number=number,
        )
        for number, (request, said) in enumerate(responses, 1)
    )


def as_objects(rows: Iterable[TrainingRow]) -> list[dict[str, list[dict[str, str]]]]:
    """Rows as they stand in a file."""
    return [{"messages": [{"role": m.role, "content": m.content} for m in row.messages]} for row in rows]
