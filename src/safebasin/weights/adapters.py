"""LoRA adapters as weight differences: ΔW = scaling·B·A per target, never A and B apart. Does not import PEFT.

Honored: rank and alpha patterns, rsLoRA, biases, `modules_to_save`, embeddings, transposed targets (GPT-2), tied ones.
Refused by name: what is no sum of ΔW and the weights that it was trained on (DoRA, PiSSA, …); such an adapter is
merged into a checkpoint first and is then a `to` direction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from safebasin.errors import ModelError, expected
from safebasin.weights.files import border, read_json
from safebasin.weights.headers import read_header
from safebasin.weights.layout import Layout, is_fused_experts, row_blocks
from safebasin.weights.whole import check_empty, unwhole

_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"\.lora_(?P<embedding>embedding_)?A(\.default)?(\.weight)?$")
_PARTNER = re.compile(r"\.lora_(embedding_)?B(\.default)?(\.weight)?$")
_WRAPPERS = re.compile(r"\.(modules_to_save(\.default)?|original_module|base_layer)\.")
_MERGE = "Merge it into a checkpoint with PEFT (merge_and_unload, save_pretrained) and use to:FOLDER."
_NO_CHANGE = "It changes no weight of the model, so there is no direction to it; nor can it be merged."
_NOT_MERGED = "It is no single set of weights of the model's own layers, so no checkpoint is the same."
_NO_WEIGHTS = (
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "ADAPTION_PROMPT",
    "CPT",
    "CARTRIDGE",
)
"""Kinds that put virtual tokens before a text, or keys and values beside it."""
_NEVER_ONE = ("XLORA", "POLY", "aLoRA", "Arrow", "LoRA with replicated layers")
"""Kinds that are not one set of weights of the model's own shapes."""

_OTHER_KINDS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "alora_invocation_tokens": "aLoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "arrow_config": "Arrow",
    "megatron_config": "Megatron LoRA",
    "lora_bias": "LoRA with a bias on B",
    "layer_replication": "LoRA with replicated layers",
    "target_parameters": "LoRA on bare parameters",
    "trainable_token_indices": "LoRA with trainable tokens",
}
"""Keys of `adapter_config.json` that, when set, make it another kind."""

_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initializations that take something out of the model's own weights, so that ΔW alone is not the difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """ΔW = scaling·B·A of one target; transposed where the layer stores its weight as (in, out)."""

    a: torch.Tensor
    """Shape (rank, in)."""
    b: torch.Tensor
    """Shape (out, rank)."""
    scaling: float
    transposed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ΔW as the layer stores it."""
        out, into = self.b.shape[0], self.a.shape[1]
        return (into, out) if self.transposed else (out, into)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows of ΔW in float64."""
        if self.transposed:
            return self.scaling * (self.b.double() @ self.a[:, start:stop].double()).T
        return self.scaling * (self.b[start:stop].double() @ self.a.double())


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFiles:
    """An adapter: low-rank differences, and tensors that replace the model's outright, by parameter name.

    A tensor may have both: PEFT stores an embedding that it adapts beside the adapter.
    """

    low_rank: Mapping[str, tuple[LowRank, ...]]
    """Several where an adapter has one for each name of a tied tensor."""
    replaced: Mapping[str, torch.Tensor]
    base_name: str
    """The model the adapter says it was trained on."""

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of ΔW in float64, or None where there is none."""
        parts = [part.rows(start, stop) for part in self.low_rank.get(name, ())]
        return sum(parts[1:], parts[0]) if parts else None

    def new_rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows that replace the model's, as stored, or None where they do not."""
        tensor = self.replaced.get(name)
        return tensor if tensor is None or tensor.dim() == 0 else tensor[start:stop]

    def added_to(self, name: str, start: int, stop: int, theta: torch.Tensor) -> torch.Tensor:
        """Rows of a model's tensor with the adapter merged in: float64, then one cast to the dtype of `theta`."""
        new, change = self.new_rows(name, start, stop), self.rows(name, start, stop)
        begun = theta if new is None else new.to(theta.dtype)
        return begun if change is None else (begun.double() + change).to(theta.dtype)


