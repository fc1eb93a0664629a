"""Scaling as a direction: closed form, only what is named, exact ends, and no bit lost on the way back."""

from __future__ import annotations

import pytest
import torch

from safebasin import testing
from safebasin.errors import StudyError
from safebasin.records import DirectionSpec, Point
from safebasin.weights.scaling import Scaled
from safebasin.weights.stream import digest, prepare, weights_at
from safebasin.weights.target_text import resolve_target


def scale(target: str = "1.2", **given: object) -> DirectionSpec:
    return DirectionSpec(kind="scale", target=target, normalize="none", **given)


def tensors(spec: DirectionSpec, alpha: float) -> dict[str, torch.Tensor]:
    base = testing.small_weights()
    blocks = weights_at(base, Point.at((spec, alpha)), prepare([spec], base))
    found: dict[str, list[torch.Tensor]] = {}
    for block in blocks:
        found.setdefault(block.name, []).append(block.values)
    return {name: torch.cat(rows) if rows[0].dim() else rows[0] for name, rows in found.items()}


def theta() -> dict[str, torch.Tensor]:
    base = testing.small_weights()
    return {name: base.rows(name, 0, base.shape(name)[0] if base.shape(name) else 1) for name in base.names}


@pytest.mark.parametrize(("factor", "alpha", "times"), [("1.2", 1, 1.2), ("1.2", 0.5, 1.1), ("0.5", -1, 1.5)])
def test_it_multiplies_what_is_named_and_nothing_else(factor: str, alpha: float, times: float) -> None:
    found, before = tensors(scale(factor, only="up.*,down.*"), alpha), theta()
    for name, value in before.items():
        if name.startswith(("up.", "down.")):
            torch.testing.assert_close(
                found[name].double(), value.double() * times, rtol=torch.finfo(value.dtype).eps, atol=0
            )
        else:
            assert torch.equal(found[name], value)


def test_the_end_is_one_rounding_of_the_product() -> None:
    found = tensors(scale("1.15"), 1)
    assert all(torch.equal(found[name], (value.double() * 1.15).to(value.dtype)) for name, value in theta().items())


def test_it_is_an_ordinary_direction() -> None:
    testing.check_direction(Scaled(), scale("0.8", only="up.*,*experts*"))
    base, spec = testing.small_weights(), scale("1.3")
    back = weights_at(base, Point.at((spec, 0.0)), prepare([spec], base))
    assert digest(back) == digest(weights_at(base, Point(), {}))


@pytest.mark.parametrize("target", ["1", "1.0", "nan", "inf", "loud", ""])
def test_what_is_no_factor_is_refused(target: str) -> None:
    with pytest.raises(StudyError, match="a finite factor other than 1"):
        prepare([scale(target)], testing.small_weights())


def test_equal_factors_are_one_direction() -> None:
    assert resolve_target(scale("1.2")) == resolve_target(scale("1.20")) != resolve_target(scale("1.3"))
