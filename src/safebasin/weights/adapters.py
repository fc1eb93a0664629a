"""LoRA adapters as weight differences: ΔW = scaling·B·A per target, never A and B apart. Does not import PEFT.

Honored: rank and alpha patterns, rsLoRA, biases, `modules_to_save`, embeddings, transposed targets (GPT-2), tied ones.
Refused by name: what is no sum of ΔW and the weights that it was trained on (DoRA, PiSSA, …); such an adapter is
merged into a checkpoint first and is then a `to` direction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from safetensors.torch import load_file
from torch import nn

from safebasin.errors import ModelError, expected
from safebasin.models.files import border, read_json
from safebasin.models.headers import read_header
from safebasin.models.loading import load_causal, load_config
from safebasin.models.placement import resolve_dtype
from safebasin.models.reference import ResolvedModel
from safebasin.models.whole import check_empty
from safebasin.weights.adapter_kinds import MERGE, is_above_0, refuse_other_kinds
from safebasin.weights.adapter_targets import check_applied, matches_pattern, say
from safebasin.weights.layout import Layout, is_fused_experts, row_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_T = TypeVar("_T")
_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"\.lora_(?P<embedding>embedding_)?A(\.default)?(\.weight)?$")
_PARTNER = re.compile(r"\.lora_(embedding_)?B(\.default)?(\.weight)?$")
_UNTIE = (
    "Untie the base, merge it there (docs/howto.md shows the lines), and give that folder: `map MERGED`, `audit BASE "
    "MERGED`. Or train it with ensure_weight_tying."
)
_AT_ONCE = 128
"""Rows of one product. Some processors sum products of other shapes in another order, so that only these are made."""
_WRAPPERS = re.compile(r"\.(modules_to_save(\.default)?|original_module|base_layer)\.")


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
        """Rows of ΔW in float64, the same bits whatever rows are asked for beside them."""
        first = start - start % _AT_ONCE
        parts = [self._product(slice(at, at + _AT_ONCE)) for at in range(first, stop, _AT_ONCE)]
        return torch.cat(parts)[start - first : stop - first]

    def _product(self, rows: slice) -> torch.Tensor:
        if self.transposed:
            # stored as (in, out), so rows of the parameter are columns of B·A
            return self.scaling * (self.b.double() @ self.a[:, rows].double()).T
        return self.scaling * (self.b[rows].double() @ self.a.double())


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFiles:
    """An adapter: low-rank differences, and tensors that replace the model's outright, by parameter name.

    A tensor may have both: PEFT stores an embedding that it adapts beside the adapter.
    """

    low_rank: Mapping[str, LowRank]
    replaced: Mapping[str, torch.Tensor]
    base_name: str
    """The model the adapter says it was trained on."""

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of ΔW in float64, or None where there is none."""
        part = self.low_rank.get(name)
        return None if part is None else part.rows(start, stop)

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
    refuse_other_kinds(config, has_bias=any(parameter.endswith(".bias") for parameter in layout.shapes))
    path = folder / "adapter_model.safetensors"
    check_empty(read_header(path)[1], "adapter", folder.name)
    with border(path.name, "a safetensors file", folder.name, "Save it again with PEFT."):
        tensors = load_file(path)
    pairs: dict[str, LowRank] = {}
    replaced: dict[str, torch.Tensor] = {}
    for key, tensor in sorted(tensors.items()):
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(expected("adapter", "finite", f"NaN or inf in {key}", "Train or download it again."))
        # an A brings its B; a B is met again by itself and passed over; what is neither replaces a tensor
        bare = key.removeprefix(_PREFIX)
        found = _LOW_RANK.search(bare)
        if found is not None:
            module = bare[: found.start()]
            part = _low_rank(config, module, tensor, _partner(key, tensors), embedding=found["embedding"] is not None)
            pairs[f"{module}.weight"] = _as_stored(part, f"{module}.weight", layout)
        elif ".lora_" not in bare:
            replaced[_WRAPPERS.sub(".", bare)] = tensor
        elif not _PARTNER.search(bare) or _first_of(key) not in tensors:
            raise ModelError(expected("adapter", "plain LoRA on linear layers", key, MERGE))
    base_name = str(config.get("base_model_name_or_path"))
    _check_fits(pairs, replaced, base_name, layout, folder)
    adapter = AdapterFiles(
        low_rank=_untie(pairs, layout, _same_change),
        replaced=_untie(replaced, layout, torch.equal),
        base_name=base_name,
    )
    modules = [name.removesuffix(".weight") for name in pairs]
    check_applied(config, layout, modules, adapter.replaced.keys(), folder.name)
    if not replaced and not any(bool(part.b.any() and part.a.any()) for part in pairs.values()):
        say(f"adapter {folder.name} changes nothing: B is zero in each of its pairs, as before training")
    return adapter


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
        raise ModelError(expected("adapter", "pairs of A (rank, in) and B (out, rank)", found, MERGE))
    return b


