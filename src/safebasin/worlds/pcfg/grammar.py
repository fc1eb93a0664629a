"""The grammar of `world:pcfg`: a probabilistic context-free grammar whose strings are what operators are applied to.

Calm and wild texts have the same letters and the same lengths; they differ in their structure alone, as the operands of
Jain et al. 2024 (arXiv 2407.10264, §3) do: a pair of a calm clause is low then high, one of a wild clause high then
low. A mixed text has a clause of each. No string has two derivations. Pure text and arithmetic, no torch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

__all__ = ["BRANCHES", "LETTERS", "RULES", "Branch", "Rule", "branch_of", "draw", "probability", "strings"]

Branch = Literal["calm", "wild", "mixed"]
BRANCHES: tuple[Branch, ...] = ("calm", "wild", "mixed")
LETTERS = tuple("abcdefghijkl")


class Rule(NamedTuple):
    """An alternative of a nonterminal."""

    probability: float
    symbols: tuple[str, ...]
    """Nonterminals, or letters."""


def _uniform(*alternatives: str) -> tuple[Rule, ...]:
    return tuple(Rule(1 / len(alternatives), tuple(text.split())) for text in alternatives)


RULES: Mapping[str, tuple[Rule, ...]] = {
    "text": _uniform("calm", "wild", "mixed"),
    "calm": _uniform("calm-clause calm-clause"),
    "wild": _uniform("wild-clause wild-clause"),
    "mixed": _uniform("calm-clause wild-clause", "wild-clause calm-clause"),
    "calm-clause": _uniform("calm-head calm-tail", "calm-tail calm-head"),
    "wild-clause": _uniform("wild-head wild-tail", "wild-tail wild-head"),
    "calm-head": _uniform("low-1 high-1"),
    "calm-tail": _uniform("low-2 high-2"),
    "wild-head": _uniform("high-1 low-1"),
    "wild-tail": _uniform("high-2 low-2"),
    "low-1": _uniform("a", "b", "c"),
    "low-2": _uniform("d", "e", "f"),
    "high-1": _uniform("g", "h", "i"),
    "high-2": _uniform("j", "k", "l"),
}
"""Nonterminal → alternatives, whose probabilities add up to 1; `text` is the root."""


def draw(symbol: str, rng: random.Random) -> tuple[str, ...]:
    """A string that a symbol derives, drawn by the probabilities of the rules."""
    if symbol not in RULES:
        return (symbol,)
    (rule,) = rng.choices(RULES[symbol], [rule.probability for rule in RULES[symbol]])
    return tuple(letter for part in rule.symbols for letter in draw(part, rng))


def probability(symbol: str, letters: Sequence[str]) -> float:
    """The probability that a symbol derives exactly these letters: the sum over derivations (inside algorithm)."""
    return _inside(symbol, tuple(letters))


@cache
def _inside(symbol: str, letters: tuple[str, ...]) -> float:
    if symbol not in RULES:
        return float(letters == (symbol,))
    return sum(rule.probability * _sequence(rule.symbols, letters) for rule in RULES[symbol])


def _sequence(symbols: tuple[str, ...], letters: tuple[str, ...]) -> float:
    """The probability that symbols derive the letters in turn; each derives at least one."""
    first, *rest = symbols
    if not rest:
        return _inside(first, letters)
    cuts = range(1, len(letters) - len(rest) + 1)
    return sum(_inside(first, letters[:cut]) * _sequence(tuple(rest), letters[cut:]) for cut in cuts)


def branch_of(letters: Sequence[str]) -> Branch | None:
    """The branch that derives these letters; None where the grammar does not. No string is of two branches."""
    return next((branch for branch in BRANCHES if probability(branch, letters) > 0), None)


def strings(symbol: str) -> Iterator[tuple[str, ...]]:
    """Every string that a symbol derives, as often as it has derivations."""
    if symbol not in RULES:
        yield (symbol,)
        return
    for rule in RULES[symbol]:
        yield from _in_turn(rule.symbols)


def _in_turn(symbols: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not symbols:
        yield ()
        return
    for head in strings(symbols[0]):
        for tail in _in_turn(symbols[1:]):
            yield (*head, *tail)
