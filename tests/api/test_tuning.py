"""The device of training: what is not there, or would not be used, is refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

from safebasin import api
from safebasin.cli import app
from safebasin.errors import UsageError
from safebasin.models import placement

TRAINED: tuple[tuple[Callable[..., Any], dict[str, Any]], ...] = (
    (api.finetune, {"attack": "benign"}),
    (api.finetune_sweep, {"attack": "benign", "sweep": ["lr=1e-4"]}),
)


@pytest.mark.parametrize(("verb", "given"), [*TRAINED, (api.find_worst_case, {"prompts": "world:guild/harmful@val"})])
def test_a_device_that_is_not_there(verb: Callable[..., Any], given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"device must be one that this machine has \(auto, cpu.*; got 'tpu'"):
        verb("/nowhere", out=tmp_path / "out", device="tpu", **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("verb", "given"), TRAINED)
def test_a_gpu_by_number_that_the_trainer_would_not_take(
    verb: Callable[..., Any], given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "resolve_device", torch.device)
    with pytest.raises(UsageError, match=r"must be auto, cpu, cuda or mps; got 'cuda:1'\. .*CUDA_VISIBLE_DEVICES"):
        verb("/nowhere", out=tmp_path / "out", device="cuda:1", **given)


@pytest.mark.parametrize(("verb", "given"), [*TRAINED, (api.find_worst_case, {"prompts": "world:guild/harmful@val"})])
def test_the_device_is_chosen_as_for_a_map(
    verb: Callable[..., Any], given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(text: str) -> None:
        raise UsageError(f"asked for {text}")

    monkeypatch.setattr(placement, "resolve_device", asked)
    with pytest.raises(UsageError, match="asked for auto"):
        verb("/nowhere", out=tmp_path / "out", **given)


@pytest.mark.parametrize("verb", ["finetune", "worst-case"])
def test_the_command_line_leaves_the_device_to_the_machine(verb: str) -> None:
    options = {o: p for p in typer.main.get_command(app).commands[verb].params for o in p.opts}
    assert options["--device"].default == "auto"
    if verb == "finetune":
        assert options["--lr"] is options["--learning-rate"]
