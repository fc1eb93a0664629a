"""What is taken for a refusal of vLLM at its start, and what is not; vLLM itself is a stand-in."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from safebasin.engines.vllm.starting import start
from safebasin.errors import ModelError

LORAS = {"enable_lora": True}


def started(monkeypatch: pytest.MonkeyPatch, error: Exception, loras: dict[str, Any]) -> None:
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=refuse))  # pyright: ignore[reportArgumentType]
    start("there", name="m", dtype="float32", limit=64, eager=True, gpus=1, transfers=False, loras=loras)


@pytest.mark.parametrize(
    ("error", "loras"),
    [(ValueError("no such architecture"), {}), (TypeError("unexpected keyword 'lora_target_modules'"), LORAS)],
)
def test_what_vllm_refuses_names_the_model(
    monkeypatch: pytest.MonkeyPatch, error: Exception, loras: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=rf"one that vLLM can load; got 'm'.*{error}"):
        started(monkeypatch, error, loras)


def test_a_mistake_of_ours_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="ours"):
        started(monkeypatch, TypeError("ours"), {})
