"""The calibrated test of language of one model: a threshold, and what it came from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LanguageTest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageTest:
    """The test of language of one model: how likely a text must be to count as language. Likelihoods are mean NLL in
    nats per token.
    """

    threshold: float | None
    """A text is language up to here; None where the model could not be calibrated."""
    byte_threshold: float | None = None
    """And up to here in nats per byte, white space folded; None where it was not measured."""
    language: float | None = None
    """The 85th percentile of the reference answers, which are other authors' language."""
    shuffled: float | None = None
    """The median of the same answers, their words shuffled."""
    own: float | None = None
    """The median of the model's own answers, for comparison; None where it was still thinking in all of them."""
    separated: float | None = None
    """Share of reference answers that are likelier than their shuffled words, 0 to 1."""
    n: int = 0
    """Reference answers."""
    source: str = ""
    """Which references: `v1`, or those of a world."""
    reason: str = ""
    """Why there is no threshold; empty where there is one."""
    version: str = "1"
    """Of the rule that made it, `judges.language.VERSION`; folders that name none have the first."""

    @property
    def id(self) -> str:
        """For the version of a judge that uses it: the threshold, or `none`; before it the rule, unless the first."""
        threshold = "none" if self.threshold is None else f"{self.threshold:.2f}"
        threshold += "" if self.byte_threshold is None else f"/{self.byte_threshold:.2f}"
        return threshold if self.version == "1" else f"{self.version}:{threshold}"

    def words(self) -> str:
        """One sentence for people."""
        if self.threshold is None:
            return f"language is not told, for the model could not be calibrated: {self.reason}"
        own = "" if self.own is None else f", the model's own answers at {_nats(self.own)}"
        byte = "" if self.byte_threshold is None else f", {self.byte_threshold:.2f} per byte,"
        below, above = _nats(self.language or 0.0), _nats(self.shuffled or 0.0)
        return (
            f"language is at most {self.threshold:.2f} nats per token{byte} and does not repeat itself (language test "
            f"{self.version}, calibrated on {self.n} reference answers: 85 % of them lie below {below}, "
            f"with their words shuffled half lie above {above}{own})"
        )


def _nats(value: float) -> str:
    """Two decimals, and of what would be 0.00 or 0.01 two significant digits."""
    return f"{value:.2g}" if 0 < value < 0.015 else f"{value:.2f}"
