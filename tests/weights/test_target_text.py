"""Targets that are no path: schemes and pairs of models; and the fingerprint of each."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from helpers.models import make_tiny_model
from safebasin.errors import ModelError, StudyError
from safebasin.records import DirectionSpec
from safebasin.weights.target_text import quant_levels, resolve_target, task_models


def fingerprint(kind: str, target: str) -> str:
    return resolve_target(DirectionSpec(kind=kind, target=target))


def test_schemes_use_the_symmetric_range_of_their_bits() -> None:
    assert [quant_levels(f"int{bits}") for bits in (8, 4)] == [2 ** (bits - 1) - 1 for bits in (8, 4)]


@pytest.mark.parametrize("target", ["int3", "INT8", "", None])
def test_another_scheme_says_which_there_are(target: str | None) -> None:
    message = f"target of quant must be one of int8, int4; got {target!r}. Round a model"
    with pytest.raises(StudyError, match=re.escape(message)):
        quant_levels(target)


def test_a_scheme_has_a_fingerprint_without_being_looked_up_anywhere() -> None:
    assert fingerprint("quant", "int8") == fingerprint("quant", "int8") != fingerprint("quant", "int4")
    with pytest.raises(StudyError, match="target of quant must be one of int8, int4; got 'int2'"):
        fingerprint("quant", "int2")


def test_a_task_names_two_models() -> None:
    assert task_models("runs/tuned, org/base@v1") == ("runs/tuned", "org/base@v1")
    for target in ("one", "one,", "one,two,three", "", None):
        with pytest.raises(StudyError, match="target of task must be two models, TUNED,BASE"):
            task_models(target)


def test_the_fingerprint_of_a_task_follows_the_bytes_of_both_models_and_their_order(tmp_path: Path) -> None:
    tuned = make_tiny_model(tmp_path / "tuned", seed=1)
    base = shutil.copytree(tuned, tmp_path / "base")
    other = make_tiny_model(tmp_path / "other", seed=2)
    same = fingerprint("task", f"{tuned},{base}")
    assert fingerprint("task", f"{tuned}, {base}") == same == fingerprint("task", f"{base},{tuned}"), "equal copies"
    assert len({same, fingerprint("task", f"{tuned},{other}"), fingerprint("task", f"{other},{tuned}")}) == 3
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"][100, 30] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint("task", f"{tuned},{base}") != same
    with pytest.raises(ModelError, match="model must be an existing folder"):
        fingerprint("task", f"{tuned},{tmp_path}/nothing")