def read_adapter(folder: Path, layout: Layout) -> AdapterFiles:
    """Read a LoRA adapter for a model.

    Raises:
        ModelError: where it is another kind of adapter, its tensors do not pair up or are not finite, or it is not made
            for this model.
    """
    config = read_json(folder / "adapter_config.json", folder.name)
    _refuse_other_kinds(config)
    _check_config(config)
    path = folder / "adapter_model.safetensors"
    check_empty(read_header(path)[1], "adapter", folder.name)
    with border(path.name, "a safetensors file", folder.name, "Save it again with PEFT."):
        tensors = load_file(path)
    low_rank: dict[str, tuple[LowRank, ...]] = {}
    replaced: dict[str, torch.Tensor] = {}
    for key, tensor in sorted(tensors.items()):
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(expected("adapter", "finite", f"NaN or inf in {key}", "Train or download it again."))
        bare = key.removeprefix(_PREFIX)
        found = _LOW_RANK.search(bare)
        if found is not None:
            module = bare[: found.start()]
            name = layout.aliases.get(f"{module}.weight", f"{module}.weight")
            part = _low_rank(config, module, tensor, _partner(key, tensors), embedding=found["embedding"] is not None)
            low_rank[name] = (*low_rank.get(name, ()), _as_stored(part, f"{module}.weight", layout))
        elif ".lora_" not in bare:
            replaced[_WRAPPERS.sub(".", bare)] = tensor
        elif not _PARTNER.search(bare) or _first_of(key) not in tensors:
            raise ModelError(expected("adapter", "plain LoRA on linear layers", key, _MERGE))
    base_name = str(config.get("base_model_name_or_path"))
    adapter = AdapterFiles(low_rank=low_rank, replaced=_untie(replaced, layout), base_name=base_name)
    _check_fits(adapter, layout, folder)
    _check_whole(config, adapter, layout, folder)
    return adapter


def _refuse_other_kinds(config: Mapping[str, object]) -> None:
    kind = str(config.get("peft_type"))
    start = str(config.get("init_lora_weights")).lower()
    found = [kind] if kind != "LORA" else [what for key, what in _OTHER_KINDS.items() if config.get(key)]
    found += [f"LoRA begun by {start}" for prefix in _CHANGES_THE_BASE if start.startswith(prefix)]
    if found:
        remedy = _NO_CHANGE if found[0] in _NO_WEIGHTS else _NOT_MERGED if found[0] in _NEVER_ONE else _MERGE
        raise ModelError(expected("adapter", "plain LoRA", found[0], remedy))


def _check_config(config: Mapping[str, object]) -> None:
    """Refuse entries of another type than those that are read."""
    for key in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(key)
        if patterns is not None and not (isinstance(patterns, dict) and all(_is_above_0(v) for v in patterns.values())):
            constraint = f"complete ({key}: names, each with a number above 0)"
            raise ModelError(expected("adapter_config.json", constraint, patterns, "Save it again with PEFT."))


