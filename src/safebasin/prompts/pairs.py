"""Prompts that ask for the same behavior, paired: a request with and without a jailbreak around it.

No statistics: who has the pairs compares their outcomes. Where a behavior has several prompts in one set, its pairs are
not independent: resample behaviors, not pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from safebasin.errors import PromptError, expected
from safebasin.records import Prompt


def pair_by_behavior(a: Sequence[Prompt], b: Sequence[Prompt]) -> tuple[tuple[int, int], ...]:
    """Every (i, j) with `a[i].behavior == b[j].behavior`, in the order of `a`, then of `b`. An empty id pairs nothing.

    Raises:
        PromptError: where no behavior is in both.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for j, prompt in enumerate(b):
        if prompt.behavior:
            found[prompt.behavior].append(j)
    pairs = tuple((i, j) for i, prompt in enumerate(a) for j in found.get(prompt.behavior, ()))
    if not pairs:
        raise PromptError(_nothing_shared(a, b))
    return pairs


def share_behaviors(a: Sequence[Prompt], b: Sequence[Prompt]) -> bool:
    """Tell whether some behavior is in both, so that `pair_by_behavior` finds a pair."""
    return not {p.behavior for p in a if p.behavior}.isdisjoint({p.behavior for p in b if p.behavior})


def _nothing_shared(a: Sequence[Prompt], b: Sequence[Prompt]) -> str:
    names = [next((p.source for p in prompts if p.source), "a set") for prompts in (a, b)]
    without = [name for name, prompts in zip(names, (a, b), strict=True) if not any(p.behavior for p in prompts)]
    shown = [next((p.behavior for p in prompts if p.behavior), "") for prompts in (a, b)]
    what = f"prompts of {names[0]!r} and {names[1]!r}"
    if without:
        remedy = "Add a column behavior_id, with the same ids in both."
        return expected(what, "about the same behaviors", f"no behavior ids in {' and '.join(without)}", remedy)
    remedy = "Use the same ids in both, and slices that overlap; FILE#goal has the plain requests of a log."
    return expected(what, "about some of the same behaviors", f"ids like {shown[0]!r} and {shown[1]!r}", remedy)
