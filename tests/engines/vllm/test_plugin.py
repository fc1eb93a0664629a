from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from safebasin.engines.vllm.plugin import BACKEND, register

ROOT = Path(__file__).parents[3]


class _Registry:
    """As vLLM's: it refuses a name that it has."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, str]] = {"nccl": ("theirs", "NCCL")}

    def register_engine(self, name: str, module: str, class_name: str) -> None:
        if name in self.found:
            raise ValueError(f"{name} is already registered")
        self.found[name] = (module, class_name)


def _vllm(monkeypatch: pytest.MonkeyPatch, **contents: object) -> None:
    """A package that has a module of weight-transfer engines with these contents, and nothing else."""
    path = "vllm.distributed.weight_transfer.factory"
    for depth in range(1, 5):
        monkeypatch.setitem(sys.modules, ".".join(path.split(".")[:depth]), ModuleType(path))
    for name, value in contents.items():
        monkeypatch.setattr(sys.modules[path], name, value, raising=False)


def test_the_name_is_registered_once_however_often_vllm_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = _Registry()
    _vllm(monkeypatch, WeightTransferEngineFactory=registry)
    register()
    register()
    assert registry.found == {
        "nccl": ("theirs", "NCCL"),
        BACKEND: ("safebasin.engines.vllm.transfer", "Regenerated"),
    }


@pytest.mark.parametrize("contents", [{}, {"WeightTransferEngineFactory": object()}])
def test_a_vllm_without_such_a_registry_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, contents: dict[str, object]
) -> None:
    _vllm(monkeypatch, **contents)
    register()


def test_what_vllm_calls_in_everybodys_processes_loads_nothing_of_ours() -> None:
    """The entry point stands in pyproject.toml, and can be loaded where there is no vLLM."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    (found,) = [EntryPoint(name, value, "") for name, value in declared["vllm.general_plugins"].items()]
    assert (found.name, found.load()) == (BACKEND, register)
    program = (
        "import sys\n"
        "sys.modules['vllm'] = None\n"
        f"from {found.module} import {found.attr}\n"
        f"{found.attr}()\n"
        "heavy = {'numpy', 'torch', 'transformers', 'pydantic', 'safebasin.api', 'safebasin.engines.vllm.transfer'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
