"""Stored responses as rows to be shown or exported, with hazardous text withheld.

Redaction (design §10): prompt id, category, label and token count are always there; text only where the outcome is a
refusal or the model belongs to an embedded world, and otherwise only where the caller asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import composing_judge, main_judge
from safebasin.records import Place, Prompt, Response, Score, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One response with where it stands, what it answers and how it was judged."""

    region: int
    """Index of the study's region; the origin stands under the first."""
    coords: tuple[float, ...]
    direction: int
    """Which of the region's lines or planes; −1 for the origin."""
    system: str
    """Name of the system prompt."""
    prompts: str
    """Name of the prompt set."""
    prompt_id: str
    category: str
    behavior: str
    prompt_label: str
    prompt_text: str | None
    """None where withheld."""
    response: Response
    text: str | None
    """None where withheld."""
    label: str
    """Outcome, by the judge that composes outcomes."""
    verdicts: tuple[Verdict, ...]
    score: Score | None = None
    """Under θ₀; None where there is none, or it was not read."""


def shows_text(label: str, *, is_world: bool, with_text: bool) -> bool:
    """Tell whether the text of a response with this outcome may leave the database."""
    return is_world or with_text or label == "refusal"


def read_samples(
    study: StoredStudy, *, with_text: bool = False, with_scores: bool = False, most: int | None = None
) -> Iterator[Sample]:
    """Every stored response of a study: the origin first, then region by region, direction by direction, ascending.

    Read a place at a time. What earlier versions of the study's judges said is left out.

    Args:
        study: what is read.
        with_text: also give texts that redaction withholds.
        with_scores: also read the scores, which a page does not show.
        most: responses of each prompt set under each system prompt at a place, the first of the set; None is all.
    """
    plan, store = study.plan, study.store
    shown = Shown.of(study, with_text=with_text)
    for number, place, point in plan.numbered_places():
        left_out = plan.left_out.get(point.key, frozenset())
        for prompt_set in plan.sets:
            prompts = [prompt for prompt in prompt_set.prompts if prompt.id not in left_out]
            for system in plan.systems:
                first = [prompt.id for prompt in prompts[:most]]
                stored = study.rows.stored_at(point.key, system.id, None if most is None else first)
                if len(stored) < len(first):  # the next ones of the set stand for those that are not there
                    stored = study.rows.stored_at(point.key, system.id)
                asked = [(prompt, stored[prompt.id]) for prompt in prompts if prompt.id in stored][:most]
                keys = [key for _, key in asked]
                responses, verdicts = store.keyed(keys), store.verdicts_of(keys)
                scores = store.scores(keys) if with_scores else {}
                for prompt, key in (one for one in asked if one[1] in responses):
                    where = (number, place), (prompt_set.name, system.name)
                    yield sample_of(shown, *where, prompt, responses[key], verdicts[key], scores.get(key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The rule by which the responses of a study are shown."""

    versions: Mapping[str, str]
    """Judge → the version whose verdicts count."""
    judge: str
    """The one whose label decides whether a text is shown."""
    is_world: bool
    with_text: bool

    @classmethod
    def of(cls, study: StoredStudy, *, with_text: bool) -> Shown:
        """The rule of a study; `with_text` also gives texts that redaction withholds."""
        judges = study.plan.study.judges
        return cls(
            versions=dict(study.judges),
            judge=composing_judge(judges) or main_judge(judges),
            is_world=study.plan.study.is_world,
            with_text=with_text,
        )


def sample_of(
    of: Shown,
    where: tuple[int, Place],
    asked: tuple[str, str],
    prompt: Prompt,
    response: Response,
    verdicts: Sequence[Verdict],
    score: Score | None = None,
) -> Sample:
    """One stored response as a row, redacted.

    Args:
        of: the rule of its study.
        where: number of its region, and its place.
        asked: names of its prompt set and of its system prompt.
        prompt: what it answers.
        response: as stored.
        verdicts: all on it, of every version.
        score: under θ₀, where it is wanted.
    """
    found = tuple(v for v in verdicts if of.versions.get(v.judge, v.version) == v.version)
    label = next((v.label for v in found if v.judge == of.judge), "unscored")
    shown = shows_text(label, is_world=of.is_world, with_text=of.with_text)
    (number, place), (prompts, system) = where, asked
    return Sample(
        region=number,
        coords=place.coords,
        direction=place.direction,
        system=system,
        prompts=prompts,
        prompt_id=prompt.id,
        category=prompt.category,
        behavior=prompt.behavior,
        prompt_label=prompt.label,
        prompt_text=prompt.told if shown else None,
        response=response,
        text=response.text if shown else None,
        label=label,
        verdicts=found,
        score=score,
    )
