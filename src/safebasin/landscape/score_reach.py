"""How far the scores of a folder go: the rules by which its judges said how much of a text they need.

A score may end before its text does, where nobody needed more. A judge that needs more later has them made anew.
"""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet

from safebasin.judges.scored import WHOLE, scored_until
from safebasin.protocols import Judge
from safebasin.records import Response, Score
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore

__all__ = ["RULES", "reaches", "settle", "suffices"]

RULES = "scored by"
"""Key of the rules in a folder's database; a folder without them holds scores of whole texts."""


def suffices(store: StudyStore, wanted: AbstractSet[str]) -> bool:
    """Tell whether the scores that a folder has go as far as these rules want."""
    text = store.meta(RULES)
    with parsed(store.path):
        kept = {WHOLE} if text is None else set(map(str, json.loads(text)))
    return WHOLE in kept or wanted <= kept


def settle(store: StudyStore, wanted: AbstractSet[str]) -> None:
    """Go on by these rules; scores that may be too short for them are forgotten, to be made anew."""
    if not suffices(store, wanted):
        store.forget_short_scores()
    rules = json.dumps(sorted(wanted))
    if store.meta(RULES) != rules:
        store.set_meta(RULES, rules)


def reaches(judge: Judge, response: Response, score: Score) -> bool:
    """Tell whether a score goes as far as a judge needs."""
    return (score.ends[-1] if score.ends else 0) >= scored_until([judge], response)
