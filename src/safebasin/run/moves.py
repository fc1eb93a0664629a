"""Whether an engine can go where a plan wants it, told before the origin is decoded."""

from __future__ import annotations

from safebasin.errors import ModelError, expected
from safebasin.protocols import EngineFacts
from safebasin.study.plan import Plan
from safebasin.weights.blocks import check_only

__all__ = ["check_moves"]


def check_moves(facts: EngineFacts, plan: Plan) -> None:
    """Check that the weights move, and that the model has what each direction is to move.

    Raises:
        ModelError: where a model stays at θ₀, and so has no landscape.
        StudyError: where a pattern of `only` finds none of its tensors.
    """
    if not facts.moves and any(point.terms for point in plan.points):
        remedy = "Map its dequantized weights instead."
        raise ModelError(expected("model", "one whose weights can be moved", plan.study.model, remedy))
    if facts.names:  # not every engine tells them
        for only in dict.fromkeys(spec.only for point in plan.points for spec, _ in point.terms):
            check_only(only, facts.names)
