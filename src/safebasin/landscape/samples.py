"""Stored responses as rows to be shown or exported, with hazardous text withheld.

Redaction (design §10): prompt id, category, label and token count are always there; text only where the outcome is a
refusal or the model belongs to an embedded world, and otherwise only where the caller asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from safebasin.landscape.summaries import composing_judge, main_judge
from safebasin.records import Response, Verdict
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan


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


def shows_text(label: str, *, is_world: bool, with_text: bool) -> bool:
    """Whether the text of a response with this outcome may leave the database."""
    return is_world or with_text or label == "refusal"


def read_samples(
    store: StudyStore, plan: Plan, judges: Sequence[tuple[str, str]], *, with_text: bool = False
) -> Iterator[Sample]:
    """Every stored response of the plan: the origin first, then region by region, direction by direction, ascending.

    Args:
        store: database of the study.
        plan: what is read.
        judges: (name, version) of the study's judges: what earlier versions of them said is left out.
        with_text: also give texts that redaction withholds.
    """
    stored = {(r.point, r.system, r.prompt): r for r in store.responses(plan.decoding.key)}
    verdicts, current = store.verdicts_of(r.key for r in stored.values()), dict(judges)
    judge = composing_judge(plan.study.judges) or main_judge(plan.study.judges)
    is_world = plan.study.is_world
    for number, place, point in plan.numbered_places():
        for prompt_set in plan.sets:
            for system in plan.systems:
                for prompt in prompt_set.prompts:
                    response = stored.get((point.key, system.id, prompt.id))
                    if response is None:
                        continue
                    found = tuple(v for v in verdicts[response.key] if current.get(v.judge, v.version) == v.version)
                    label = next((v.label for v in found if v.judge == judge), "unscored")
                    shown = shows_text(label, is_world=is_world, with_text=with_text)
                    yield Sample(
                        region=number,
                        coords=place.coords,
                        direction=place.direction,
                        system=system.name,
                        prompts=prompt_set.name,
                        prompt_id=prompt.id,
                        category=prompt.category,
                        behavior=prompt.behavior,
                        prompt_label=prompt.label,
                        prompt_text=prompt.text if shown else None,
                        response=response,
                        text=response.text if shown else None,
                        label=label,
                        verdicts=found,
                    )
