"""How far the scores of a folder go: the rules by which its judges said how much of a text they need.

A score may end before its text does, where nobody needed more, and that under a further model may be empty, where θ₀
sufficed. A judge that needs more later has them made anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from safebasin.judges.scored import WHOLE, score_rules, scored_until
from safebasin.protocols import Judge
from safebasin.records import Response, Score
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.store.forgetting import forget_short_scores, forget_spared_opinions

__all__ = ["DECIDERS", "RULES", "opinions_suffice", "reaches", "settle", "settle_opinions", "suffices"]

RULES = "scored by"
"""Key of the rules in a folder's database; a folder without them holds scores of whole texts."""
DECIDERS = "opinions spared by"
"""Key of the judges, `name@version`, that said where θ₀ suffices; a folder without them asked further models always."""


def suffices(store: StudyStore, wanted: AbstractSet[str]) -> bool:
    """Tell whether the scores that a folder has go as far as these rules want."""
    text = store.meta(RULES)
    with parsed(store.path):
        kept = {WHOLE} if text is None else set(map(str, json.loads(text)))
    return WHOLE in kept or wanted <= kept


def settle(store: StudyStore, wanted: AbstractSet[str]) -> None:
    """Go on by these rules; scores that may be too short for them are forgotten, to be made anew."""
    if not suffices(store, wanted):
        forget_short_scores(store)
    rules = json.dumps(sorted(wanted))
    if store.meta(RULES) != rules:
        store.set_meta(RULES, rules)


def opinions_suffice(store: StudyStore, judges: Iterable[Judge]) -> bool:
    """Tell whether further models were asked wherever these judges, calibrated, may want their opinion."""
    text = store.meta(DECIDERS)
    with parsed(store.path):
        return text is None or _deciders(judges) <= set(map(str, json.loads(text)))


def settle_opinions(store: StudyStore, judges: Iterable[Judge]) -> None:
    """Go on by what these judges, calibrated, want to ask; opinions that others could spare are made anew."""
    wanted = list(judges)
    if not opinions_suffice(store, wanted):
        forget_spared_opinions(store)
    named = json.dumps(sorted(_deciders(wanted)))
    if store.meta(DECIDERS) != named:
        store.set_meta(DECIDERS, named)


def _deciders(judges: Iterable[Judge]) -> set[str]:
    return {f"{judge.name}@{judge.version}" for judge in judges if score_rules([judge])}


def reaches(judge: Judge, response: Response, score: Score) -> bool:
    """Tell whether a score goes as far as a judge needs."""
    return (score.ends[-1] if score.ends else 0) >= scored_until([judge], response)
