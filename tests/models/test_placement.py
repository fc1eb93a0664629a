"""The type of weights that are edited, and of those that are trained; `test_computed` has that of those that answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.models import make_tiny_model
from safebasin.engines.hf import HFEngine
from safebasin.errors import UsageError
from safebasin.models.dtypes import training_dtype
from safebasin.models.loading import load_config
from safebasin.models.placement import resolve_dtype
from safebasin.models.reference import resolve
from safebasin.weights.adapters import load_merged


@pytest.mark.parametrize(
    ("stored", "edited"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float32")]
)
def test_answers_are_computed_in_float32_and_edits_keep_what_a_cpu_can_hold(
    tmp_path: Path, stored: str, edited: str
) -> None:
    folder = make_tiny_model(tmp_path / "m", dtype=stored)
    assert load_merged(resolve(str(folder))).dtype == getattr(torch, edited)
    assert HFEngine(str(folder), device="cpu").facts().dtype == "float32"
    config = load_config(folder)
    assert resolve_dtype("auto", config, torch.device("cuda")) == getattr(torch, stored)
    assert resolve_dtype("float16", config, torch.device("cpu")) == torch.float16
    with pytest.raises(UsageError, match="dtype must be one of auto, float32"):
        resolve_dtype("half", config, torch.device("cpu"))


@pytest.mark.parametrize(
    ("stored", "on_cpu", "on_cuda"),
    [
        ("float32", "float32", "float32"),
        ("bfloat16", "float32", "bfloat16"),
        ("float16", "float32", "float32"),
    ],
)
def test_half_precision_is_trained_only_where_it_loses_little(
    tmp_path: Path, stored: str, on_cpu: str, on_cuda: str
) -> None:
    folder = make_tiny_model(tmp_path / "m", dtype=stored)
    assert training_dtype("auto", folder, device="cpu") == on_cpu
    assert training_dtype("auto", folder, device="cuda") == on_cuda
    assert training_dtype("bfloat16", folder, device="cpu") == "bfloat16"
    assert load_merged(resolve(str(folder)), dtype="bfloat16").dtype == torch.bfloat16
