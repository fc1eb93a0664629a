"""How the judges of a stored study agree, with one another and with human labels. Reads a folder, writes nothing.

What is compared is success, the one thing that every judge says: labels differ from judge to judge by design. A missing
verdict is missing: a pair is compared where both have spoken, and what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from safebasin import stats
from safebasin.errors import StudyError, expected
from safebasin.landscape.labels import Labels, read_labels
from safebasin.landscape.last_plan import choose_judges
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Estimate, Point, Verdict
from safebasin.stats import Accuracy, Confusion
from safebasin.stats.clusters import cluster_numbers, effective_size
from safebasin.stats.landscape import Array
from safebasin.store.rows import StoredPlace
from safebasin.study.plan import Plan

__all__ = ["LABELS", "Agreement", "Corrected", "Disagreement", "JudgeOnLabels", "JudgePair", "agree"]

LABELS = "labels"
"""The name under which human labels appear beside judges."""
_WORDS = {True: "success", False: "no success"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A response on which two judges differ."""

    response: str
    """`Response.key`, the `id` of `safebasin export`."""
    prompt: str
    """`Prompt.id`."""
    first: str
    """Outcome by the first judge; of human labels, `success` or `no success`."""
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePair:
    """Two judges on the responses that both have judged."""

    first: str
    second: str
    success: Confusion
    """Success by the first in rows, by the second in columns."""
    outcomes: Confusion
    """Outcomes likewise, as each names them."""
    n_missing: int
    """Responses that only one of them, or neither, has judged."""
    n_cut: int
    """Of these, those that one of them could not decide, since decoding had ended at a refusal of the other."""
    accuracy: Estimate
    kappa: Estimate
    alpha: Estimate
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The rate of successes of one panel's origin, as judged and as it would be without the judge's mistakes."""

    prompts: str
    """Name of the prompt set; empty for all responses of the study."""
    system: str
    judged: Estimate
    corrected: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOnLabels:
    """One judge against human labels."""

    judge: str
    sensitivity: Estimate
    specificity: Estimate
    rates: tuple[Corrected, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """All of it."""

    judges: tuple[str, ...]
    n_responses: int
    alpha: Estimate
    """Of all judges together (and the labels, if there are some)."""
    pairs: tuple[JudgePair, ...]
    labels: Labels | None
    n_unlabeled: int
    """Responses without a label; 0 where no labels are given."""
    on_labels: tuple[JudgeOnLabels, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one judge said, by response."""

    name: str
    success: Mapping[str, bool]
    outcome: Mapping[str, str]
    cut: frozenset[str] = frozenset()
    """Responses that it could not decide, since a stop rule had cut them."""


def agree(folder: Path, *, judges: Sequence[str] = (), labels: Path | None = None) -> Agreement:
    """Compare the judges of a stored study.

    Args:
        folder: the study.
        judges: names, as stored; all that the study was last judged with if empty.
        labels: file with human labels (`labels.read_labels`).

    Raises:
        StoreError: where the folder is no study.
        StudyError: where a judge has no verdicts here, or there is nothing to compare.
        PromptError: where the labels cannot be used.
    """
    with StoredStudy.open(folder) as study:
        plan = study.plan
        responses = {place.key: place for place in study.rows.places()}
        versions = choose_judges(study.store, judges, study.judges) if judges else study.judges
        said = [_said(name, study.rows.verdicts_by(name, version)) for name, version in versions]
    human = None if labels is None else read_labels(labels, {key: place.prompt for key, place in responses.items()})
    if human is not None:
        words = {key: _WORDS[success] for key, success in human.success.items()}
        said.insert(0, _Said(name=LABELS, success=human.success, outcome=words))
    if len(said) < 2:
        remedy = "Judge the study with another judge first (safebasin judge DIR --judge NAME), or give --labels."
        raise StudyError(expected("judges to compare", "two or more", [s.name for s in said], remedy))
    keys = sorted(responses)
    return Agreement(
        judges=tuple(name for name, _ in versions),
        n_responses=len(keys),
        alpha=_alpha(said, keys, responses),
        pairs=tuple(_pair(a, b, responses) for a, b in combinations(said, 2)),
        labels=human,
        n_unlabeled=0 if human is None else len(keys) - len(human.success),
        on_labels=() if human is None else tuple(_on_labels(s, human, plan, responses) for s in said[1:]),
    )


def _said(name: str, verdicts: Iterable[Verdict]) -> _Said:
    success, outcome, cut = dict[str, bool](), dict[str, str](), set[str]()
    for verdict in verdicts:
        if verdict.success is not None:
            success[verdict.response], outcome[verdict.response] = verdict.success, verdict.label
        elif (verdict.label, verdict.reason) == ("unscored", "cut"):
            cut.add(verdict.response)
    return _Said(name=name, success=success, outcome=outcome, cut=frozenset(cut))


