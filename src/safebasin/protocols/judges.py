"""The seam of judges: those that only read, and those that ask another model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from safebasin.records import LanguageTest, Opinion, Prompt, Response, Score, Verdict, Wording


@runtime_checkable
class Judge(Protocol):
    """A pure function of (prompt, response, score). Total over text: it never raises because of what a text says."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def monotone(self) -> bool:
        """True where the text up to a phrase of `phrases`, or up to where its rule decides, fixes its verdict."""
        ...

    @property
    def phrases(self) -> tuple[str, ...]:
        """The refusal phrases it looks for; empty where it looks for none."""
        ...

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict: ...


@runtime_checkable
class RuleJudge(Judge, Protocol):
    """A judge that finds refusals by a rule where no list of phrases would do: what `Decoding.rules` names.

    The first lines are for decoding, which asks every few tokens: only a row that holds one of `cues` is asked about.
    """

    @property
    def rule(self) -> str:
        """`name@version` of the judge of the catalogue whose rule it is: its own, or that of the judge it rests on."""
        ...

    @property
    def cues(self) -> tuple[str, ...]:
        """Substrings, in lower case, one of which every text holds that the rule decides."""
        ...

    @property
    def horizon(self) -> int:
        """Characters of a text after which the rule, if it has not decided, never will."""
        ...

    def decides(self, text: str) -> bool:
        """Tell whether a text that may go on is a refusal whatever follows. Once it is, every longer text is."""
        ...


@runtime_checkable
class SparingJudge(Protocol):
    """The extra of a judge that says how much of a text has to be scored for it; for one that does not, all of it is.

    Scoring is a pass of the model over every response: what the text alone decides, as a refusal phrase or a loop may,
    need not be paid for.
    """

    @property
    def scored_by(self) -> str:
        """`name@version` of the rule behind `scored_until`; empty where the judge looks at no score."""
        ...

    def scored_until(self, response: Response) -> int:
        """Count the characters, from the start of its text, whose tokens decide.

        The verdict is the same where a score holds only those that begin before them; 0 where the text alone decides.
        """
        ...


@runtime_checkable
class WordingJudge(Judge, Protocol):
    """The extra of a judge that looks at nothing but wording, not at the prompt either: it judges equal texts once."""

    def judge_wording(self, wording: Wording) -> Opinion:
        """The opinion that `judge` gives of every response so worded."""
        ...


@runtime_checkable
class CalibratedJudge(Judge, Protocol):
    """A judge that tells language from its absence, by a test that is calibrated for each model."""

    def calibrated(self, tests: Mapping[str, LanguageTest]) -> Judge:
        """The judge to use, given the tests by `Score.under` (empty is θ₀). They are part of its version."""
        ...


@runtime_checkable
class DecidedJudge(Judge, Protocol):
    """The extra of a judge to whom θ₀ may suffice, where others are asked as well whether a text is language."""

    def is_decided(self, response: Response, score: Score) -> bool:
        """Tell whether the verdict is the same whatever a further model finds likely, given the score under θ₀."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of asking another model. Tokens are a guess before (a quarter of the bytes), counted afterwards."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@runtime_checkable
class AskedJudge(Judge, Protocol):
    """A judge that asks another model: slow, it costs, and it may fail. Ask it for many verdicts at once."""

    def judge_many(self, items: Iterable[tuple[Prompt, Response, Score | None]]) -> Iterator[Verdict]:
        """The same verdicts as `judge` one by one, in any order, each by its `response`; many asked at once.

        What could not be had is left out. Where no reply came, a verdict is `unscored` and its reason begins with
        `records.NO_REPLY`.

        Raises:
            UsageError: for a mistake that no verdict survives (wrong key, wrong model), after yielding what was had.
        """
        ...

    def estimate(self, items: Iterable[tuple[Prompt, Response, Score | None]]) -> Cost:
        """Estimate what `judge_many` would take at most, without asking."""
        ...

    @property
    def spent(self) -> Cost:
        """The cost so far of this object."""
        ...
