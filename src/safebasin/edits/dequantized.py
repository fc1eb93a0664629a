"""A quantized checkpoint as the plain weights that it stands for: what a line and a distance are measured on.

Not what is asked: packed weights answer as they ship, with the rounding of their own kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.edits.record import write_edit
from safebasin.errors import ModelError, expected
from safebasin.models.loading import load_causal, load_config
from safebasin.models.quiet import quiet
from safebasin.models.reference import ResolvedModel, resolve
from safebasin.models.writing import copy_settings, new_folder, read_record, save_model
from safebasin.protocols import RowSource

if TYPE_CHECKING:
    import torch

__all__ = ["Dequantizing", "dequantize"]

_KIND = "dequantized"
_AT_LOADING = ("fp8", "mxfp4", "compressed-tensors")
"""Methods that transformers undoes while it loads, if it is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dequantizing:
    """The plain weights of a quantized checkpoint, as an edit."""

    name: str = field(default=_KIND, init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write them; nothing is drawn, and nothing is computed but on the CPU.

        Raises:
            ModelError: where the checkpoint is not quantized, has an adapter, or cannot be undone.
            UsageError: where something else is in `out`.
        """
        found = resolve(model)
        config: Any = load_config(found.folder, name=str(found.ref))
        if found.adapter is not None or not getattr(config, "quantization_config", None):
            got = "one with an adapter" if found.adapter is not None else "plain weights"
            raise ModelError(expected(f"checkpoint '{found.ref}'", "a quantized one without adapter", got, "Use it."))
        dequantize(found, out)
        return out


def dequantize(model: ResolvedModel, out: Path) -> None:
    """Write the plain weights of a quantized checkpoint, in its own dtype, or keep those that are there already.

    Args:
        model: the checkpoint.
        out: folder to write to; what this function wrote there of another model is removed.

    Raises:
        ModelError: where it cannot be loaded here, or its method cannot be undone.
        UsageError: where something else is in `out`.
    """
    record = read_record(out) if out.is_dir() else {}
    if record.get("kind") == _KIND and record.get("of") == model.fingerprint:
        return
    try:
        with quiet():
            plain = _plain(_load(model))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(_impossible(model, " ".join(str(error).split())[:200])) from error
    with new_folder(out, replaces=lambda old: record.get("kind") == _KIND) as folder, quiet():
        save_model(plain, folder)
        copy_settings(model.folder, folder)
        text = f"The weights that {model.ref} stands for, without its quantization."
        write_edit(folder, model, _KIND, {}, attacks=False, title="Dequantized", text=text)


def _load(model: ResolvedModel) -> Any:
    what, name = f"checkpoint '{model.ref}'", model.folder.name
    config: Any = load_config(model.folder, what=what, name=name)
    method = config.quantization_config
    if isinstance(method, dict) and method.get("quant_method") in _AT_LOADING:
        config.quantization_config = {**method, "dequantize": True}
    return load_causal(model.folder, what=what, name=name, config=config)


def _plain(model: Any) -> Any:
    """The module with plain weights: as loading made it, by its quantizer, or tensor by tensor."""
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        try:
            model = model.dequantize()
        except NotImplementedError:
            _unpack(model)
            quantizer.remove_quantization_config(model)
    packed = next((name for name, p in model.named_parameters() if not _is_plain(p)), None)
    if packed is not None:
        raise ValueError(f"{packed} stays packed")
    return model


def _unpack(model: Any) -> None:
    """Replace parameters whose own type knows how to undo itself."""
    import torch

    for name, parameter in _packed(model):
        owner, _, last = name.rpartition(".")
        plain = cast("Any", parameter.data).dequantize().to(model.config.dtype)
        setattr(model.get_submodule(owner), last, torch.nn.Parameter(plain, requires_grad=False))


def _packed(model: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    for name, parameter in list(model.named_parameters()):
        if not _is_plain(parameter) and hasattr(parameter.data, "dequantize"):
            yield name, parameter


def _is_plain(parameter: torch.nn.Parameter) -> bool:
    import torch

    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return type(parameter.data) is torch.Tensor and parameter.dtype in kinds


def _impossible(model: ResolvedModel, why: str) -> str:
    remedy = "Audit the copy before it was quantized to see its line."
    return expected(f"checkpoint '{model.ref}'", "one whose quantization can be undone here", why, remedy)
