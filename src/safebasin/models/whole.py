"""Whether the files of a checkpoint hold the tensors that its model is made of: all, no other, none empty.

Transformers fills what is missing with random numbers and leaves out what it has no place for. A landscape of such a
model would be one of noise, and another at every run, so it is refused, by name. Two looks: at the headers, before a
weight is read (`check_headers`, no torch), and at what transformers reports after loading (`check_loaded`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from safebasin.errors import ModelError, expected
from safebasin.models.headers import Stored

__all__ = [
    "check_empty",
    "check_headers",
    "check_loaded",
    "check_promises",
    "is_quantized",
    "is_spare",
    "listed",
    "quantization",
    "unwhole",
]

_SHOWN = 3
"""Names that a message gives of each kind."""

_SAVE_AGAIN = "Save it again from the whole model, or download it again."

_WRAPPERS = (
    (re.compile(r"(^|\.)base_layer\.|\.lora_[AB]\.|\.lora_embedding_[AB]|^base_model\.model\."),
     "an adapter that was not merged", "Merge it with PEFT first (merge_and_unload, save_pretrained)."),
    (re.compile(r"(^|\.)modules_to_save\.|(^|\.)original_module\."),
     "an adapter that was not merged", "Merge it with PEFT first (merge_and_unload, save_pretrained)."),
    (re.compile(r"(^|\.)_orig_mod\."),
     "torch.compile", "Save the module inside (model._orig_mod.save_pretrained), or take the prefix out of the names."),
    (re.compile(r"^module\."),
     "data-parallel training", "Save the module inside (model.module.save_pretrained), or take the prefix out of the "
     "names."),
    (re.compile(r"(^|\.)_fsdp_wrapped_module\.|(^|\.)_checkpoint_wrapped_module\."),
     "FSDP", "Save the full state dict, or take the prefix out of the names."),
)  # fmt: skip
"""What wraps a module leaves its mark in the names of a state dict: the mark, who leaves it, what to do."""

_SPARE = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|rotary_pos_emb\.inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids)$"
    r"|(^|\.)(v_head|value_head|mtp|nextn|mtp_layers|mtp_block)\."
)
"""Left-overs that say nothing in an answer: buffers that old releases stored, value heads, heads that draft."""

_PLAIN = ("F16", "BF16", "F32", "F64")
_MARKS = re.compile(
    r"(scale|scales|scale_inv|zeros|zero_point|absmax|qweight|qzeros|SCB|quant_map|packed|codebooks?)\b"
)
"""What a quantizer stores beside the weights."""


def check_headers(tensors: Mapping[str, Stored], name: str) -> None:
    """Refuse files with empty tensors, or with the names of a wrapped module, before a weight is read.

    Raises:
        ModelError: naming the first of them and their number.
    """
    check_empty(tensors, "model", name)
    for mark, who, remedy in _WRAPPERS:
        wrapped = [key for key in tensors if mark.search(key)]
        if wrapped:
            constraint = f"saved under the names of its own tensors, not those of {who}"
            raise ModelError(expected("model", constraint, name, f"({listed(wrapped)}) {remedy}"))


def check_empty(tensors: Mapping[str, Stored], what: str, name: str) -> None:
    """Refuse files in which a tensor has no element: that is what is left of it where training had split it.

    Raises:
        ModelError: naming the first of them and their number.
    """
    empty = [key for key, tensor in tensors.items() if tensor.n_elements == 0]
    if empty:
        remedy = f"(empty: {listed(empty)}) Shards of ZeRO are gathered first: zero_to_fp32.py, or save_16bit_model."
        raise ModelError(expected(what, "whole: no tensor of it empty", name, remedy))


def check_promises(config: Mapping[str, object], tensors: Mapping[str, Stored], name: str) -> None:
    """Refuse a configuration that counts more layers or experts than the files can hold, before anything is built.

    Each layer holds a tensor of its own at least; experts are tensors, or rows of one.

    Raises:
        ModelError: naming the entry.
    """
    largest = max((max(tensor.shape, default=1) for tensor in tensors.values()), default=1)
    most = max(len(tensors), largest)
    for key, value in _numbers(config):
        if _COUNTS.search(key) and value > (len(tensors) if "layer" in key else most):
            constraint = f"true of the files, which hold {len(tensors)} tensors"
            remedy = f"({name}) Take config.json and weights from one and the same model."
            raise ModelError(expected(f"{key} of config.json", constraint, value, remedy))


_COUNTS = re.compile(r"^(n|num)_.*(layer|layers|block|blocks|expert|experts)$|^depth$")


def _numbers(value: object, key: str = "") -> Iterator[tuple[str, int]]:
    """Every whole number of a configuration under the last key on the way to it."""
    if isinstance(value, dict):
        for inner, found in value.items():
            yield from _numbers(found, str(inner))
    elif type(value) is int:
        yield key, value


def quantization(config: Mapping[str, object]) -> str:
    """Name how a checkpoint is quantized, by its own configuration; empty where it says nothing."""
    text = config.get("text_config")
    found = config.get("quantization_config") or (text.get("quantization_config") if isinstance(text, dict) else None)
    if not isinstance(found, dict):
        return ""
    return str(found.get("quant_method") or "by an unnamed method")


def is_quantized(tensors: Mapping[str, Stored]) -> bool:
    """Tell whether files hold packed weights, or what a quantizer stores beside them."""
    return any(tensor.dtype not in _PLAIN or _MARKS.search(name) for name, tensor in tensors.items())


def is_spare(name: str, patterns: Iterable[str] = ()) -> bool:
    """Tell whether a tensor that a model has no place for says nothing in its answers.

    Args:
        name: of the tensor.
        patterns: those that the model's class leaves out by itself (`_keys_to_ignore_on_load_unexpected`).
    """
    return _SPARE.search(name) is not None or any(re.search(pattern, name) for pattern in patterns)


def check_loaded(info: Mapping[str, Any], what: str, name: str, *, packed: bool = False) -> None:
    """Refuse a model that transformers could not load whole.

    Tied tensors that are stored once, and buffers that a model computes, are not missing; transformers knows them.

    Args:
        info: what `from_pretrained(output_loading_info=True, ignore_mismatched_sizes=True)` returned.
        what: `model`, or which checkpoint, for the message.
        name: as the user wrote it.
        packed: whether it is quantized, and may hold what only some kernels read.

    Raises:
        ModelError: naming the missing, the unexpected, and those of other shapes.
    """
    differing = {str(key): (tuple(found), tuple(wanted)) for key, found, wanted in info["mismatched_keys"]}
    missing = sorted(set(info["missing_keys"]) - differing.keys())
    unexpected = [] if packed else sorted(key for key in info["unexpected_keys"] if not is_spare(key))
    if missing or unexpected or differing:
        raise ModelError(unwhole(what, name, missing, unexpected, differing))


def unwhole(
    what: str,
    name: str,
    missing: Collection[str] = (),
    unexpected: Collection[str] = (),
    differing: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] | None = None,
) -> str:
    """The line on a model that is not whole; `differing` is name → (shape in the files, shape of the model)."""
    shapes = [f"{key} is {found}, not {wanted}" for key, (found, wanted) in sorted((differing or {}).items())]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    parts = [f"{kind}: {listed(found)}" for kind, found in kinds if found]
    remedy = f"({'; '.join(parts)}) {_SAVE_AGAIN}"
    return expected(what, "whole: all tensors that its configuration promises, and no other", name, remedy)


def listed(names: Collection[str]) -> str:
    """The first names, and how many there are."""
    first = ", ".join(list(names)[:_SHOWN])
    return first if len(names) <= _SHOWN else f"{first}, … {len(names)} in all"
