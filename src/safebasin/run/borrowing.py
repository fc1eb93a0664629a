"""Answers of θ₀ that another folder of the same model has: asked once, whatever tuned models are compared with it.

Taken over into a folder that has not begun. Keys say what was asked, so what does not fit is not used; the day, the
batches and the test of language of θ₀ come with the answers.
"""

from __future__ import annotations

import json
from pathlib import Path

from safebasin.landscape.language_tests import LANGUAGE
from safebasin.landscape.notes import DATE
from safebasin.landscape.score_reach import RULES
from safebasin.records import Point
from safebasin.run.beginning import written_to
from safebasin.store import folder as folders
from safebasin.store.absorbing import absorb_point
from safebasin.store.db import StudyStore

__all__ = ["borrow_origin"]


def borrow_origin(folder: Path, lender: Path, fingerprint: str | None) -> None:
    """Take over the answers of θ₀, unless the folder has begun, or the lender is of another model.

    Args:
        folder: of a study, made if needed.
        lender: folder of a study that has them.
        fingerprint: of the model.
    """
    if not (lender / folders.DATABASE).is_file():
        return
    with StudyStore.open(lender) as other:
        if other.meta("fingerprint") != fingerprint:
            return  # and no folder is made
        with written_to(folder) as store:
            if store.meta("fingerprint") is not None:
                return
            absorb_point(store, lender, Point().key)
            tests = json.loads(other.meta(LANGUAGE) or "{}")
            if "" in tests:
                store.set_meta(LANGUAGE, json.dumps({"": tests[""]}))
            asked = [key for key in other.meta_keys() if key.startswith("asked:")]
            for key in (*asked, RULES, DATE, "batch_size", "model", "fingerprint"):  # the last: that it has begun
                if (value := other.meta(key)) is not None:
                    store.set_meta(key, value)
