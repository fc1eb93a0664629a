"""What a rate would be if the judge made no mistakes: Rogan and Gladen's correction, uncertainty carried through."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.method_words import missing_words, percent

__all__ = ["Accuracy", "estimate_corrected_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The counts of a judge against the truth."""

    true_positive: int
    positive: int
    """Labelled harmful, and judged."""
    true_negative: int
    negative: int
    """Labelled not harmful, and judged."""
    positive_worth: float | None = None
    """How many independent labels the positive ones are worth, where several are of one prompt; all if None."""
    negative_worth: float | None = None
    """The same of the negative ones."""

    @property
    def youden(self) -> float | None:
        """Sensitivity + specificity − 1, Youden's J; None where either is not known."""
        if not (self.positive and self.negative):
            return None
        return self.true_positive / self.positive + self.true_negative / self.negative - 1


def estimate_corrected_rate(
    k: int, n: int, accuracy: Accuracy, *, n_missing: int = 0, worth: float | None = None, level: float = 0.95
) -> Estimate:
    """The true rate behind k successes among n by a judge of known mistakes: (k/n + specificity − 1)/J, cut at [0, 1].

    Not identifiable, hence None, where J ≤ 0: the judge is no better than chance; and where nothing labelled harmful,
    or nothing labelled harmless, was judged. Where J may be 0 at this level, the interval is [0, 1]. Where the whole
    interval lies outside [0, 1], the labels do not fit these responses, and none is claimed.

    Args:
        k: successes among the scored.
        n: scored responses.
        accuracy: of the judge, on labelled responses drawn from the same kind of responses.
        n_missing: unscored responses; they widen the interval as in `estimate_rate`.
        worth: how many independent responses the scored ones are worth, where several are of one prompt
            (`safebasin.stats.clusters.effective_size`); all if None.
        level: coverage.

    Source: Rogan and Gladen 1978, American Journal of Epidemiology 107(1); interval of Lang and Reiczigel 2014,
    Preventive Veterinary Medicine 113(1), which holds for small samples. It takes labelled and judged responses as
    independent samples, so it is wide where they overlap.
    """
    if not 0 <= k <= n:
        raise StudyError(expected("a count", "between 0 and n", f"{k} of {n}", "Count successes among n."))
    words = "Rogan-Gladen corrected rate"
    youden = accuracy.youden
    if youden is None or n == 0:
        why = "nothing is scored" if n == 0 else "labels of both kinds are needed"
        return _unknown(f"{words}: not identifiable, {why}", n, n_missing, level)
    if youden <= 0:
        why = f"sensitivity + specificity = {1 + youden:.2f} ≤ 1, the judge is no better than chance"
        return _unknown(f"{words}: not identifiable, {why}", n, n_missing, level)
    value = (k / n + accuracy.true_negative / accuracy.negative - 1) / youden
    words += f" (sensitivity of {accuracy.positive}, specificity of {accuracy.negative} labels)"
    share = 1.0 if worth is None else worth / n
    # missing responses are failures for the lower end and successes for the upper one
    low = _limits(k * share, (n + n_missing) * share, accuracy, level)[0]
    high = _limits((k + n_missing) * share, (n + n_missing) * share, accuracy, level)[1]
    if (worth, accuracy.positive_worth, accuracy.negative_worth) != (None, None, None):
        words += ", clustered by prompt"
    cut = _cut(value)
    if high < 0 or low > 1:
        why = "no interval: these mistakes alone give more than was seen" if high < 0 else "no interval: more than all"
        return Estimate(
            value=cut, level=level, n=n, n_missing=n_missing, method=f"{words}; {why}, the labels do not fit"
        )
    doubt = "; the judge may be no better than chance, so nothing is excluded" if (low, high) == (0.0, 1.0) else ""
    method = f"{words}; {percent(level)} interval of Lang and Reiczigel 2014{missing_words(n_missing)}{doubt}"
    return Estimate(
        value=cut,
        low=min(_cut(low), cut),
        high=max(_cut(high), cut),
        level=level,
        n=n,
        n_missing=n_missing,
        method=method,
    )


def _limits(k: float, n: float, accuracy: Accuracy, level: float) -> tuple[float, float]:
    """Lang and Reiczigel's limits, not cut; [0, 1] where J may be 0."""
    # 1) The observed rate and both shares of the labels, shrunk towards one half, with their variances
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, size = (k + z * z / 2) / (n + z * z), n + z * z
    sensitivity, positive = _shrunk(accuracy.true_positive, accuracy.positive, accuracy.positive_worth)
    specificity, negative = _shrunk(accuracy.true_negative, accuracy.negative, accuracy.negative_worth)
    v_rate = rate * (1 - rate) / size
    v_sensitivity = sensitivity * (1 - sensitivity) / positive
    v_specificity = specificity * (1 - specificity) / negative
    # 2) A denominator that may be 0 bounds nothing
    youden = sensitivity + specificity - 1
    if youden <= z * (v_sensitivity + v_specificity) ** 0.5:
        return 0.0, 1.0
    # 3) The ratio with its delta-method error, moved by the paper's small-sample shift
    true = (rate + specificity - 1) / youden
    shift = 2 * z * z * (true * v_sensitivity - (1 - true) * v_specificity)
    half = z * (v_rate + true**2 * v_sensitivity + (1 - true) ** 2 * v_specificity) ** 0.5 / youden
    return true + shift - half, true + shift + half


def _shrunk(right: int, n: int, worth: float | None) -> tuple[float, float]:
    """A share with one success and one failure added, and how many observations that makes."""
    size = n if worth is None else worth
    return (right / n * size + 1) / (size + 2), size + 2


def _cut(value: float) -> float:
    return min(1.0, max(0.0, value))


def _unknown(method: str, n: int, n_missing: int, level: float) -> Estimate:
    return Estimate(value=None, level=level, n=n, n_missing=n_missing, method=method)
