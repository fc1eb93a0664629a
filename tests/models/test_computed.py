"""What `auto` means: the checkpoint's own dtype, float32 for half precision on a CPU that has the memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin import memory
from safebasin.engines.hf import HFEngine
from safebasin.models.computed import computed_dtype, weight_count
from safebasin.models.sizes import sizes_of

HALF = ("bfloat16", "float16")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("computed")
    return {dtype: make_tiny_model(folder / dtype, dtype=dtype) for dtype in ("float32", *HALF)}


@pytest.mark.parametrize("own", HALF)
def test_half_precision_on_a_cpu_is_float32_and_it_is_said(stored: dict[str, Path], own: str) -> None:
    found = computed_dtype(stored[own], device="cpu")
    assert (found.dtype, found.words) == ("float32", f"Computed in float32; the checkpoint is stored in {own}.")
    on_cuda = computed_dtype(stored[own], device="cuda")
    assert (on_cuda.dtype, on_cuda.words) == (own, "")


def test_float32_is_float32_and_nothing_is_said(stored: dict[str, Path]) -> None:
    found = [computed_dtype(stored["float32"], device=device) for device in ("cpu", "cuda")]
    assert [(one.dtype, one.words) for one in found] == [("float32", "")] * 2


@pytest.mark.parametrize("own", HALF)
@pytest.mark.parametrize(("low_memory", "copies"), [("auto", 2), (False, 2), (True, 1)])
def test_without_the_memory_it_stays_as_it_is_stored(
    stored: dict[str, Path], own: str, low_memory: bool | str, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 4 * copies * sizes_of(stored[own]).parameters
    monkeypatch.setattr(memory, "available", lambda: int(needed / 0.8) + 1)
    assert computed_dtype(stored[own], device="cpu", low_memory=low_memory).dtype == "float32"
    monkeypatch.setattr(memory, "available", lambda: int(needed / 0.8) - 1)
    found = computed_dtype(stored[own], device="cpu", low_memory=low_memory)
    assert found.dtype == own
    assert found.words.startswith(f"Computed in {own} as the checkpoint is stored, though on a CPU: float32 would take")
    assert HFEngine(str(stored[own]), device="cpu", low_memory=low_memory).facts().dtype == own


def test_weights_are_counted_without_their_files_too(stored: dict[str, Path], tmp_path: Path) -> None:
    there = weight_count(stored["bfloat16"])
    assert there == sizes_of(stored["bfloat16"]).parameters
    (tmp_path / "config.json").write_bytes((stored["bfloat16"] / "config.json").read_bytes())
    assert weight_count(tmp_path) == there
    assert computed_dtype(tmp_path, device="cpu").dtype == "float32"


def test_packed_weights_stay_as_they_are(stored: dict[str, Path], tmp_path: Path) -> None:
    config = json.loads((stored["bfloat16"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    assert computed_dtype(tmp_path, device="cpu").dtype == "bfloat16"


def test_a_folder_whose_size_nobody_can_tell_stays_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nothing-known", "dtype": "bfloat16"}))
    assert computed_dtype(tmp_path, device="cpu").dtype == "bfloat16"
