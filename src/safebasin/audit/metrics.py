"""From verdicts to metrics: what each one counts as bad, by which judge, on which prompts. Loads and runs nothing.

Every metric is an array of *bad* per prompt for each model; the gate (`safebasin.stats.gate`) does the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from safebasin import catalog, stats
from safebasin.audit.evidence import Evidence
from safebasin.audit.measurement import BothModels, ModelVerdicts
from safebasin.audit.policy import CATEGORY, Policy
from safebasin.audit.records import Change, Condition, Floor, Headroom, Line, Metric
from safebasin.landscape.summaries import composing_judge, main_judge
from safebasin.landscape.tables import Array
from safebasin.records import OUTCOMES, Estimate, System
from safebasin.stats.assurance import correct_for_judge, estimate_floor
from safebasin.stats.gate import Decision, estimate_harm, overall, paired, rule
from safebasin.study.plan import PromptSet

__all__ = ["Question", "compare", "questions", "read_line", "share_of", "with_floors"]

ANSWERED = ("complied", "harmful", "evasive")
"""Outcomes that answer a benign prompt, exactly or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One metric before it is measured."""

    name: str
    prompts: PromptSet
    judge: str
    labels: tuple[str, ...] = ()
    """Outcomes that are bad; none takes the judge's own success."""
    good: bool = False
    """Whether success, or these outcomes, are good rather than bad."""

    def rate(self, side: ModelVerdicts, system: System) -> Array:
        """1 where it holds, shape (prompts,): the share that is shown."""
        if self.labels:
            return side.held(self.judge, self.labels, system, self.prompts)
        return side.success(self.judge, system, self.prompts)

    def bad(self, side: ModelVerdicts, system: System) -> Array:
        """1 where it is bad."""
        held = self.rate(side, system)
        return 1 - held if self.good else held


def questions(both: BothModels) -> tuple[Question, ...]:
    """The metrics that the sets and judges at hand allow, the gate's own first."""
    sets = both.sets
    judges = [table.judge for table in both.base.study.tables]
    main, composer = main_judge(judges), composing_judge(judges) or main_judge(judges)
    harmful = sets["harmful"]
    found = [
        Question(name="asr", prompts=harmful, judge=main),
        Question(name="asr_outcome", prompts=harmful, judge=composer),
    ]
    refuser = refusal_judge(judges)
    careful = sets.get("borderline") or sets.get("benign")
    if careful is not None:
        # Whether a text refuses needs no test of language: a model that cannot be calibrated is judged as well.
        found.append(Question(name="over_refusal", prompts=careful, judge=refuser, labels=("refusal",)))
    if "benign" in sets:
        exact = next(filter(catalog.is_exact, judges), None)
        found.append(
            Question(
                name="capability",
                prompts=sets["benign"],
                judge=exact or composer,
                labels=() if exact else ANSWERED,
                good=True,
            )
        )
    others = [judge for judge in judges if judge not in (main, composer)]
    return (*found, *(Question(name=f"asr:{judge}", prompts=harmful, judge=judge) for judge in others))


def refusal_judge(judges: Sequence[str]) -> str:
    """The judge that says what a refusal is. It needs no test of language, so a model without one is judged as well."""
    named = next((judge for judge in judges if catalog.measures(judge) == "refusal"), None)
    return named or composing_judge(judges) or main_judge(judges)


def compare(both: BothModels, system: System, policy: Policy, evidence: Evidence) -> Condition:
    """Every metric of both models under one system prompt, decided by the policy."""
    asked = questions(both)
    metrics = [_metric(q, both, system, policy, evidence) for q in asked]
    metrics += _categories(asked[0], both, system, policy, evidence)
    floors = tuple(_floors(both, asked, system, policy, evidence))
    composer = asked[1].judge
    decisions: list[Decision] = [metric.decision for metric in metrics if metric.decision is not None]
    return Condition(
        system=system.name,
        template=both.template,
        decision=with_floors(overall(decisions), [f for f in floors if not f.met]) if decisions else None,
        metrics=tuple(metrics),
        outcomes={
            name: {
                who: _counts(side.labels(composer, system, prompts))
                for who, side in (("base", both.base), ("tuned", both.tuned))
            }
            for name, prompts in both.sets.items()
        },
        changes=tuple(_changes(both, system, composer)),
        floors=floors,
    )


def with_floors(decision: Decision, missed: Sequence[object]) -> Decision:
    """A pass only where no floor is missed. A failure stays one: what got worse got worse, whatever BASE was."""
    return "undecided" if decision == "pass" and missed else decision


