from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from safebasin.engines.scripted import ScriptedEngine
from safebasin.engines.vllm.selftest import POINTS, check, cross_check, expectations
from safebasin.errors import ModelError
from safebasin.protocols import Generation, TokenScores
from safebasin.records import Decoding, Message, Point


def _alpha(point: Point) -> float:
    return point.terms[0][1] if point.terms else 0.0


class _Fake(ScriptedEngine):
    """Its words are as likely as its place says; faults are functions of where it is and of where it was before."""

    def __init__(
        self,
        *,
        arrive: Callable[[Point, Point], Point] = lambda _, there: there,
        checksum: Callable[[Point], str] = lambda point: point.key,
        off: float = 0.0,
        says: Callable[[Sequence[Message], Point], str] = lambda _, point: f"I am at {_alpha(point)}.",
    ) -> None:
        super().__init__(says)
        self._arrive, self._sum, self._off = arrive, checksum, off
        self.moves = 0

    def move_to(self, point: Point) -> None:
        self.moves += 1
        super().move_to(self._arrive(self.point, point))

    def checksum(self) -> str:
        return self._sum(self.point)

    def score(
        self, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
    ) -> list[TokenScores]:
        found = super().score(conversations, texts, decoding)
        shift = _alpha(self.point) + self._off
        return [replace(s, nll=tuple(x + shift for x in s.nll)) for s in found]


def test_the_points_are_the_origin_and_both_sides_of_it() -> None:
    assert [_alpha(point) for point in POINTS] == [0.0, 0.1, -0.1]


def test_an_engine_that_does_as_the_reference_passes_and_is_left_at_the_origin() -> None:
    engine = _Fake(off=1e-3)
    assert check(engine, expectations(_Fake()), dtype="float32") == pytest.approx(1e-3)
    assert engine.point.is_origin


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (_Fake(off=0.01), "log-probabilities within 0.002 nats"),
        (_Fake(off=float("nan")), "log-probabilities within"),
        (_Fake(arrive=lambda here, _: here), "a difference of 0.1 nats at α = 0.1"),  # it never moves
        (_Fake(checksum=lambda _: "same"), "other weights away from θ₀"),
        (_Fake(says=lambda _, __: "Something else."), "greedy answers"),
    ],
)
def test_an_engine_that_answers_with_other_weights_is_refused_with_the_reason(engine: _Fake, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        check(engine, expectations(_Fake()), dtype="float32")
    assert "use the engine hf" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_move_that_changes_nothing_is_told_even_where_the_tolerance_would_not() -> None:
    counted = iter(range(99))
    with pytest.raises(ModelError, match="other log-probabilities after a move"):
        check(
            _Fake(arrive=lambda here, _: here, checksum=lambda _: str(next(counted))),
            expectations(_Fake(arrive=lambda here, _: here)),
            dtype="bfloat16",
        )


def test_weights_that_do_not_come_back_are_refused() -> None:
    drift = iter(range(99))
    with pytest.raises(ModelError, match="weights of before back at θ₀"):
        check(_Fake(checksum=lambda _: str(next(drift))), expectations(_Fake()), dtype="float32")


def test_scores_that_do_not_come_back_bit_for_bit_are_refused() -> None:
    class Drifting(_Fake):
        def score(
            self, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
        ) -> list[TokenScores]:
            self._off = 1e-6 * self.moves
            return super().score(conversations, texts, decoding)

    with pytest.raises(ModelError, match="bit for bit"):
        check(Drifting(), expectations(_Fake()), dtype="float32")


def test_an_answer_may_differ_where_the_reference_was_near_to_a_tie() -> None:
    class Tied(_Fake):
        def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
            return [replace(g, gap=1e-4) for g in super().generate(conversations, decoding)]

    engine = _Fake(says=lambda _, __: "Something else.")
    assert check(engine, expectations(Tied()), dtype="float32") == 0


def test_an_adapter_beside_the_weights_must_say_what_the_merged_weights_say() -> None:
    point = POINTS[1]
    (merged,) = expectations(_Fake(), (point,))
    same = _Fake(off=1e-3)
    same.move_to(point)
    assert cross_check(same, merged, dtype="float32") == pytest.approx(1e-3)
    for other, reason in (
        (_Fake(off=0.01), "those of the merged weights; got 'a difference of 0.01 nats at α = 0.1'"),
        (_Fake(says=lambda _, __: "Something else."), "one with the greedy answers of the merged weights"),
    ):
        other.move_to(point)
        with pytest.raises(ModelError, match=reason) as caught:
            cross_check(other, merged, dtype="float32")
        assert "Its points are made by merging it." in str(caught.value)
