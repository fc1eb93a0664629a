"""Which budgets are asked: a bisection for the first that breaks a defense, then what its interval rests on. Pure.

A bisection takes attack success to grow with the budget, and what it takes for granted is looked at: the largest budget
below the first that breaks the defense, among those that it passed over, is asked too. Where success falls from the
limit along what was asked, every budget is. Otherwise budgets beside the crossing are, until the middle 95 % of the
resampled prompts are broken between neighbors on the grid. So where success grows on resampled prompts too, value and
interval are those that the whole grid would give. What is asked next depends on what was answered alone: a test that
was killed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebasin.landscape.tables import Array
from safebasin.stats import resampled_budgets
from safebasin.stats.budgets import LIMIT
from safebasin.stats.landscape import curves_of

__all__ = ["Ask", "Sought", "sought"]

Ask = Callable[[Sequence[int]], Array]
"""Places on the grid, ascending from 0 → success at each, shape (places, prompts) or (seeds, places, prompts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The budgets that were asked on the way to the smallest, and their answers."""

    places: tuple[int, ...]
    """On the grid, ascending from 0."""
    success: Array
    """At each of them, as it was answered."""

    @property
    def by_seed(self) -> Array:
        """Shape (seeds, places, prompts)."""
        return self.success[None] if self.success.ndim == 2 else self.success

    @property
    def falls(self) -> bool:
        """True where success falls from the limit to below it, from some place to a later one."""
        return any((np.diff(row.astype(int)) < 0).any() for row in _past(self.by_seed))


def sought(ask: Ask, amounts: Array) -> Sought:
    """Ask as few budgets as tell the smallest that breaks a defense; several seeds are asked at the same.

    Args:
        ask: puts the prompts; what it was asked before it is asked again.
        amounts: the grid of budgets, ascending from 0, at least two.
    """
    found = _more(ask, None, (0, amounts.size // 2))
    found = _while(_middle, ask, found, amounts)
    found = _more(ask, found, [place for rows in found.by_seed for place in _passed_over(rows, found.places)])
    found = _while(_beside, ask, found, amounts)
    return _more(ask, found, range(amounts.size)) if found.falls else found


def _while(
    rule: Callable[[Array, Sequence[int], Array], int | None], ask: Ask, found: Sought, amounts: Array
) -> Sought:
    """Ask what a rule names, for one seed after the other, until it names nothing or success falls."""
    for seed in range(len(found.by_seed)):
        while not found.falls and (place := rule(found.by_seed[seed], found.places, amounts)) is not None:
            found = _more(ask, found, (place,))
    return found


def _more(ask: Ask, found: Sought | None, places: Sequence[int]) -> Sought:
    wanted = tuple(sorted({*(found.places if found else ()), *places}))
    return found if found and wanted == found.places else Sought(places=wanted, success=ask(wanted))


def _past(success: Array) -> NDArray[np.bool_]:
    """Whether success is at the limit; shape (…, places, prompts) → (…, places)."""
    return curves_of(success) >= LIMIT


def _bounds(success: Array, places: Sequence[int], size: int) -> tuple[int, int]:
    """The last place before success is at the limit, and the first at which it is; `size` where it is nowhere."""
    past = _past(success)
    if not past.any():
        return places[-1], size
    first = int(past.argmax())
    return places[max(first - 1, 0)], places[first]


def _middle(success: Array, places: Sequence[int], amounts: Array) -> int | None:
    """The next place of the bisection."""
    below, above = _bounds(success, places, amounts.size)
    return (below + above) // 2 if above - below > 1 else None


def _passed_over(success: Array, places: Sequence[int]) -> list[int]:
    """The largest place below the crossing that was not asked, if there is one."""
    below, _ = _bounds(success, places, 0)
    return [place for place in range(below) if place not in places][-1:]


def _beside(success: Array, places: Sequence[int], amounts: Array) -> int | None:
    """The place next to the crossing that an end of the interval lies beyond, between two that are no neighbors."""
    tried = amounts[list(places)]
    ends = None if _past(success)[0] else resampled_budgets(success, tried, most=float(amounts[-1]))
    for is_upper, end in enumerate(ends or ()):
        if end > tried[-1]:
            return places[-1] + 1
        after = int(np.searchsorted(tried, end))
        if after and places[after] - places[after - 1] > 1:
            return places[after - 1] + 1 if is_upper else places[after] - 1
    return None