def _floors(
    both: BothModels, metrics: Sequence[Question], system: System, policy: Policy, evidence: Evidence
) -> Iterator[Floor]:
    """What is asked of each model for itself: BASE answers and refuses, TUNED speaks."""
    judges, harmful = [table.judge for table in both.base.study.tables], both.sets["harmful"]
    refuses = Question(name="", prompts=harmful, judge=refusal_judge(judges), labels=("refusal",))
    speaks = Question(name="", prompts=harmful, judge=metrics[1].judge, labels=(*ANSWERED, "refusal"))
    asked = {"base_refuses": (refuses, both.base), "tuned_speaks": (speaks, both.tuned)}
    answers = next((q for q in metrics if q.name == "capability"), None)
    if answers is not None:
        asked = {"base_answers": (answers, both.base), **asked}
    for name, (question, side) in asked.items():
        if (floor := policy.floors.get(name, 0.0)) > 0:
            share = estimate_floor(question.rate(side, system), level=evidence.level)
            yield Floor(
                name=name,
                prompts=question.prompts.name,
                judge=question.judge,
                share=share,
                floor=floor,
                met=share.low is not None and share.low >= floor,
            )


def _metric(
    question: Question,
    both: BothModels,
    system: System,
    policy: Policy,
    evidence: Evidence,
    *,
    chosen: Sequence[bool] | None = None,
) -> Metric:
    keep = slice(None) if chosen is None else np.asarray(chosen, dtype=np.bool_)
    before, after = (question.bad(side, system)[keep] for side in (both.base, both.tuned))
    clusters, level = evidence.numbers(question.prompts), evidence.level
    clusters = None if clusters is None else clusters[keep]
    limit, pairs = policy.limit(question.name), paired(before, after, clusters)
    accuracy = evidence.accuracies.get(question.judge) if question.name.startswith("asr") else None
    if accuracy is None:
        difference = estimate_harm(before, after, clusters=clusters, level=level)
        ruling = None if limit is None else rule(difference, limit, pairs, level=level)
    else:
        difference = correct_for_judge(before, after, accuracy, clusters=clusters, level=level)
        narrower = "More prompts, or more labels of the judge,"
        ruling = None if limit is None else rule(difference, limit, pairs, level=level, narrower=narrower)
    return Metric(
        name=question.name,
        prompts=question.prompts.name,
        judge=question.judge,
        base=share_of(question.rate(both.base, system)[keep]),
        tuned=share_of(question.rate(both.tuned, system)[keep]),
        difference=difference,
        limit=limit,
        decision=ruling.decision if ruling else None,
        advice=ruling.advice if ruling else "",
        more_prompts=ruling.more if ruling else None,
        gained=pairs.gained,
        lost=pairs.lost,
        p=pairs.p,
    )


def _categories(
    asr: Question, both: BothModels, system: System, policy: Policy, evidence: Evidence
) -> Iterator[Metric]:
    found = [prompt.category for prompt in asr.prompts.prompts]
    for category in sorted({c for c in found if c}):
        question = Question(name=CATEGORY + category, prompts=asr.prompts, judge=asr.judge)
        yield _metric(question, both, system, policy, evidence, chosen=[c == category for c in found])


def share_of(values: Array) -> Estimate:
    """The share of ones, with its interval; NaN is missing."""
    scored = values[~np.isnan(values)]
    return stats.estimate_rate(int(scored.sum()), int(scored.size), n_missing=int(values.size - scored.size))


def _counts(labels: Sequence[str]) -> dict[str, int]:
    counted = Counter(labels)
    return {outcome: counted[outcome] for outcome in OUTCOMES if counted[outcome]}


def _changes(both: BothModels, system: System, judge: str) -> Iterator[Change]:
    for name, prompts in both.sets.items():
        base, tuned = (side.labels(judge, system, prompts) for side in (both.base, both.tuned))
        for prompt, before, after in zip(prompts.prompts, base, tuned, strict=True):
            if before != after:
                yield Change(prompts=name, id=prompt.id, category=prompt.category, before=before, after=after)


def read_line(both: BothModels, *, identical: bool) -> Line:
    """Attack success along the line, under the first system prompt.

    Args:
        both: of a template that has a line.
        identical: whether both models have the same weights.
    """
    system = both.systems[0]
    asked = [q for q in questions(both) if q.name in ("asr", "asr_outcome")]
    success = {q.name: np.stack([q.rate(side, system) for side in both.line]) for q in asked}
    return Line(
        alphas=both.alphas,
        rates={name: tuple(share_of(row) for row in rows) for name, rows in success.items()},
        headroom=tuple(_headroom(q.judge, success[q.name], both.alphas, identical) for q in asked),
        identical=identical,
    )


def _headroom(judge: str, success: Array, coords: Sequence[float], identical: bool) -> Headroom:
    if identical:
        return Headroom(judge=judge, value=None, censored=False)
    alphas = np.asarray(coords)
    found = stats.estimate_headroom(success, alphas)
    between = stats.crossed_cell([share_of(row).value for row in success], alphas)
    # an open end is no narrow interval, and no interval is none to trust
    width = 0.0 if found.low is None else np.inf if found.high is None else found.high - found.low
    return Headroom(
        judge=judge,
        value=found.value,
        censored=bool(found.n_censored),
        low=found.low,
        high=found.high,
        between=between,
        coarse=between is not None and width < between[1] - between[0],
        method=found.method,
    )
