"""Check the claims of a paper on a subject, one after the other, and say what became of each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from safebasin.claims import (
    attribution,
    directions,
    finetuning,
    freezing,
    fusing,
    landscapes,
    late,
    mechanisms,
    mixtures,
    orders,
    steering,
    triggers,
)
from safebasin.claims.claim import Answer, Claim, Finding, answer, load_claims
from safebasin.claims.lab import Lab
from safebasin.errors import StudyError, expected
from safebasin.finetune.train import require_trl
from safebasin.records import Estimate
from safebasin.store.sealing import seal
from safebasin.writing import write_text

__all__ = ["STATISTICS", "Checked", "check"]


TRAINING = {
    **orders.STATISTICS,
    **mixtures.STATISTICS,
    **finetuning.STATISTICS,
    **fusing.STATISTICS,
    **attribution.TRAINING,
    **freezing.STATISTICS,
    **late.STATISTICS,
    **steering.STATISTICS,
    **mechanisms.STATISTICS,
    **directions.STATISTICS,
    **triggers.STATISTICS,
}
"""Those that fine-tune models."""
STATISTICS = {**landscapes.STATISTICS, **attribution.STATISTICS, **TRAINING}
"""By the name that a claim's file gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A claim with what was found and what that says."""

    claim: Claim
    finding: Finding
    answer: Answer
    seconds: float


def check(
    paper: str,
    lab: Lab,
    *,
    only: Sequence[str] = (),
    done: Callable[[Checked], None] = lambda checked: None,
) -> tuple[Checked, ...]:
    """Check the claims of a paper; writes `claims.json` in the lab's folder.

    Args:
        paper: e.g. `peng2024`.
        lab: where to measure.
        only: names of claims; none takes all.
        done: told of each claim as soon as it is checked.

    Raises:
        MissingExtra: where a claim fine-tunes models and the extra `train` is not installed; nothing is measured then.
        UsageError: where paper or claim is not known.
    """
    claims = load_claims(paper)
    names = [claim.name for claim in claims]
    for name in only:
        if name not in names:
            raise StudyError(expected("claim", f"one of {', '.join(names)}", name, "Mend --only."))
    chosen = [claim for claim in claims if not only or claim.name in only]
    if any(claim.statistic in TRAINING and lab.subject.why_not(paper, claim.name) is None for claim in chosen):
        require_trl()
    found: list[Checked] = []
    for claim in chosen:
        checked = _checked(claim.of(lab.subject.near), lab, lab.subject.why_not(paper, claim.name))
        found.append(checked)
        done(checked)
        _write(lab, paper, found)
    seal(lab.folder)
    return tuple(found)


def _checked(claim: Claim, lab: Lab, reason: str | None) -> Checked:
    if reason is not None:
        finding = Finding(estimate=Estimate(value=None, method="not run on this subject"), details=(reason,))
        return Checked(claim=claim, finding=finding, answer="not run", seconds=0.0)
    start = time.monotonic()
    finding = STATISTICS[claim.statistic](lab)
    return Checked(claim=claim, finding=finding, answer=answer(claim, finding), seconds=time.monotonic() - start)


def _write(lab: Lab, paper: str, checked: Sequence[Checked]) -> None:
    rows = [
        {**c.claim.model_dump(), "answer": c.answer, "finding": asdict(c.finding), "seconds": round(c.seconds, 1)}
        for c in checked
    ]
    document = {"paper": paper, "on": lab.subject.name, "claims": rows}
    lab.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # nothing is there yet where every claim is left out
    write_text(lab.folder / "claims.json", json.dumps(document, indent=1) + "\n")
