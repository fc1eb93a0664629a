"""The token budget of fast mode: how many tokens the pilot's verdicts took, with a factor for what it did not see.

Calibrated once a folder, from stored responses alone, and kept there: a resumed run finds the same, and a study that is
extended goes on as it began.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from safebasin.errors import StudyError, expected
from safebasin.judges.apply import refuses
from safebasin.judges.scored import score_rules
from safebasin.landscape.fast_mode import TokenBudget, read_budget, write_budget
from safebasin.protocols import Judge, RuleJudge
from safebasin.records import Response
from safebasin.run.inputs import Inputs
from safebasin.store.db import StudyStore
from safebasin.study.fast import POINTS, checked, in_full, pilot
from safebasin.study.plan import Plan

__all__ = ["calibrate_budget", "check_fast", "tokens_needed", "under_budget", "untold"]

FACTOR = 2
"""The budget over the most tokens that a verdict of the pilot took."""
STEP = 8
"""Budgets are multiples of it: refusals are looked for every so many tokens."""
SHORTEST, SHORTEST_LANGUAGE = 32, 64
"""The least budget; and where a judge asks whether a text is language, which few tokens do not tell."""


def check_fast(inputs: Inputs) -> None:
    """Check that a study of fast mode can be so: by its engine, and by judges whose verdicts a beginning decides.

    Raises:
        StudyError: naming the engine, or the first judge of which that is not known.
    """
    if not inputs.study.fast:
        return
    if "loop" not in inputs.stops:
        constraint = "one that ends repetition (`loop`) where fast is asked for"
        raise StudyError(expected("engine", constraint, inputs.decoding.engine, "Leave fast out, or use hf."))
    for judge in inputs.judges:
        if not (judge.monotone and (judge.phrases or isinstance(judge, RuleJudge))):
            constraint = "such that a refusal decides their verdicts where fast is asked for, as keyword lists do"
            remedy = "Leave fast out, or that judge."
            raise StudyError(expected("judges", constraint, judge.name, remedy))


def under_budget(plan: Plan, budget: TokenBudget) -> Plan:
    """A fast plan under its budget."""
    return replace(plan, decoding=replace(plan.decoding, max_new_tokens=budget.tokens))


def untold(store: StudyStore | None, plan: Plan) -> Iterator[str]:
    """Say what a fast plan cannot tell before it is run; nothing of any other."""
    sample, full = checked(plan), in_full(plan).max_new_tokens
    if sample is None:
        return
    if store is None or read_budget(store, in_full(plan)) is None:
        n = pilot(plan).size
        yield f"the token budget: fast mode calibrates it on {n} responses, counted here as {full}"
    for prompts in plan.sets:
        if prompts.stages:
            n, size = prompts.stages[0], len(prompts.prompts)
            yield (
                f"how many prompts of {prompts.name!r} fast mode asks at a point: counted here are the first {n} of "
                f"{size}, and more are asked where they leave a rate open"
            )
    n = len(sample.prompts) * len(sample.systems)
    yield (
        f"how many responses fast mode is checked by, counted in the price alone: {n} in exact mode at the origin and "
        f"at each of {POINTS} points of a line or {2 * POINTS} of a plane"
    )


def calibrate_budget(store: StudyStore, plan: Plan, judges: Sequence[Judge]) -> TokenBudget:
    """The budget of a fast plan: the one that its folder keeps, else by what it holds of the pilot, and then kept.

    Args:
        store: with the responses of the pilot.
        plan: of fast mode, its budget known or not.
        judges: those of the study.
    """
    full = in_full(plan)
    known = read_budget(store, full)
    if known is not None:
        return known
    asked = frozenset(pilot(plan).keys())
    responses = [r for r in store.responses(full.key) if (r.point, r.system, r.prompt) in asked]
    longest = max((tokens_needed(response, judges) for response in responses), default=0)
    least = SHORTEST_LANGUAGE if score_rules(judges) else SHORTEST
    wanted = max(least, STEP * math.ceil(FACTOR * longest / STEP))
    found = TokenBudget(tokens=min(full.max_new_tokens, wanted), longest=longest, n=len(responses))
    write_budget(store, full, found)
    return found


def tokens_needed(response: Response, judges: Iterable[Judge]) -> int:
    """Estimate the tokens after which every verdict of refusal on a response stands.

    Where in its text is known by bisection, since a refusal stays one whatever follows; how many tokens that is, by its
    share of all characters. One that does not refuse needs its reasoning alone, which precedes what is judged.
    """
    ends = (_decided(response.text, judge) for judge in judges if refuses(judge, response.text))
    said = len(response.thinking) + max(ends, default=0)
    total = len(response.thinking) + len(response.text)
    return math.ceil(response.n_tokens * said / total) if total else 0


def _decided(text: str, judge: Judge) -> int:
    """The characters after which a judge, who finds a refusal in the whole text, finds one."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if refuses(judge, text[:middle]) else (middle + 1, high)
    return low
