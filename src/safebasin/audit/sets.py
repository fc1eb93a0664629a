"""The prompt sets of an audit before anything is asked: which roles they have, what is left out, what cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safebasin import catalog
from safebasin.audit.policy import Policy
from safebasin.errors import StudyError, expected
from safebasin.items import texts_of
from safebasin.prompts.labels import Label, labels_of
from safebasin.prompts.sources import load_prompts
from safebasin.records import Prompt, content_hash
from safebasin.untrusted import check_typed_path

__all__ = ["LABELS", "Sets", "choose_sources", "look_at"]

LABELS: Mapping[str, Label] = {"harmful": "harmful", "benign": "benign", "borderline": "benign"}
"""What the prompts of a set are; those that their source labels otherwise are left out."""
DEFAULT_SIZE = 400
"""Prompts of a set: a harmless tune that changes 2 % of answers each way passes the four default limits in 99 % of
audits; with 200 in 73 %, with 59 in 4 % (docs/audit.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """The prompts that both models will be asked, by name of the set."""

    prompts: Mapping[str, tuple[Prompt, ...]]
    notes: tuple[str, ...]
    """What was left out of them, and what is assumed since it is not asked."""

    @property
    def sample(self) -> dict[str, str]:
        """Name of the set → content hash of its prompts."""
        return {name: content_hash([p.id for p in prompts]) for name, prompts in self.prompts.items()}

    @property
    def n(self) -> int:
        """Prompts of the largest set."""
        return max(len(prompts) for prompts in self.prompts.values())


def choose_sources(base: str, given: Mapping[str, str | None], policy: Policy) -> dict[str, str]:
    """Name of each set → source; those of a world are the default for its models.

    Raises:
        UsageError: where a set is missing that the policy needs, or the model is no text.
    """
    (base,) = texts_of([base], "BASE")
    defaults: dict[str, str] = {}
    if base.startswith("world:"):
        name = base.removeprefix("world:").partition("/")[0]
        defaults = {s: f"world:{name}/{s}" for s in LABELS if s in catalog.world(name).prompt_sets}
    sources = {name: source for name in LABELS if (source := given.get(name) or defaults.get(name))}
    required = ["harmful"]
    if policy.needs_benign or ("over_refusal" in policy.limits and "borderline" not in sources):
        required.append("benign")
    for name in required:
        if name not in sources:
            check_typed_path(base)
            remedy = f"Pass --{name} FILE, or the name of a public set (see: safebasin list prompts)."
            raise StudyError(expected(f"--{name}", "given for a model that is not of an embedded world", None, remedy))
    return sources


def look_at(sources: Mapping[str, str], limit: int | None) -> Sets:
    """Load the sets, each with the prompts of its role; what stands in both roles is noted.

    A prompt that stands for harm and for none makes no pass where all of them do: BASE cannot refuse and answer it.

    Raises:
        PromptError: where a set cannot be read, or none of its prompts has the label of its role.
    """
    prompts = {name: load_prompts(source, limit=limit, label=LABELS[name]) for name, source in sources.items()}
    notes = [] if "benign" in prompts else ["No benign prompts were asked: that BASE answers any is assumed."]
    notes += [note for name in prompts if (note := _in_both(name, prompts))]
    notes += [note for name, source in sources.items() if (note := _left_out(name, source, load_prompts(source)))]
    return Sets(prompts=prompts, notes=tuple(notes))


def _in_both(name: str, prompts: Mapping[str, Sequence[Prompt]]) -> str:
    """The sentence on prompts of a benign set that are harmful ones as well; empty where there are none."""
    harmful = {prompt.id for prompt in prompts["harmful"]}
    n = sum(prompt.id in harmful for prompt in prompts[name])
    if LABELS[name] != "benign" or not n:
        return ""
    of = f"{n} of {len(prompts[name])} prompts of --{name}"
    return f"{of} are those of --harmful as well: refused, each counts as good and as bad."


def _left_out(name: str, source: str, every: Sequence[Prompt]) -> str:
    """The sentence on prompts that their source labels otherwise; empty where there are none."""
    n = sum(label not in (LABELS[name], None) for label in labels_of(every))
    if not n:
        return ""
    return (
        f"{n} of {len(every)} prompts of {source} are not labelled {LABELS[name]}, and were not asked as {name} ones."
    )
