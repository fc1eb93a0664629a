"""The measured rates that ship: complete, consistent, and applied to the models that they are of."""

from __future__ import annotations

from safebasin.screen.rates import flags_of, measured_rates
from safebasin.screen.records import SIGNALS


def test_every_signal_has_rates_that_hold_together() -> None:
    rates = measured_rates()
    assert list(rates) == list(SIGNALS)
    for one in rates.values():
        assert one.auc_low <= one.auc <= one.auc_high <= 1
        assert one.n_harmful > 10 < one.n_harmless
        if one.threshold is not None:
            assert 0 <= (one.misses or 0) <= one.n_harmful
            assert 0 <= (one.false_alarms or 0) <= one.n_harmless
            assert one.auc_low > 0.5  # what flags is better than chance


def test_a_signal_flags_from_its_threshold_on_and_one_without_never() -> None:
    rates = measured_rates()
    least = rates["opening"].threshold
    assert least is not None
    assert flags_of({"opening": least}) == ("opening",)
    assert flags_of({"opening": least * 0.999}) == ()
    assert rates["unalignment"].threshold is None
    assert flags_of({"unalignment": 1.0}) == ()