def _pair(a: _Said, b: _Said, responses: Mapping[str, StoredPlace]) -> JudgePair:
    both = sorted(a.success.keys() & b.success.keys())
    words = tuple(_WORDS.values())
    first, second = ([_WORDS[s.success[key]] for key in both] for s in (a, b))
    prompts = [responses[key].prompt for key in both]
    success = stats.confusion(first, second, labels=words)
    differ = [key for key in both if a.success[key] != b.success[key]]
    return JudgePair(
        first=a.name,
        second=b.name,
        success=success,
        outcomes=stats.confusion([a.outcome[key] for key in both], [b.outcome[key] for key in both]),
        n_missing=len(responses) - len(both),
        n_cut=len((a.cut | b.cut) - set(both)),
        accuracy=stats.estimate_clustered_rate(
            np.asarray([x == y for x, y in zip(first, second, strict=True)], dtype=np.float64), prompts
        ),
        kappa=stats.estimate_kappa(success, by_prompt=stats.confusions(first, second, prompts, labels=words)),
        alpha=_alpha([a, b], both, responses),
        disagreements=tuple(
            Disagreement(response=key, prompt=responses[key].prompt, first=a.outcome[key], second=b.outcome[key])
            for key in differ
        ),
    )


def _alpha(said: Sequence[_Said], keys: Sequence[str], responses: Mapping[str, StoredPlace]) -> Estimate:
    return stats.estimate_alpha(
        [[None if (found := s.success.get(key)) is None else _WORDS[found] for key in keys] for s in said],
        clusters=[responses[key].prompt for key in keys],
    )


def _on_labels(said: _Said, labels: Labels, plan: Plan, responses: Mapping[str, StoredPlace]) -> JudgeOnLabels:
    harmful = [key for key, success in labels.success.items() if success]
    harmless = [key for key, success in labels.success.items() if not success]
    prompts = {key: response.prompt for key, response in responses.items()}
    seen, passed = _success(said, harmful), 1 - _success(said, harmless)
    panels = [("", "", sorted(responses))]
    for own in plan.sets:
        ids = {prompt.id for prompt in own.prompts}
        for system in plan.systems:
            origin = [k for k, r in responses.items() if r.point == Point().key and r.system == system.id]
            panels.append((own.name, system.name, [k for k in origin if responses[k].prompt in ids]))
    accuracy = Accuracy(
        true_positive=int(np.nansum(seen)),
        positive=int((~np.isnan(seen)).sum()),
        true_negative=int(np.nansum(passed)),
        negative=int((~np.isnan(passed)).sum()),
        positive_worth=_worth(seen, [prompts[key] for key in harmful]),
        negative_worth=_worth(passed, [prompts[key] for key in harmless]),
    )
    return JudgeOnLabels(
        judge=said.name,
        sensitivity=stats.estimate_clustered_rate(seen, [prompts[key] for key in harmful]),
        specificity=stats.estimate_clustered_rate(passed, [prompts[key] for key in harmless]),
        rates=tuple(_corrected(said, accuracy, prompts, *panel) for panel in panels),
    )


def _success(said: _Said, keys: Sequence[str]) -> Array:
    """1 success, 0 none, NaN where the judge said nothing. Shape (keys,)."""
    found = [said.success.get(key) for key in keys]
    return np.asarray([np.nan if success is None else float(success) for success in found], dtype=np.float64)


def _worth(success: Array, prompts: Sequence[str]) -> float | None:
    """Effective size of the scored ones; None where each is of a prompt of its own, or nothing is scored."""
    scored = ~np.isnan(success)
    kept = [prompt for prompt, has in zip(prompts, scored, strict=True) if has]
    if len(set(kept)) == len(kept):
        return None
    return effective_size(success[scored], cluster_numbers(kept, len(kept)))


def _corrected(
    said: _Said, accuracy: Accuracy, prompt_of: Mapping[str, str], prompts: str, system: str, keys: Sequence[str]
) -> Corrected:
    success, asked = _success(said, keys), [prompt_of[key] for key in keys]
    n = int((~np.isnan(success)).sum())
    return Corrected(
        prompts=prompts,
        system=system,
        judged=stats.estimate_clustered_rate(success, asked),
        corrected=stats.estimate_corrected_rate(
            int(np.nansum(success)), n, accuracy, n_missing=len(keys) - n, worth=_worth(success, asked)
        ),
    )
