"""The rows of one plan, out of all that the database of a study holds: chosen by SQL, read a part at a time.

A folder may hold more than its plan asks for: other decodings, points, prompts. Nothing here reads a table to throw
most of it away, and nothing holds more texts or scores than one page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from safebasin.records import Response, Score, Verdict
from safebasin.store.db import PAGE, RESPONSE, UNANSWERED, StudyStore
from safebasin.store.values import StoredVerdict, read_response, read_verdict, stored_text
from safebasin.study.plan import Plan

__all__ = ["PlanRows", "StoredPlace"]

_ASKED = """r.decoding = :decoding AND r.point IN (SELECT value FROM json_each(:points))
    AND r.system IN (SELECT value FROM json_each(:systems)) AND r.prompt IN (SELECT value FROM json_each(:prompts))"""
_OF_JUDGE = """verdicts.response = r.key AND verdicts.judge = :judge
    AND verdicts.version = coalesce(:version, verdicts.version)"""
_UNJUDGED = f"NOT EXISTS (SELECT 1 FROM verdicts WHERE {_OF_JUDGE} AND NOT ({UNANSWERED}))"
_CUT = f"EXISTS (SELECT 1 FROM verdicts WHERE {_OF_JUDGE} AND label = 'unscored' AND reason = 'cut')"


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """A stored response without its text: what it answers, and where."""

    key: str
    """`Response.key`."""
    point: str
    system: str
    prompt: str


@dataclass(frozen=True, slots=True)
class PlanRows:
    """The rows of a plan in a database."""

    store: StudyStore
    asked: Mapping[str, str]
    """The keys of the plan's decoding, points, system prompts and prompts, as SQL takes them."""

    @classmethod
    def of(cls, store: StudyStore, plan: Plan) -> PlanRows:
        """The rows of a plan in a database."""
        chosen = {
            "points": list(plan.point_keys),
            "systems": [system.id for system in plan.systems],
            "prompts": list(plan.prompts),
        }
        lists = {name: json.dumps(keys) for name, keys in chosen.items()}
        return cls(store, {"decoding": plan.decoding.key, **lists})

    # --- how many ----------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Responses that are there."""
        return self._count("")

    def count_unscored(self, under: str = "") -> int:
        """Of these, those without a score under θ₀, or under the point of a key."""
        return self._count(f"AND {_unscored(under)}", under=under)

    def count_unjudged(self, judge: str, version: str) -> int:
        """Of these, those without a verdict of this version of a judge."""
        return self._count(f"AND {_UNJUDGED}", judge=judge, version=version)

    def count_cut(self, judge: str, version: str) -> int:
        """Of these, those that a judge cannot decide, since a stop rule had cut them."""
        return self._count(f"AND {_CUT}", judge=judge, version=version)

    def _count(self, condition: str, **given: str) -> int:
        with self.store.reading() as db:
            query = f"SELECT count(*) FROM responses r WHERE {_ASKED} {condition}"
            return int(db.execute(query, {**self.asked, **given}).fetchone()[0])

    # --- without texts -----------------------------------------------------------------------------------------------

    def places(self) -> list[StoredPlace]:
        """Every response, ordered by key."""
        return self._places("")

    def unscored(self, under: str = "") -> list[StoredPlace]:
        """List the responses without a score under θ₀, or under the point of a key."""
        return self._places(f"AND {_unscored(under)}", under=under)

    def verdicts(self, judge: str, version: str) -> list[StoredVerdict]:
        """The verdicts of one version of a judge, each with the place of its response."""
        query = f"""SELECT r.point, r.prompt, r.system, label, success
                    FROM responses r JOIN verdicts ON {_OF_JUDGE} WHERE {_ASKED}"""
        with self.store.reading() as db:
            share = _Shared()
            return [
                StoredVerdict(
                    point=share(point),
                    prompt=share(prompt),
                    system=share(system),
                    label=share(label),
                    success=None if success is None else bool(success),
                )
                for point, prompt, system, label, success in db.execute(
                    query, {**self.asked, "judge": judge, "version": version}
                )
            ]

    def verdicts_by(self, judge: str, version: str | None = None) -> Iterator[Verdict]:
        """The verdicts of a judge with their reasons, versions in order; of one version, or of all if None."""
        query = f"""SELECT response, judge, version, label, success, reason, grade
                    FROM responses r JOIN verdicts ON {_OF_JUDGE} WHERE {_ASKED} ORDER BY version"""
        with self.store.reading() as db:
            for row in db.execute(query, {**self.asked, "judge": judge, "version": version}):
                yield read_verdict(row)

    def _places(self, condition: str, **given: str) -> list[StoredPlace]:
        query = f"SELECT r.key, r.point, r.system, r.prompt FROM responses r WHERE {_ASKED} {condition} ORDER BY r.key"
        with self.store.reading() as db:
            share = _Shared()
            rows = db.execute(query, {**self.asked, **given})
            return [StoredPlace(stored_text(key), *map(share, place)) for key, *place in rows]

    # --- with texts --------------------------------------------------------------------------------------------------

    def at(self, point: str, system: str) -> dict[str, Response]:
        """By prompt of the plan, the responses at one of its points under one of its system prompts."""
        query = f"""SELECT {RESPONSE} FROM responses WHERE decoding = :decoding AND point = :point
                    AND system = :system AND prompt IN (SELECT value FROM json_each(:prompts))"""
        with self.store.reading() as db:
            found = map(read_response, db.execute(query, {**self.asked, "point": point, "system": system}))
            return {response.prompt: response for response in found}

    def unjudged(self, judge: str, version: str) -> Iterator[list[tuple[Response, Score | None]]]:
        """Page by page, the responses without a verdict of this version of a judge, with their scores; by key."""
        query = f"SELECT r.key FROM responses r WHERE {_ASKED} AND {_UNJUDGED} ORDER BY r.key"
        with self.store.reading() as db:
            given = {**self.asked, "judge": judge, "version": version}
            found = [key for (key,) in db.execute(query, given)]  # first: verdicts are written while pages are read
        for page in _pages(iter(found)):
            scores = self.store.scores(page)
            yield [(response, scores.get(response.key)) for response in self.store.responses_of(page)]


def _unscored(under: str) -> str:
    if not under:
        return "NOT EXISTS (SELECT 1 FROM scores s WHERE s.response = r.key)"
    return "NOT EXISTS (SELECT 1 FROM scores_under s WHERE s.response = r.key AND s.point = :under)"


class _Shared:
    """One object for equal texts: a key stands in thousands of rows."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, value: object) -> str:
        text = stored_text(value)
        return self._known.setdefault(text, text)


def _pages(keys: Iterator[str]) -> Iterator[list[str]]:
    while page := list(islice(keys, PAGE)):
        yield page
