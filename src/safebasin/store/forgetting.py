"""Scores that are forgotten so that a run makes them anew: those that a judge needs more of than is there."""

from __future__ import annotations

from safebasin.store.db import StudyStore
from safebasin.store.values import ints, unpack_text

__all__ = ["forget_short_scores", "forget_spared_opinions"]


def forget_short_scores(store: StudyStore) -> None:
    """Delete the scores that end before their text does."""
    with store.transaction() as db:
        for table in ("scores", "scores_under"):
            query = f"SELECT s.rowid, substr(s.ends, -4), r.text FROM {table} s JOIN responses r ON r.key = s.response"
            short = [
                (row,) for row, end, text in db.execute(query) if (ints(end)[0] if end else 0) < len(unpack_text(text))
            ]
            db.executemany(f"DELETE FROM {table} WHERE rowid = ?", short)


def forget_spared_opinions(store: StudyStore) -> None:
    """Delete the empty scores under further points of responses that θ₀ did score."""
    scored = "SELECT response FROM scores WHERE length(nll) > 0"
    with store.transaction() as db:
        db.execute(f"DELETE FROM scores_under WHERE length(nll) = 0 AND response IN ({scored})")
