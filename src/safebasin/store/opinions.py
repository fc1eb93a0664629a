"""Verdicts of judges of wording, written in bulk: few opinions, on many responses. No object is made for a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.records import Opinion
from safebasin.store.db import IF_UNANSWERED, StudyStore
from safebasin.store.digests import digest_ending_in, insert_with_digests
from safebasin.store.values import flag_to_int, now, pack_text

__all__ = ["put_opinions"]


def put_opinions(store: StudyStore, judge: tuple[str, str], keys: Sequence[str], opinions: Sequence[Opinion]) -> int:
    """Store opinions as verdicts in one transaction, as `StudyStore.put_verdicts`; returns how many were new.

    Args:
        store: where to.
        judge: its name and version.
        keys: `Response.key` of what was judged.
        opinions: on each of these.
    """
    values = {said: (*judge, said.label, flag_to_int(said.success), pack_text(said.reason), None) for said in opinions}
    known = {said: (ending, digest_ending_in(*ending)) for said, ending in values.items()}
    told = ((key, *known[said]) for key, said in zip(keys, opinions, strict=True))
    rows = (((key, *ending), digest(key)) for key, ending, digest in told)
    with store.transaction() as db:
        before = db.total_changes
        insert_with_digests(db, "verdicts", rows, created=now(), otherwise=IF_UNANSWERED)
        return db.total_changes - before
