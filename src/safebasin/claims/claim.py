"""A claim of a paper as a small file: hypothesis, statistic, and what its three answers take. Pure; runs nothing.

The files lie in a folder a paper, beside this module. Each version of one is committed before its first full run, so
that nobody can move a threshold to where the number came to lie. That is less than it seems: prototypes of nearly all
of them, and the versions before, had been seen when the thresholds were chosen. Nor are they corrected for their
number: each interval is at 95 % by itself.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate

__all__ = ["Answer", "Claim", "Earlier", "Finding", "answer", "load_claims", "papers"]

Answer = Literal["reproduced", "not reproduced", "undecided", "not run"]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TERM = re.compile(r"(value|low|high|p)\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")


class Earlier(BaseModel):
    """A version of a claim that was replaced, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    meaning: str
    reproduced: str
    not_reproduced: str
    found: str
    """What it measured at default settings, and its answer."""
    why: str
    """Why it was no fair test."""


class Claim(BaseModel):
    """One claim, as its file says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = 1
    source: str
    """Where the paper says so."""
    hypothesis: str
    """What should hold, in one or two sentences."""
    statistic: str
    """Name of the function that measures it, of those in `safebasin.claims.check.STATISTICS`."""
    meaning: str
    """What the number is, with its unit; `{near}` is the subject's own."""
    reproduced: str
    """Rule under which it holds here: `value`, `low`, `high` or `p` compared with numbers, joined by `and`, `or`."""
    not_reproduced: str
    """Rule under which it does not. Where neither rule holds the claim is undecided."""
    negative: str
    """What would make it *not reproduced*, and how far this sample can say so where there is nothing to the claim."""
    earlier: tuple[Earlier, ...] = ()
    """Versions that this one replaces, the last one first."""

    def of(self, near: float) -> Claim:
        """The claim in words for a subject.

        Args:
            near: largest |α| that counts as nearby on it.
        """
        return self.model_copy(update={"meaning": self.meaning.replace("{near}", f"{near:g}")})

    @field_validator("reproduced", "not_reproduced")
    @classmethod
    def _rule_parses(cls, rule: str) -> str:
        if not all(_TERM.fullmatch(term.strip()) for term in re.split(r"\band\b|\bor\b", rule)):
            raise ValueError(
                "must be made of 'value', 'low', 'high' or 'p' compared with numbers, joined by 'and' or 'or'"
            )
        return rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The measured statistic of a claim, with its interval."""

    estimate: Estimate
    p: float | None = None
    """Probability of a result as extreme if there were nothing to it, where the statistic has one."""
    details: tuple[str, ...] = ()
    """What else should be known to read it, in plain sentences."""
    figures: tuple[str, ...] = ()
    """Folders of the studies behind it, each with its report."""


def answer(claim: Claim, finding: Finding) -> Answer:
    """Answer a claim from a finding; without a value nothing is decided. Where both rules hold it is reproduced."""
    if _holds(claim.reproduced, finding):
        return "reproduced"
    return "not reproduced" if _holds(claim.not_reproduced, finding) else "undecided"


def _holds(rule: str, finding: Finding) -> bool:
    return any(all(_term(t, finding) for t in re.split(r"\band\b", part)) for part in re.split(r"\bor\b", rule))


def _term(text: str, finding: Finding) -> bool:
    found = _TERM.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    value: float | None = finding.p if found[1] == "p" else getattr(finding.estimate, found[1])
    return value is not None and _COMPARE[found[2]](value, float(found[3]))


def papers() -> tuple[str, ...]:
    """The papers whose claims can be checked."""
    folder = resources.files("safebasin.claims")
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and _files(p)))


def _files(folder: Traversable) -> list[Traversable]:
    return sorted((p for p in folder.iterdir() if p.name.endswith(".yaml")), key=lambda p: p.name)


def load_claims(paper: str) -> tuple[Claim, ...]:
    """The claims of a paper, in the order of their files.

    Raises:
        StudyError: where the paper is not known, or a file of it is broken.
    """
    if paper not in papers():
        raise StudyError(expected("paper", f"one of {', '.join(papers())}", paper, "See: safebasin claims --help."))
    claims: list[Claim] = []
    for file in _files(resources.files("safebasin.claims").joinpath(paper)):
        try:
            claims.append(Claim.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))))
        except ValidationError as error:
            found = error.errors()[0]["msg"]
            raise StudyError(f"claim file {file.name} must be sound; got: {found}. Mend it.") from error
    return tuple(claims)