def _is_above_0(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _first_of(key: str) -> str:
    """The name of the A that belongs to a B."""
    return re.sub(r"\.lora_(embedding_)?B", r".lora_\1A", key)


def _partner(key: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    partner = re.sub(r"\.lora_(embedding_)?A", r".lora_\1B", key)
    if partner not in tensors:
        raise ModelError(expected("adapter", "complete", f"{key} without its B", "Save it again with PEFT."))
    a, b = tensors[key], tensors[partner]
    if (
        a.dim() != 2
        or b.dim() != 2
        or a.shape[0] != b.shape[1]
        or not (a.is_floating_point() and b.is_floating_point())
    ):
        found = f"{key} of shape {tuple(a.shape)} with a B of shape {tuple(b.shape)}"
        raise ModelError(expected("adapter", "pairs of A (rank, in) and B (out, rank)", found, _MERGE))
    return b


def _low_rank(config: Mapping[str, Any], module: str, a: torch.Tensor, b: torch.Tensor, *, embedding: bool) -> LowRank:
    rank = _pattern(config.get("rank_pattern"), module, config.get("r"))
    alpha = _pattern(config.get("alpha_pattern"), module, config.get("lora_alpha"))
    scaling = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return LowRank(a=a, b=b, scaling=scaling, transposed=embedding)


def _pattern(patterns: Mapping[str, float] | None, module: str, default: float | None) -> float:
    """The value of the first pattern that matches the end of a module's name, as PEFT reads them."""
    for pattern, value in (patterns or {}).items():
        with border("adapter_config.json", "complete (patterns of names)", pattern, "Save it again with PEFT."):
            matches = re.match(rf"(.*\.)?({pattern})$", module)
        if matches:
            return value
    if default is None or not _is_above_0(default):
        remedy = "Save it again with PEFT."
        raise ModelError(expected("adapter_config.json", "complete (r and lora_alpha above 0)", default, remedy))
    return default


def _as_stored(part: LowRank, name: str, layout: Layout) -> LowRank:
    """As the layer stores it. By the layer, like PEFT, and not by `fan_in_fan_out`, which may hold for some only."""
    return replace(part, transposed=True) if name in layout.transposed else part


def _untie(replaced: Mapping[str, torch.Tensor], layout: Layout) -> dict[str, torch.Tensor]:
    """Under canonical names. To replace one name of a tied tensor is to untie it, which no direction can do."""
    found: dict[str, torch.Tensor] = {}
    tied = {*layout.aliases, *layout.aliases.values()}
    for name, tensor in replaced.items():
        names = {n for n in tied if layout.aliases.get(n, n) == layout.aliases.get(name, name)}
        if any(n not in replaced or not torch.equal(replaced[n], tensor) for n in names):
            remedy = "Train it with all names of the tied weights in modules_to_save and ensure_weight_tying."
            raise ModelError(expected("adapter", "one that keeps tied weights tied", name, remedy))
        found[layout.aliases.get(name, name)] = tensor
    return found


def _check_fits(adapter: AdapterFiles, layout: Layout, folder: Path) -> None:
    wanted = [(name, part.shape) for name, parts in adapter.low_rank.items() for part in parts]
    wanted += [(name, tuple(tensor.shape)) for name, tensor in adapter.replaced.items()]
    for name, shape in wanted:
        if layout.shapes.get(name) != shape:
            _explain(name, shape, layout, folder)
            found = "no such tensor" if name not in layout.shapes else f"shape {layout.shapes[name]}"
            raise ModelError(
                f"adapter must be made for this model; got {folder.name!r}, trained on {adapter.base_name!r}: "
                f"{name} of shape {shape} meets {found}. Use the model it was trained on."
            )


def _explain(name: str, shape: tuple[int, ...], layout: Layout, folder: Path) -> None:
    """Where it is known why a tensor does not fit, say how to go on: the model it was trained on is this one."""
    here = layout.shapes.get(name)
    if here is not None and name in layout.vocabulary and shape[1:] == here[1:] and shape[0] > here[0]:
        remedy = (
            f"It was trained after {shape[0] - here[0]} tokens were added. Merge it into the resized model and save "
            f"that with the adapter's tokenizer: model.resize_token_embeddings({shape[0]}), PeftModel.from_pretrained, "
            "merge_and_unload, save_pretrained. `audit BASE MERGED` and `map MERGED` take it."
        )
        raise ModelError(expected("adapter", f"of the model's vocabulary ({here[0]} tokens)", folder.name, remedy))
    if here is None and ".experts." in name and any(is_fused_experts(n, s) for n, s in layout.shapes.items()):
        what = "on weights that this model has (it holds all experts of a layer in one tensor)"
        raise ModelError(expected("adapter", what, f"{folder.name}: {name}", _MERGE))


def _check_whole(config: Mapping[str, object], adapter: AdapterFiles, layout: Layout, folder: Path) -> None:
    """Every layer that the configuration names as a target must have its pair: a shard may have been lost.

    Only where it names them plainly; PEFT takes a pair that is missing for ΔW = 0, in silence.
    """
    targets = config.get("target_modules")
    narrowed = any(config.get(key) for key in ("layers_to_transform", "layers_pattern", "exclude_modules"))
    if not isinstance(targets, list) or narrowed:
        return
    ends = tuple(f".{target}.weight" for target in targets if isinstance(target, str))
    wanted = {
        layout.aliases.get(name, name)
        for name, shape in layout.shapes.items()
        if f".{name}".endswith(ends) and len(shape) == 2
    }
    missing = sorted(wanted - adapter.low_rank.keys() - adapter.replaced.keys())
    if missing and ends:
        raise ModelError(unwhole("adapter", folder.name, missing))


def merge_adapter(module: nn.Module, folder: Path) -> None:
    """Add an adapter to the weights of a freshly loaded module, in float64 on the CPU, one cast at the end.

    Raises:
        ModelError: where the adapter is not plain LoRA or not made for this model.
    """
    adapter = read_adapter(folder, Layout.of(module))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name not in adapter.low_rank and name not in adapter.replaced:
                continue
            for start, stop in row_blocks(tuple(parameter.shape)):
                target = parameter if parameter.dim() == 0 else parameter[start:stop]
                target.copy_(adapter.added_to(name, start, stop, target.cpu()))
