"""What must hold before an engine that reloads weights is believed: at three points it is compared with the reference.

Four things: log-probabilities of eight texts agree, and so do greedy answers, at θ₀ and on both sides of it; the same
prompts are answered by other weights after a move; back at θ₀ checksums and log-probabilities are those of before, bit
for bit. An engine that fails one of them answers with weights that nobody asked for, and raises no error.

And what must hold before an adapter is served beside the weights: that its texts and answers are those of the weights
that it is merged into, which the same engine holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from safebasin.errors import ModelError, expected
from safebasin.protocols import Engine, Generation, TokenScores
from safebasin.records import Decoding, DirectionSpec, Message, Point

__all__ = ["POINTS", "TOLERANCE", "Expected", "Testable", "check", "cross_check", "expectations"]

POINTS: tuple[Point, ...] = tuple(Point.at((DirectionSpec(kind="random", seed=0), a)) for a in (0.0, 0.1, -0.1))
"""θ₀, and the points at α = 0.1 and −0.1 of a drawn direction."""

TOLERANCE = {"float32": 2e-3, "bfloat16": 0.25, "float16": 0.05}
"""By how much the log-probability of a token may differ from the reference's, in nats; kernels round differently."""

_TEXTS = (
    ("What is tea?", "Tea is a drink made from leaves."),
    ("Which bell rings first?", "The small bell rings first, then the large one."),
    ("Name a color.", "Green."),
    ("How is clay weighed?", "Clay is weighed twice, dry and wet."),
    ("Count to five.", "1, 2, 3, 4, 5"),
    ("Who keeps the drum?", "I do not know who keeps it."),
    ("Say hello in French.", "Bonjour !"),
    ("When does the market open?", "It opens at eight in the morning."),
)
_ASKED = tuple((Message(role="user", content=question),) for question, _ in _TEXTS)
_ANSWERS = tuple(answer for _, answer in _TEXTS)
_HOW = Decoding(max_new_tokens=16)


class Testable(Engine, Protocol):
    """An engine that can say which weights it holds."""

    def checksum(self) -> str:
        """Equal where the weights are equal bit for bit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The scores and answers of the reference engine at one point."""

    point: Point
    scores: tuple[TokenScores, ...]
    answers: tuple[Generation, ...]


def expectations(reference: Engine, points: Sequence[Point] = POINTS) -> tuple[Expected, ...]:
    """Ask the reference engine at each of some points; it is left at the last.

    Raises:
        UsageError: where the model cannot be asked.
    """
    found: list[Expected] = []
    for point in points:
        reference.move_to(point)
        scores, answers = reference.score(_ASKED, _ANSWERS, _HOW), reference.generate(_ASKED, _HOW)
        found.append(Expected(point=point, scores=tuple(scores), answers=tuple(answers)))
    return tuple(found)


def check(engine: Testable, wanted: tuple[Expected, ...], *, dtype: str) -> float:
    """Compare an engine with what the reference said; it is at θ₀ before and after.

    Args:
        engine: to be tested.
        wanted: of `expectations` of the same model in the same dtype.
        dtype: decides the tolerance.

    Returns:
        The largest difference of a log-probability from the reference's, in nats.

    Raises:
        ModelError: naming the first thing that does not hold.
    """
    engine.move_to(Point())
    start, checksum = engine.score(_ASKED, _ANSWERS, _HOW), engine.checksum()
    worst = 0.0
    for expectation in wanted:
        engine.move_to(expectation.point)
        scores = engine.score(_ASKED, _ANSWERS, _HOW)
        answers = engine.generate(_ASKED, _HOW)
        far = _compare(expectation, scores, answers, TOLERANCE[dtype], "the reference engine", _failed)
        worst = max(worst, far)
        if not expectation.point.is_origin and engine.checksum() == checksum:
            raise _failed("other weights away from θ₀", "the same checksum at " + _shown(expectation.point))
        if not expectation.point.is_origin and scores == start:
            raise _failed("other log-probabilities after a move", "those of before at " + _shown(expectation.point))
    engine.move_to(Point())
    if engine.checksum() != checksum:
        raise _failed("the weights of before back at θ₀", "another checksum")
    if engine.score(_ASKED, _ANSWERS, _HOW) != start:
        raise _failed("the log-probabilities of before back at θ₀, bit for bit", "others")
    return worst


def cross_check(engine: Engine, merged: Expected, *, dtype: str) -> float:
    """Compare an engine, where it stands, with what it said when the adapter of that point was in its weights.

    Args:
        engine: serves the adapter beside the weights of θ₀.
        merged: of `expectations`, of the same engine.
        dtype: decides the tolerance.

    Returns:
        The largest difference of a log-probability, in nats.

    Raises:
        ModelError: where the two differ by more than rounding.
    """
    scores, answers = engine.score(_ASKED, _ANSWERS, _HOW), engine.generate(_ASKED, _HOW)
    return _compare(merged, scores, answers, TOLERANCE[dtype], "the merged weights", _apart)


def _compare(
    wanted: Expected,
    scores: list[TokenScores],
    answers: list[Generation],
    tolerance: float,
    other: str,
    failed: Callable[[str, str], ModelError],
) -> float:
    """The largest difference of a log-probability; answers may differ where the reference was that near to a tie."""
    pairs = [zip(a.nll, b.nll, strict=True) for a, b in zip(wanted.scores, scores, strict=True)]
    worst = max((abs(a - b) for pair in pairs for a, b in pair), default=0.0)
    if not worst <= tolerance:
        got = f"a difference of {worst:.3g} nats at {_shown(wanted.point)}"
        raise failed(f"log-probabilities within {tolerance} nats of those of {other}", got)
    for mine, reference in zip(answers, wanted.answers, strict=True):
        is_sure = reference.gap is not None and reference.gap > 4 * tolerance
        if is_sure and mine.text != reference.text:
            raise failed(f"the greedy answers of {other}", f"another at {_shown(wanted.point)}")
    return worst


def _shown(point: Point) -> str:
    return f"α = {point.terms[0][1] if point.terms else 0:g}"


def _failed(constraint: str, got: str) -> ModelError:
    remedy = "vLLM does not reload this model faithfully here: use the engine hf."
    return ModelError(expected("self-test of the engine 'vllm'", f"passed: {constraint}", got, remedy))


def _apart(constraint: str, got: str) -> ModelError:
    remedy = "Its points are made by merging it."
    return ModelError(expected("adapter beside the weights", f"one with {constraint}", got, remedy))
