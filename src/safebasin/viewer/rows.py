"""Responses as the page of samples lists them, as plain values; what a filter may be set to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from safebasin.landscape.browsing import SampleFilter, StudyPlace, shown_prompts, study_places
from safebasin.landscape.samples import Sample
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Place
from safebasin.report.colors import OUTCOME_WORDS
from safebasin.report.payload import MAX_CHARACTERS

__all__ = ["Choices", "ShownRow", "choices_of", "filter_from", "shown"]

FIELDS = ("outcome", "point", "judge", "success", "category", "prompt")
SUCCESS: dict[bool | None, str] = {True: "yes", False: "no", None: "undecided"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The choices of each filter of a study, as (value, words)."""

    outcomes: tuple[tuple[str, str], ...]
    points: tuple[tuple[str, str], ...]
    categories: tuple[tuple[str, str], ...]
    judges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """One response as the page lists it; texts are None where withheld."""

    key: str
    """`Response.key`."""
    point: str
    place: str
    prompt: str
    prompts: str
    category: str
    behavior: str
    label: str
    word: str
    tokens: int
    finish: str
    asked: str | None
    text: str | None
    verdicts: tuple[tuple[str, str, bool | None, str], ...]
    """(judge, label, success, reason); the reason is empty where the text is withheld, which it may quote."""
    differ: bool
    """Whether the judges do, in whether the attack had success."""
    link: str

    @property
    def judged(self) -> str:
        """The verdicts as lines of judge, tab and success, for a page that filters itself."""
        return "\n".join(f"{judge}\t{SUCCESS[success]}" for judge, _, success, _ in self.verdicts)


def choices_of(study: StoredStudy) -> Choices:
    """Collect what the filters of a study may be set to."""
    categories = sorted({prompt.category for _, prompt in shown_prompts(study).values() if prompt.category})
    return Choices(
        outcomes=tuple(OUTCOME_WORDS.items()),
        points=tuple((one.point, place_words(study, one)) for one in study_places(study)),
        categories=tuple((name, name) for name in categories),
        judges=tuple((name, name) for name, _ in study.judges),
    )


def place_words(study: StoredStudy, one: StudyPlace) -> str:
    """A place as people name it: `origin`, or region, direction and coordinates."""
    if one.place.direction < 0:
        return "origin"
    region = study.plan.regions[one.region]
    parts = [region.name] if region.name and len(study.plan.regions) > 1 else []
    parts += [f"direction {one.place.direction + 1}"] if region.n_directions > 1 else []
    names = ("α", "β")[: len(one.place.coords)]
    parts += [f"{name} = {value:g}" for name, value in zip(names, one.place.coords, strict=True)]
    return ", ".join(parts)


def filter_from(query: Mapping[str, str]) -> SampleFilter:
    """The filter that an address asks for; a name that the study does not know admits nothing."""
    given = {name: query.get(name, "")[:500] for name in FIELDS}
    if given["success"] not in ("", "yes", "no", "undecided"):
        given["success"] = ""
    return SampleFilter(**cast("dict[str, str]", given), disagreement=query.get("disagreement") == "1")  # pyright: ignore[reportArgumentType]


def shown(study: StoredStudy, sample: Sample) -> ShownRow:
    """A sample as the page lists it."""
    point = sample.response.point
    withheld = sample.text is None
    said = {verdict.success for verdict in sample.verdicts if verdict.success is not None}
    place = StudyPlace(sample.region, Place(direction=sample.direction, coords=sample.coords), point)
    return ShownRow(
        key=sample.response.key,
        point=point,
        place=place_words(study, place),
        prompt=sample.prompt_id,
        prompts=f"{sample.prompts}, {sample.system}",
        category=sample.category,
        behavior=sample.behavior,
        label=sample.label,
        word=OUTCOME_WORDS.get(sample.label, sample.label),
        tokens=sample.response.n_tokens,
        finish=sample.response.finish_reason,
        asked=_cut(sample.prompt_text),
        text=_cut(sample.text),
        verdicts=tuple((v.judge, v.label, v.success, "" if withheld else v.reason) for v in sample.verdicts),
        differ=len(said) > 1,
        link=f"samples.html?{urlencode({'point': point, 'prompt': sample.prompt_id})}#r-{sample.response.key}",
    )


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]} … ({len(text) - MAX_CHARACTERS} more characters)"
