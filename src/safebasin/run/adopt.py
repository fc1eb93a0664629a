"""What another stop rule has left in a folder: a response that it did not cut is the same text under every rule.

So a judge or a stop rule that changes has only the cut ones decoded anew. No model, no plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from safebasin.records import Decoding, Response
from safebasin.run.prompt_settings import is_asked_alike, share_settings
from safebasin.store.db import StudyStore

__all__ = ["adopt_complete", "adoptable"]


def adoptable(store: StudyStore, decoding: Decoding) -> Iterator[tuple[Decoding, list[Response]]]:
    """Decodings of a folder that differ in nothing but their stop rule, each with the responses that it did not cut."""
    for key, earlier in store.decodings().items():
        if key != decoding.key and earlier.unstopped == decoding.unstopped and is_asked_alike(store, earlier, decoding):
            yield earlier, [r for r in store.responses(key) if r.finish_reason in ("stop", "length")]


def adopt_complete(store: StudyStore, decoding: Decoding) -> None:
    """Take them over under a new decoding, with their scores."""
    for earlier, complete in adoptable(store, decoding):
        if not complete:
            continue
        share_settings(store, earlier, decoding)
        moved = {r.key: replace(r, decoding=decoding.key) for r in complete}
        store.put_responses(moved.values())
        for old, score in store.scores(list(moved)).items():
            store.put_scores(replace(one, response=moved[old].key) for one in (score, *score.also))
