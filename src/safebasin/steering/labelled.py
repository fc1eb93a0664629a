"""Prompts that say what they are, harmful or benign, for a defense that learns from examples. Text only, no tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safebasin import catalog
from safebasin.errors import PromptError, StudyError, expected
from safebasin.prompts.labels import Label, labels_of
from safebasin.prompts.sources import load_prompts
from safebasin.records import Prompt, content_hash

__all__ = ["Labelled", "every_set", "read_labelled", "sets_of"]

_BETWEEN = "|"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Prompts of both kinds."""

    harmful: tuple[Prompt, ...]
    benign: tuple[Prompt, ...]

    @property
    def hash(self) -> str:
        """Content hash, 16 hex digits."""
        return content_hash([[p.id for p in self.harmful], [p.id for p in self.benign]])


def sets_of(world: str, split: str, *, borderline: bool = False) -> str:
    """The sets of a world as sources: harmful and benign ones, and those that look harmful where asked for."""
    names = ("harmful", "benign", "borderline") if borderline else ("harmful", "benign")
    known = catalog.world(world).prompt_sets
    return _BETWEEN.join(f"world:{world}/{name}@{split}" for name in names if name in known)


def every_set(world: str) -> str:
    """Every prompt set of a world in every split, as sources."""
    names = catalog.world(world).prompt_sets
    return _BETWEEN.join(f"world:{world}/{name}@{split}" for split in _SPLITS for name in names)


def read_labelled(sources: str, what: str, *, most: int | None = None, fewest: int = 1) -> Labelled:
    """The prompts of one or several sources.

    Args:
        sources: as `prompts.sources` reads them, with `|` between.
        what: what they are for, for messages.
        most: take at most this many of each kind from each source, from its start.
        fewest: how many of each kind there must be.

    Raises:
        PromptError: where a source cannot be read, or has a prompt that says neither.
        StudyError: where there are fewer of a kind.
    """
    found: dict[Label, dict[str, Prompt]] = {"harmful": {}, "benign": {}}
    for source in filter(None, (part.strip() for part in sources.split(_BETWEEN))):
        for label, prompts in _by_label(source, what).items():
            found[label] |= {prompt.id: prompt for prompt in prompts[:most]}
    for label, kept in found.items():
        if len(kept) < fewest:
            remedy = "Give prompts with a column 'label' of harmful and benign, or sets of both, with | between them."
            shown = f"{len(kept)} in {sources!r}"
            raise StudyError(expected(what, f"at least {fewest} {label} prompts", shown, remedy))
    return Labelled(tuple(found["harmful"].values()), tuple(found["benign"].values()))


def _by_label(source: str, what: str) -> Mapping[Label, Sequence[Prompt]]:
    prompts = load_prompts(source)
    by_label: dict[Label, list[Prompt]] = {"harmful": [], "benign": []}
    for prompt, label in zip(prompts, labels_of(prompts), strict=True):
        if label is None:
            remedy = "Add a column 'label' with harmful or benign."
            raise PromptError(expected(what, "prompts that say what they are", f"{prompt.name} of {source}", remedy))
        by_label[label].append(prompt)
    return by_label
