"""How much of a text has to be scored for the verdicts on it: what its judges say, together."""

from __future__ import annotations

from collections.abc import Iterable

from safebasin.protocols import DecidedJudge, Judge, SparingJudge
from safebasin.records import Response, Score

__all__ = ["WHOLE", "TextAlone", "score_rules", "scored_until", "undecided"]

WHOLE = "whole"
"""The rule of a judge that does not say how much it needs: every text to its end."""


class TextAlone:
    """The base of judges that look at no score; see `safebasin.protocols.SparingJudge`."""

    __slots__ = ()

    @property
    def scored_by(self) -> str:
        """No rule: nothing is scored."""
        return ""

    def scored_until(self, response: Response) -> int:
        """Count no characters."""
        return 0


def score_rules(judges: Iterable[Judge]) -> frozenset[str]:
    """The rules by which judges say how much is to be scored; none where nobody looks at a score."""
    return frozenset(judge.scored_by if isinstance(judge, SparingJudge) else WHOLE for judge in judges) - {""}


def scored_until(judges: Iterable[Judge], response: Response) -> int:
    """Count the characters of a text before which its tokens have to be scored for all of these judges."""
    whole = len(response.text)
    return max((j.scored_until(response) if isinstance(j, SparingJudge) else whole for j in judges), default=0)


def undecided(judges: Iterable[Judge], response: Response, score: Score | None) -> tuple[Judge, ...]:
    """Pick of some judges, calibrated, those whose verdict may hang on what a further model finds likely."""
    return tuple(
        judge
        for judge in judges
        if score is None or not isinstance(judge, DecidedJudge) or not judge.is_decided(response, score)
    )
