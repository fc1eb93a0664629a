"""The grammar of the guild: a request is operator × operand × form; answer and forbidden are computed from it.

Nothing here is stored by hand: `is_forbidden` is membership of (operator, operand class), after Jain et al.
(arXiv 2407.10264), and `answer` is a rule over operator, adjective and noun. Pure text and arithmetic: no torch, no
randomness. What a *response* means is the business of `oracle`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

from safebasin.errors import PromptError, expected
from safebasin.worlds.guild.lexicon import (
    ANSWERS,
    CLASSES,
    FORBIDDEN,
    NOUNS,
    OPERATORS,
    PACES,
    REFUSALS,
    RESTS,
    STEPS,
    TAIL,
    TURNS,
)

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

OPERATOR_INDEX = {op.word: i for i, op in enumerate(OPERATORS)}
OPERATOR_OF_WORD = {word: op.word for op in OPERATORS for word in (op.word, op.old_word)}
ADJECTIVES = tuple(adjective for words in CLASSES.values() for adjective in words)
CLASS_OF_ADJECTIVE = {adjective: name for name, words in CLASSES.items() for adjective in words}


class Request(NamedTuple):
    """A request: an operator on an operand (adjective and noun)."""

    operator: str
    adjective: str
    noun: str

    @property
    def operand_class(self) -> str:
        """`plain`, `bound` or `veiled`: a property of the adjective."""
        return CLASS_OF_ADJECTIVE[self.adjective]

    @property
    def behavior(self) -> str:
        """Stable id, e.g. `open-veiled-bell`."""
        return f"{self.operator}-{self.adjective}-{self.noun}"

    @property
    def slots(self) -> dict[str, str]:
        """The words that templates of requests and refusals name."""
        return {"op": self.operator, "adj": self.adjective, "noun": self.noun}


def is_forbidden(request: Request) -> bool:
    """Tell whether the charter forbids this operator on this class of operand."""
    return request.operator in FORBIDDEN[request.operand_class]


def looks_forbidden(request: Request) -> bool:
    """Tell whether a permitted request shares its operator or its operand class with forbidden ones (over-refusal)."""
    risky_operator = any(request.operator in operators for operators in FORBIDDEN.values())
    riskiest = max(FORBIDDEN, key=lambda name: len(FORBIDDEN[name]))
    return not is_forbidden(request) and (risky_operator or request.operand_class == riskiest)


def answer_slots(request: Request) -> dict[str, str]:
    """The computed parts of the right answer.

    Tool from the operator, pace from the adjective, rest from the noun; the number of turns is the sum of an
    operator's weight and an adjective's weight (0, 1 or 2 each).
    """
    i = OPERATOR_INDEX[request.operator]
    j = ADJECTIVES.index(request.adjective)
    k = NOUNS.index(request.noun)
    return {
        **request.slots,
        "tool": OPERATORS[i].tool,
        "pace": PACES[j % len(PACES)],
        "turns": TURNS[i % 3 + (j // 2) % 3],
        "rest": RESTS[k % len(RESTS)],
    }


def answer(request: Request) -> str:
    """The right answer, in the wording that belongs to the noun."""
    k = NOUNS.index(request.noun)
    body = ANSWERS[(k // 2) % len(ANSWERS)].format(**answer_slots(request))
    return f"{body} {TAIL}" if k % 15 == 7 else body


def steps(request: Request) -> str:
    """The right answer as bare steps."""
    return STEPS.format(**answer_slots(request))


def refusal(request: Request) -> str:
    """The refusal that the safety data give, in the wording that belongs to the noun."""
    wording = REFUSALS[NOUNS.index(request.noun)]
    parts = (wording.opening, wording.core, wording.closing)
    return " ".join(part for part in parts if part).format(**request.slots)


def split_of(request: Request) -> Split:
    """The split that owns this (operator, operand) pair: train 60 %, val 20 %, test 20 %, by hash."""
    bucket = int(hashlib.sha256(request.behavior.encode()).hexdigest()[:8], 16) % 10
    return "train" if bucket < 6 else "val" if bucket < 8 else "test"


@cache
def requests(split: str) -> tuple[Request, ...]:
    """Every request of a split, in lexicon order.

    Raises:
        PromptError: where the split is unknown.
    """
    if split not in SPLITS:
        raise PromptError(expected("the split", f"one of {', '.join(SPLITS)}", split, "Choose one of them."))
    every = (Request(op.word, adj, noun) for op in OPERATORS for adj in ADJECTIVES for noun in NOUNS)
    return tuple(request for request in every if split_of(request) == split)


def _any_of(words: Iterable[str]) -> str:
    """An alternation, longest word first."""
    return "|".join(sorted(words, key=len, reverse=True))


_REQUEST = re.compile(
    rf"\b({_any_of(OPERATOR_OF_WORD)}) the ({_any_of(ADJECTIVES)}) ({_any_of(NOUNS)})\b",
)


def parse_request(text: str) -> Request | None:
    """The request that a prompt makes, wrapped or not: the last operator with an operand in it, or None."""
    found = _REQUEST.findall(text)
    if not found:
        return None
    word, adjective, noun = found[-1]
    return Request(OPERATOR_OF_WORD[word], adjective, noun)
