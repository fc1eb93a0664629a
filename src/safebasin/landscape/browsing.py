"""A page of stored responses that pass a filter, redacted as `samples` does, of a study that may still run.

Filters are SQL over one place at a time, so that a page of a large study costs what it shows and not what is stored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from safebasin.landscape.samples import Sample, Shown, sample_of
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import composing_judge, main_judge
from safebasin.records import Place, Prompt
from safebasin.store.values import stored_text

__all__ = ["SampleFilter", "SamplePage", "StudyPlace", "browse", "labeling_judge", "shown_prompts", "study_places"]

PATIENCE_S = 2.0
"""How long rows are looked for before a page goes out with what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFilter:
    """A filter of responses; what is empty admits all."""

    outcome: str = ""
    """Label by the judge that composes outcomes, or `unscored`."""
    point: str = ""
    """`Point.key`."""
    judge: str = ""
    """Name of a judge of the study."""
    success: Literal["", "yes", "no", "undecided"] = ""
    """What that judge says: whether the attack had success."""
    category: str = ""
    prompt: str = ""
    """`Prompt.id`."""
    disagreement: bool = False
    """Judges of the study differ in whether the attack had success; with `judge`, one of them is this."""


@dataclass(frozen=True, slots=True)
class StudyPlace:
    """A place of a study as rows name it."""

    region: int
    place: Place
    point: str
    """`Point.key`."""


@dataclass(frozen=True, slots=True)
class SamplePage:
    """Some rows, and where the next ones begin."""

    samples: tuple[Sample, ...]
    after: str
    """Cursor of the next page; empty at the end."""


def labeling_judge(study: StoredStudy) -> str:
    """Name of the judge whose label is the outcome of a row."""
    names = [name for name, _ in study.judges] or list(study.plan.study.judges)
    return composing_judge(names) or main_judge(names)


def study_places(study: StoredStudy) -> list[StudyPlace]:
    """Every place of a study once, the origin first."""
    found: dict[str, StudyPlace] = {}
    for region, place, point in study.plan.numbered_places():
        found.setdefault(point.key, StudyPlace(region, place, point.key))
    return list(found.values())


def shown_prompts(study: StoredStudy) -> dict[str, tuple[str, Prompt]]:
    """Every prompt by its id, with the name of the set that its rows are shown under: the first that has it."""
    return {prompt.id: (one.name, prompt) for one in reversed(study.plan.sets) for prompt in one.prompts}


def browse(
    study: StoredStudy,
    wanted: SampleFilter,
    *,
    after: str = "",
    n: int = 50,
    with_text: bool = False,
    patience: float = PATIENCE_S,
) -> SamplePage:
    """The next rows that pass a filter: the origin first, place by place, ordered by key within a place.

    Args:
        study: what is read.
        wanted: the filter. A name that the study does not know admits nothing.
        after: cursor of an earlier page; empty for the first.
        n: at most so many rows.
        with_text: also give texts that redaction withholds.
        patience: seconds that rows are looked for before a page goes out with what was found.
    """
    places = [one for one in study_places(study) if wanted.point in ("", one.point)]
    condition, given = _condition(study, wanted)
    position, key = _cursor(after)
    found: list[Sample] = []
    ends = time.monotonic() + patience
    for number in range(position, len(places)):
        keys = _keys(study, places[number].point, condition, {**given, "after": key, "n": n - len(found) + 1})
        more = len(found) + len(keys) > n
        keys = keys[: n - len(found)]
        found += _samples(study, places[number], keys, with_text=with_text)
        if more:
            return SamplePage(tuple(found), f"{number}.{keys[-1] if keys else key}")
        key = ""
        if time.monotonic() > ends and number + 1 < len(places):
            return SamplePage(tuple(found), f"{number + 1}.")
    return SamplePage(tuple(found), "")


def _cursor(text: str) -> tuple[int, str]:
    number, _, key = text.partition(".")
    return (int(number), key) if number.isascii() and number.isdigit() and len(number) < 10 else (0, "")


