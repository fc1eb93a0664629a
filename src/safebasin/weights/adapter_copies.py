"""A LoRA adapter times α as an adapter of its own, for what serves adapters beside the weights of a model.

The copy is plain LoRA of scaling 1 in float32, α and the scaling of the original in its B. Not what serves it: that is
the business of an engine. Not a direction either: merged into the weights the sum rounds otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from safebasin.records import DirectionSpec
from safebasin.weights.adapters import AdapterFiles, LowRank
from safebasin.weights.layout import Layout

__all__ = ["rank_of", "shape_of", "why_merged", "write_copy"]


def why_merged(spec: DirectionSpec, adapter: AdapterFiles, layout: Layout) -> str | None:
    """The reason why points along an adapter need its sum with the weights, or None where a copy beside them will do.

    Args:
        spec: the direction that it is the target of.
        adapter: its files.
        layout: of the model.
    """
    if spec.orthogonal_to:
        return "the direction is made orthogonal to another"
    moved = _moved(spec, adapter)
    if words := layout.vocabulary & (moved.keys() | adapter.replaced.keys()):
        return f"it changes an embedding or the head ({min(words)})"
    if adapter.replaced:
        return f"it replaces {min(adapter.replaced)} outright (modules_to_save, or a trained bias)"
    if not moved:
        return "it has no low-rank pair that moves"
    return None


def rank_of(spec: DirectionSpec, adapter: AdapterFiles) -> int:
    """The largest rank of the pairs that a direction moves."""
    return max(part.a.shape[0] for part in _moved(spec, adapter).values())


def shape_of(spec: DirectionSpec, adapter: AdapterFiles) -> tuple[tuple[str, int], ...]:
    """The names of the pairs that a direction moves, each with its rank."""
    return tuple(sorted((name, part.a.shape[0]) for name, part in _moved(spec, adapter).items()))


def write_copy(spec: DirectionSpec, alpha: float, adapter: AdapterFiles, folder: Path) -> None:
    """Write α times an adapter into an empty folder, as PEFT stores one.

    Pairs of a smaller rank than the largest are filled with zeros, since servers read one rank for all.

    Args:
        spec: the direction that it is the target of; `only` leaves pairs out.
        alpha: the factor.
        adapter: its files, of which `why_merged` says nothing.
        folder: made if needed.
    """
    rank, tensors = rank_of(spec, adapter), dict[str, torch.Tensor]()
    modules = {name.removesuffix(".weight"): part for name, part in _moved(spec, adapter).items()}
    for module, part in modules.items():
        a, b = _filled(part, alpha, rank)
        tensors[f"base_model.model.{module}.lora_A.weight"] = a
        tensors[f"base_model.model.{module}.lora_B.weight"] = b
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": adapter.base_name,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def _moved(spec: DirectionSpec, adapter: AdapterFiles) -> dict[str, LowRank]:
    return {name: part for name, part in adapter.low_rank.items() if spec.moves(name)}


def _filled(part: LowRank, alpha: float, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A of shape (rank, in) and α·scaling·B of shape (out, rank), in float32, the product made in float64."""
    a = torch.zeros(rank, part.a.shape[1])
    b = torch.zeros(part.b.shape[0], rank)
    own = part.a.shape[0]
    a[:own] = part.a
    b[:, :own] = alpha * part.scaling * part.b.double()
    return a, b
