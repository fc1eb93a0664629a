"""Targets that are no path: schemes and pairs of models; and the fingerprint of each."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from helpers.models import make_lora, make_tiny_model
from safebasin import catalog
from safebasin.errors import ModelError, StudyError, UsageError
from safebasin.protocols import BaseWeights, Delta
from safebasin.records import DirectionSpec
from safebasin.weights.target_text import models_of, quant_levels, resolve_target, task_models


def fingerprint(kind: str, target: str) -> str:
    return resolve_target(DirectionSpec(kind=kind, target=target))


def test_schemes_use_the_symmetric_range_of_their_bits() -> None:
    assert [quant_levels(f"int{bits}") for bits in (8, 4)] == [2 ** (bits - 1) - 1 for bits in (8, 4)]


@pytest.mark.parametrize("target", ["int3", "INT8", "", None])
def test_another_scheme_says_which_there_are(target: str | None) -> None:
    message = (
        f"target of quant must be one of int8, int4; got {'nothing' if target is None else repr(target)}. Round a model"
    )
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


class Scheme:
    """A direction whose target only it can read."""

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        raise NotImplementedError

    def identity(self, spec: DirectionSpec) -> str:
        return f"scheme {spec.target} 2"


class Silent(Scheme):
    identity = None


def test_a_text_is_known_by_what_its_direction_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of rounding too: as studies of the first release have it."""
    assert fingerprint("quant", "int8") == hashlib.sha256(b"quant 127 v1").hexdigest()
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    for made, said in (("Scheme", b"scheme warm 2"), ("Silent", b"kiln/way warm")):
        row = catalog.Row(kind="direction", name="kiln/way", target=f"{__name__}:{made}", summary="", source="",
                          facts=(("target", "text"),))  # fmt: skip
        monkeypatch.setattr(catalog.lookup, "rows", lambda row=row: (*catalog.BUILTIN, row))
        assert fingerprint("kiln/way", "warm") == hashlib.sha256(said).hexdigest()


@pytest.mark.parametrize(("target", "kind"), [("model", "to"), ("models", "task"), ("adapter", "adapter")])
def test_a_plugins_target_is_found_as_ours_of_that_sort(
    target: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = catalog.Row(
        kind="direction", name="kiln/way", target="a:b", summary="", source="", facts=(("target", target),)
    )
    monkeypatch.setattr(catalog.lookup, "rows", lambda: (*catalog.BUILTIN, row))
    one, two = (make_tiny_model(tmp_path / str(n), seed=n) for n in (1, 2))
    text = {"to": f"{one}", "task": f"{one},{two}", "adapter": str(make_lora(tmp_path / "a", one))}[kind]
    assert fingerprint("kiln/way", text) == fingerprint(kind, text)
    models = {"to": (str(one),), "task": (str(one), str(two)), "adapter": ()}[kind]
    assert models_of(DirectionSpec(kind="kiln/way", target=text)) == models
    with pytest.raises(UsageError):
        fingerprint("kiln/way", f"{tmp_path}/none")
