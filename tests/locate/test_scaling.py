"""Bounds by scaling: the rule on shares made by hand, and on a real model that only named matrices move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.models import make_tiny_model
from safebasin import catalog
from safebasin.errors import UsageError
from safebasin.locate.records import Band
from safebasin.locate.scaling import MEANT, check_factor, matrices, scale_bands, scaled
from safebasin.protocols import EngineSpec
from safebasin.records import DirectionSpec, Point

N = 200


class Made:
    """A model whose refusals depend on how much of a band is scaled; remembers which points it was asked at."""

    def __init__(self, band: Band, *, per_layer: float = 20.0, from_factor: float = 1.1) -> None:
        self.band, self.per_layer, self.from_factor = band, per_layer, from_factor
        self.asked: list[tuple[Band, float]] = []

    def point(self, band: Band, factor: float) -> Point:
        return Point.at((DirectionSpec(kind="scale", target=f"{factor} {band}"), 1.0))

    def refused(self, point: Point) -> np.ndarray:
        count = 60.0
        if point.terms:
            factor, band = str(point.terms[0][0].target).split()
            first, last = map(int, band.split("-"))
            self.asked.append((Band(first, last), float(factor)))
            inside = len(set(range(first, last + 1)) & set(range(self.band.first, self.band.last + 1)))
            outside = last - first + 1 - inside
            if abs(float(factor) - 1) >= abs(self.from_factor - 1) - 1e-9:
                count += np.sign(float(factor) - 1) * (self.per_layer * inside - 5 * outside)
        return np.where(np.arange(N) < count, 1.0, 0.0)


@pytest.mark.parametrize("start", [Band(4, 6), Band(3, 5), Band(5, 7), Band(4, 8)])
@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_it_finds_the_band_from_near_it(start: Band, factor: float) -> None:
    model = Made(Band(4, 6))
    found = scale_bands(start, 12, model.point, model.refused, factor=factor)
    assert found.band == Band(4, 6)
    assert [sweep.bound for sweep in found.sweeps] == ["last", "first"]
    assert found.plain.value == 0.3
    for sweep in found.sweeps:
        leads = [c.lead for c in sweep.candidates if c.band != sweep.chosen]
        assert all(lead is not None and lead.value is not None and lead.value * (factor - 1) > 0 for lead in leads)


def test_the_factor_is_the_first_that_tells_candidates_apart() -> None:
    model = Made(Band(4, 6), from_factor=1.15)
    found = scale_bands(Band(4, 6), 12, model.point, model.refused)
    assert found.factor == 1.15
    assert found.spread >= MEANT
    assert {factor for _, factor in model.asked} == {1.05, 1.1, 1.15}


def test_without_any_difference_the_bounds_stay() -> None:
    model = Made(Band(4, 6), from_factor=5.0)
    found = scale_bands(Band(2, 7), 12, model.point, model.refused)
    assert found.band == Band(2, 7)
    assert found.spread == 0


def test_ties_are_broken_for_the_smaller_band() -> None:
    found = scale_bands(
        Band(4, 7), 12, Made(Band(0, 0)).point, lambda p: np.ones(N) if "4-8" in str(p) or "4-7" in str(p)
        else np.ones(N) if "5-7" in str(p) else np.zeros(N), factor=1.2,
    )  # fmt: skip
    assert found.sweeps[0].chosen == Band(4, 7)
    assert found.band == Band(5, 7)


def test_candidates_stay_within_the_model() -> None:
    model = Made(Band(0, 3))
    scale_bands(Band(0, 3), 4, model.point, model.refused, factor=1.2)
    assert {band.last for band, _ in model.asked} <= set(range(4))
    assert {band.first for band, _ in model.asked} <= set(range(4))


@pytest.mark.parametrize("given", ["loud", "1", "0", "-1", "11", "nan"])
def test_what_is_no_factor_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--scale"):
        check_factor(given)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_only_matrices_of_attention_and_mlp_in_the_band_move(arch: str, tmp_path: Path) -> None:
    engine = catalog.open_engine(EngineSpec(model=str(make_tiny_model(tmp_path / arch, arch)), device="cpu"))
    block = {"llama": "model.layers.1.", "gpt2": "transformer.h.1."}[arch]
    names = matrices(engine, 1, 1)
    assert names
    assert all(name.startswith(block) and ".ln_" not in name and "norm" not in name for name in names)
    with engine.lend() as (model, _):  # pyright: ignore[reportAttributeAccessIssue]
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        engine.move_to(scaled(engine, Band(1, 1), 1.2))
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter, before[name] * (1.2 if name in names else 1.0), rtol=1e-6, atol=0)
        engine.move_to(scaled(engine, Band(1, 1), 1.0))
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