def _low_rank(config: Mapping[str, Any], module: str, a: torch.Tensor, b: torch.Tensor, *, embedding: bool) -> LowRank:
    rank = _pattern(config.get("rank_pattern"), module, config.get("r"))
    if rank != a.shape[0]:
        constraint = f"true of the adapter (r, rank_pattern: {module} has rank {a.shape[0]})"
        raise ModelError(expected("adapter_config.json", constraint, rank, "Take both files from one training."))
    alpha = _pattern(config.get("alpha_pattern"), module, config.get("lora_alpha"))
    scaling = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return LowRank(a=a, b=b, scaling=scaling, transposed=embedding)


def _pattern(patterns: Mapping[str, float] | None, module: str, default: float | None) -> float:
    """The value of the first pattern that matches the end of a module's name, as PEFT reads them."""
    for pattern, value in (patterns or {}).items():
        if matches_pattern(pattern, module):
            return value
    if default is None or not is_above_0(default):
        remedy = "Save it again with PEFT."
        raise ModelError(expected("adapter_config.json", "complete (r and lora_alpha above 0)", default, remedy))
    return default


def _as_stored(part: LowRank, name: str, layout: Layout) -> LowRank:
    """As the layer stores it. By the layer, like PEFT, and not by `fan_in_fan_out`, which may hold for some only."""
    return replace(part, transposed=True) if name in layout.transposed else part


def _untie(found: Mapping[str, _T], layout: Layout, same: Callable[[_T, _T], bool]) -> dict[str, _T]:
    """Under canonical names. What changes one name of a tied tensor alone unties it, which no direction can do.

    PEFT merges such a pair into the tensor that both names share, and two pairs one after the other: neither is the
    model that was trained.
    """
    tied = {*layout.aliases, *layout.aliases.values()}
    for name, one in found.items():
        names = {n for n in tied if layout.aliases.get(n, n) == layout.aliases.get(name, name)}
        if any(n not in found or not same(found[n], one) for n in names):
            raise ModelError(expected("adapter", "one that keeps tied weights tied", name, _UNTIE))
    return {layout.aliases.get(name, name): one for name, one in found.items()}


def _same_change(one: LowRank, other: LowRank) -> bool:
    """Whether two pairs are one ΔW, as where PEFT ties them: each the other transposed."""
    return one.shape == other.shape and all(
        torch.allclose(one.rows(start, stop), other.rows(start, stop), rtol=1e-6, atol=1e-12)
        for start, stop in row_blocks(one.shape)
    )


def _check_fits(
    pairs: Mapping[str, LowRank],
    replaced: Mapping[str, torch.Tensor],
    base_name: str,
    layout: Layout,
    folder: Path,
) -> None:
    wanted = [(name, part.shape) for name, part in pairs.items()]
    wanted += [(name, tuple(tensor.shape)) for name, tensor in replaced.items()]
    for name, shape in wanted:
        here = layout.shapes.get(layout.aliases.get(name, name))
        if here != shape:
            _explain(name, shape, layout, folder)
            found = "no such tensor" if here is None else f"shape {here}"
            raise ModelError(
                f"adapter must be made for this model; got {folder.name!r}, trained on {base_name!r}: "
                f"{name} of shape {shape} meets {found}. Use the model it was trained on."
            )


def _explain(name: str, shape: tuple[int, ...], layout: Layout, folder: Path) -> None:
    """Where it is known why a tensor does not fit, say how to go on: the model it was trained on is this one."""
    stored = layout.aliases.get(name, name)
    here = layout.shapes.get(stored)
    if here is not None and stored in layout.vocabulary and shape[1:] == here[1:] and shape[0] > here[0]:
        remedy = (
            f"It was trained after {shape[0] - here[0]} tokens were added. Merge it into the resized model and save "
            f"that with the adapter's tokenizer: model.resize_token_embeddings({shape[0]}), PeftModel.from_pretrained, "
            "merge_and_unload, save_pretrained. `audit BASE MERGED` and `map MERGED` take it."
        )
        raise ModelError(expected("adapter", f"of the model's vocabulary ({here[0]} tokens)", folder.name, remedy))
    if here is None and ".experts." in name and any(is_fused_experts(n, s) for n, s in layout.shapes.items()):
        what = "on weights that this model has (it holds all experts of a layer in one tensor)"
        raise ModelError(expected("adapter", what, f"{folder.name}: {name}", MERGE))


def load_merged(model: ResolvedModel, device: str = "cpu", dtype: str = "auto") -> PreTrainedModel:
    """A causal language model with its adapter merged, on the CPU.

    Args:
        model: the reference, found.
        device: where it will run.
        dtype: as `models.placement.resolve_dtype` reads it; `auto` is the type that an engine gives it there.

    Raises:
        ModelError: as `models.loading.load_causal`, or where the adapter does not fit.
    """
    what, name = f"checkpoint '{model.ref}'", model.folder.name
    config = load_config(model.folder, what=what, name=name)
    held = resolve_dtype(dtype, config, torch.device(device))
    loaded = load_causal(model.folder, what=what, name=name, dtype=held, config=config)
    if model.adapter is not None:
        merge_adapter(cast("nn.Module", loaded), model.adapter)
    return loaded


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
