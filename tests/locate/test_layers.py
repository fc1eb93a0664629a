"""Ground truth: of a stack in which only a planted band reads the flag of harm, that band is located, to one layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.planted import make_planted, write_requests
from safebasin.errors import PromptError, StudyError
from safebasin.locate.layers import LocateRequest, locate_layers
from safebasin.locate.records import Band, Located
from safebasin.protocols import EngineSpec


def located(folder: Path, band: tuple[int, int], *, seed: int = 0, **given: Any) -> Located:
    files = write_requests(folder, 60, seed=seed)
    spec = EngineSpec(model=str(make_planted(folder / "model", band, seed=seed)), device="cpu")
    settings = {"judge": "keyword/peng2024", "max_new_tokens": 4, "seed": seed, **given}
    return locate_layers(LocateRequest(spec=spec, sources=tuple((k, str(v)) for k, v in files.items()), **settings))


def is_near(found: Band | None, band: tuple[int, int]) -> bool:
    return found is not None and abs(found.first - band[0]) <= 1 and abs(found.last - band[1]) <= 1


@pytest.mark.slow
def test_the_planted_band_is_found(tmp_path: Path) -> None:
    found = located(tmp_path, (3, 6), scale=1.3)
    assert is_near(found.bands["angle"], (3, 6))
    assert is_near(found.band, (3, 6))
    assert found.scaling is not None
    assert found.n_layers == 10
    assert 0.3 < (found.scaling.plain.value or 0) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("band", [(3, 6), (1, 3), (6, 8)])
@pytest.mark.parametrize("seed", range(1, 6))
def test_over_seeds_and_places(band: tuple[int, int], seed: int, tmp_path: Path) -> None:
    found = located(tmp_path, band, seed=seed)
    assert is_near(found.bands["angle"], band)
    assert is_near(found.band, band)


@pytest.mark.slow
def test_where_no_layer_reads_the_flag_none_is_found(tmp_path: Path) -> None:
    found = located(tmp_path, (99, 99), no_scaling=True)
    assert found.bands["angle"] is None
    assert "nothing to freeze" in found.notes[0]


def test_a_model_of_no_world_needs_prompts(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"--harmful must be given .* --harmful FILE"):
        locate_layers(LocateRequest(spec=EngineSpec(model=str(tmp_path))))


def test_prompts_that_are_both_are_refused(tmp_path: Path) -> None:
    same = str(write_requests(tmp_path, 20)["harmful"])
    with pytest.raises(PromptError, match="20 in both"):
        locate_layers(LocateRequest(spec=EngineSpec(model="m"), sources=(("harmful", same), ("benign", same))))