def _keys(study: StoredStudy, point: str, condition: str, given: Mapping[str, object]) -> list[str]:
    query = f"""SELECT r.key FROM responses r WHERE r.decoding = :decoding AND r.point = :point
        AND r.system IN (SELECT value FROM json_each(:systems)) AND r.prompt IN (SELECT value FROM json_each(:prompts))
        AND r.prompt NOT IN (SELECT value FROM json_each(:left_out))
        AND r.key > :after {condition} ORDER BY r.key LIMIT :n"""
    left_out = json.dumps(sorted(study.plan.left_out.get(point, ())))
    with study.store.reading() as db:
        return [stored_text(key) for (key,) in db.execute(query, {**given, "point": point, "left_out": left_out})]


def _samples(study: StoredStudy, where: StudyPlace, keys: Sequence[str], *, with_text: bool) -> Iterator[Sample]:
    systems = {system.id: system.name for system in study.plan.systems}
    asked = shown_prompts(study)
    shown, verdicts = Shown.of(study, with_text=with_text), study.store.verdicts_of(keys)
    for response in study.store.responses_of(keys):
        name, prompt = asked[response.prompt]
        at, names = (where.region, where.place), (name, systems[response.system])
        yield sample_of(shown, at, names, prompt, response, verdicts[response.key])


def _condition(study: StoredStudy, wanted: SampleFilter) -> tuple[str, dict[str, object]]:
    """What rows must be beside being of a place, as SQL, and all that the query is given."""
    prompts = [
        prompt.id
        for _, prompt in shown_prompts(study).values()
        if wanted.category in ("", prompt.category) and wanted.prompt in ("", prompt.id)
    ]
    given: dict[str, object] = {
        "decoding": study.plan.decoding.key,
        "systems": json.dumps([system.id for system in study.plan.systems]),
        "prompts": json.dumps(prompts),
    }
    parts = [_outcome(study, wanted, given), _success(study, wanted, given), _disagreement(study, wanted, given)]
    return " ".join(f"AND {part}" for part in parts if part), given


def _by(study: StoredStudy, judge: str, name: str, given: dict[str, object]) -> str:
    """A verdict of the study's version of a judge, as SQL; what it is called with is added."""
    given[name], given[f"{name}_version"] = judge, dict(study.judges).get(judge)
    return f"""SELECT 1 FROM verdicts v WHERE v.response = r.key AND v.judge = :{name}
        AND v.version = coalesce(:{name}_version, v.version)"""


def _outcome(study: StoredStudy, wanted: SampleFilter, given: dict[str, object]) -> str:
    if not wanted.outcome:
        return ""
    found = _by(study, labeling_judge(study), "labeling", given)
    if wanted.outcome == "unscored":
        return f"NOT EXISTS ({found} AND v.label <> 'unscored')"
    given["outcome"] = wanted.outcome
    return f"EXISTS ({found} AND v.label = :outcome)"


def _success(study: StoredStudy, wanted: SampleFilter, given: dict[str, object]) -> str:
    if not wanted.judge or not wanted.success:
        return ""
    found = _by(study, wanted.judge, "judge", given)
    if wanted.success == "undecided":
        return f"NOT EXISTS ({found} AND v.success IS NOT NULL)"
    given["success"] = int(wanted.success == "yes")
    return f"EXISTS ({found} AND v.success = :success)"


def _disagreement(study: StoredStudy, wanted: SampleFilter, given: dict[str, object]) -> str:
    if not wanted.disagreement:
        return ""
    given["current"] = json.dumps([f"{name} {version}" for name, version in study.judges])
    of = """FROM verdicts {0} WHERE {0}.response = r.key AND {0}.success IS NOT NULL
        AND {0}.judge || ' ' || {0}.version IN (SELECT value FROM json_each(:current))"""
    if not wanted.judge:
        return f"(SELECT count(DISTINCT v.success) {of.format('v')}) > 1"
    given["one"] = wanted.judge
    own = f"SELECT w.success {of.format('w')} AND w.judge = :one"
    return f"EXISTS (SELECT 1 {of.format('v')} AND v.success <> ({own}))"
