"""How often the screen was wrong: thresholds and rates measured on tuned models of the embedded world.

`rates.json` is written by `studies/screen/run.py`. Thresholds were chosen on one half of those models and rates are of
the other. They are of a model of 0.66 million parameters and of the tunings named there. On a real model the same
threshold flagged a harmless tuning, so other models are ordered and not flagged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["MEASURED_ON", "Rates", "flags_of", "measured_rates"]

MEASURED_ON = "world:guild/"
"""The models whose thresholds these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The errors of one signal on tuned models whose harm was measured."""

    signal: str
    threshold: float | None
    """At or above which a model is flagged; None where the signal could not be told from chance."""
    auc: float
    """Probability that a harmful one has the larger signal."""
    auc_low: float
    auc_high: float
    false_alarms: int | None
    n_harmless: int
    misses: int | None
    n_harmful: int


@cache
def measured_rates() -> Mapping[str, Rates]:
    """Signal → what was measured."""
    text = resources.files("safebasin.screen").joinpath("rates.json").read_text(encoding="utf-8")
    return {row["signal"]: Rates(**row) for row in json.loads(text)["signals"]}


def flags_of(signals: Mapping[str, float]) -> tuple[str, ...]:
    """The signals at or above their threshold."""
    known = {name: rates.threshold for name, rates in measured_rates().items()}
    return tuple(name for name, value in signals.items() if (least := known.get(name)) is not None and value >= least)
