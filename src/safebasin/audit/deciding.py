"""What is made of the answers: both models asked under every condition, compared, and decided. Writes nothing.

Which models, prompts and assumptions go into it is `run`; the document and its words are `verdict`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safebasin.audit import verdict as verdicts
from safebasin.audit.basin import compare_basins
from safebasin.audit.candidate import Candidate
from safebasin.audit.evidence import Evidence
from safebasin.audit.labelled import TUNED, read_accuracies
from safebasin.audit.measurement import (
    BASE,
    IDENTICAL,
    OWN,
    AuditRequest,
    BothModels,
    computed_in,
    measure_both,
    read_distance,
)
from safebasin.audit.metrics import compare, read_line, with_floors
from safebasin.audit.policy import Policy
from safebasin.audit.records import AuditVerdict, BasinDrop, Condition, Model, PromptsUsed
from safebasin.audit.sets import Sets
from safebasin.errors import StudyError, expected
from safebasin.judges import load_judge
from safebasin.models.reference import ResolvedModel
from safebasin.models.writing import is_unsafe
from safebasin.records import content_hash
from safebasin.stats import Accuracy
from safebasin.stats.gate import EXIT_CODES, overall

__all__ = ["decide", "has_basin"]


def decide(
    asked: AuditRequest,
    base: ResolvedModel,
    policy: Policy,
    templates: tuple[str, ...],
    sets: Sets,
    evidence: Evidence,
    labels: Mapping[str, Path],
    *,
    basin: bool,
) -> AuditVerdict:
    """Ask what is not there yet, compare, decide.

    Args:
        asked: both models, and what they are asked.
        base: BASE.
        policy: the limits.
        templates: each is a condition, as every system prompt is.
        sets: the prompts.
        evidence: what prompts, looks and judges are taken for.
        labels: folder of a study of the audit → labels of its responses (`labelled.parse_agreement`).
        basin: also map random directions around both.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    candidate = asked.candidate
    notes, distance, engine = list(candidate.notes), None, None
    if asked.study.defenses:
        notes.append(f"Both models were asked under {', '.join(asked.study.defenses)}, as part of them.")
    if candidate.has_line:
        distance, engine = read_distance(asked, base.fingerprint)
    identical = distance is not None and distance["relative"] == 0
    if identical:
        asked = replace(asked, range=IDENTICAL)
    if not candidate.on_line:
        templates = tuple(dict.fromkeys(OWN if template == BASE else template for template in templates))
        notes += _off_line(candidate, basin=basin)
    notes += [*sets.notes, *evidence.notes]
    pairs = [
        measure_both(asked, t, engine=engine if t == BASE else None, with_line=t == templates[0]) for t in templates
    ]
    engine = None
    notes += computed_in(asked.folder)
    if labels:
        evidence = replace(evidence, accuracies=_accuracies(asked, pairs, labels))
    conditions = tuple(compare(both, system, policy, evidence) for both in pairs for system in both.systems)
    drops = compare_basins(asked, policy) if basin and has_basin(candidate) else None
    return _verdict(
        asked,
        base,
        policy,
        conditions,
        drops,
        pairs[0],
        evidence,
        line=read_line(pairs[0], identical=identical) if pairs[0].line else None,
        distance=distance,
        notes=tuple(notes),
    )


def _accuracies(asked: AuditRequest, pairs: Sequence[BothModels], labels: Mapping[str, Path]) -> dict[str, Accuracy]:
    if TUNED in labels and all(both.tuned.study is both.base.study for both in pairs):
        remedy = "TUNED was asked on the line: label its responses there (safebasin export DIR/line)."
        raise StudyError(
            expected("--agreement tuned=", "left out where no study is in DIR/tuned", labels[TUNED], remedy)
        )
    main = "line" if asked.candidate.has_line else "base"
    return read_accuracies({asked.folder / (name or main): path for name, path in labels.items()})


def has_basin(candidate: Candidate) -> bool:
    """Tell whether its weights can be moved: packed ones cannot."""
    return candidate.kind != "quantized" or bool(candidate.plain)


def _off_line(candidate: Candidate, *, basin: bool) -> list[str]:
    """What is said of a model that is no point of a line."""
    if candidate.plain:
        measured = "line, distance and basin are" if basin else "line and distance are"
        said = (
            f"TUNED was asked as it ships, since {candidate.difference}; {measured} those of its dequantized weights."
        )
    else:
        left = (
            "line, headroom, distance and basin"
            if basin and not has_basin(candidate)
            else "line, headroom and distance"
        )
        said = (
            f"TUNED is not on a line from BASE: {candidate.difference}. It was asked as it ships; {left} are left out."
        )
    return [said, "Each model was asked under its own template, and the coherence of its answers is its own opinion."]


def _verdict(
    asked: AuditRequest,
    base: ResolvedModel,
    policy: Policy,
    conditions: tuple[Condition, ...],
    drops: BasinDrop | None,
    both: BothModels,
    evidence: Evidence,
    **rest: Any,
) -> AuditVerdict:
    metrics = verdicts.gated(conditions, drops.metrics if drops else ())
    missed = verdicts.missed(conditions)
    decision = with_floors(overall(metric.decision for _, metric in metrics if metric.decision is not None), missed)
    candidate, study = asked.candidate, both.base.study
    return AuditVerdict(
        decision=decision,
        exit_code=EXIT_CODES[decision],
        reason=verdicts.reason(decision, metrics, missed),
        depends=verdicts.dependence(conditions),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=importlib.metadata.version("safebasin"),
        base=Model(
            model=asked.base,
            fingerprint=base.fingerprint,
            kind="checkpoint",
            unsafe=is_unsafe(base.folder, base.adapter),
        ),
        tuned=Model(
            model=candidate.given, fingerprint=candidate.fingerprint, kind=candidate.kind, unsafe=candidate.unsafe
        ),
        policy={
            "source": policy.source,
            "level": evidence.level,
            "limits": dict(policy.limits),
            "floors": dict(policy.floors),
            **evidence.words,
        },
        sets=tuple(
            PromptsUsed(name=s.name, source=s.source, n=len(s.prompts), hash=content_hash([p.id for p in s.prompts]))
            for s in study.plan.sets
        ),
        judges={judge.name: judge.version for judge in map(load_judge, asked.judges)},
        conditions=conditions,
        basin=drops,
        **rest,
    )
