"""One rule for the type of weights that answer, for engine and edits, and one for those that are trained."""

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
    ("stored", "on_cpu"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float32")]
)
def test_the_rule_is_one_for_engine_and_edits(tmp_path: Path, stored: str, on_cpu: str) -> None:
    folder = make_tiny_model(tmp_path / "m", dtype=stored)
    wanted = getattr(torch, on_cpu)
    assert load_merged(resolve(str(folder))).dtype == wanted
    assert HFEngine(str(folder), device="cpu").facts().dtype == on_cpu
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
