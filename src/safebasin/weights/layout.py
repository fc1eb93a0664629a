"""What a module says of its parameters beside their values: names, shapes, ties, and what directions leave alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn

from safebasin.models.files import border
from safebasin.models.loading import bare_model, load_config
from safebasin.models.reference import ResolvedModel
from safebasin.protocols import BaseWeights

MAX_BLOCK_BYTES = 64 * 2**20
"""A block of rows takes at most this much at eight bytes an element, unless a single row is larger."""


_VOCABULARY = re.compile(r"(^|\.)(lm_head|embed_\w+|embeddings?|wte|wpe)(\.|$)")
"""Names of embeddings and heads, for modules that do not say which these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The parameters of a module under canonical names: those of `named_parameters()`, the first for a tied tensor."""

    shapes: Mapping[str, tuple[int, ...]]
    """In module order."""
    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict[str, torch.dtype])
    excluded: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names that random directions leave alone, with the reason."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further name of a tied tensor → its canonical name."""
    transposed: frozenset[str] = frozenset()
    """Weights that their layer stores as (in, out): GPT-2's Conv1D."""
    vocabulary: frozenset[str] = frozenset()
    """Embeddings, and the head that maps to tokens."""

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of a module."""
        canonical = {id(p): name for name, p in module.named_parameters()}
        everything = dict(module.named_parameters(remove_duplicate=False))
        return cls(
            shapes={name: tuple(p.shape) for name, p in module.named_parameters()},
            dtypes={name: p.dtype for name, p in module.named_parameters()},
            excluded=exclusions(module),
            aliases={name: canonical[id(p)] for name, p in everything.items() if canonical[id(p)] != name},
            transposed=frozenset(
                f"{name}.weight" for name, owner in module.named_modules() if type(owner).__name__ == "Conv1D"
            ),
            vocabulary=frozenset(canonical[id(p)] for p in _vocabulary(module)),
        )


def _vocabulary(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from (owner.weight for owner in module.modules() if isinstance(owner, nn.Embedding))
    yield from (p for name, p in module.named_parameters(remove_duplicate=False) if _VOCABULARY.search(name))
    find_head = getattr(module, "get_output_embeddings", None)
    head = find_head() if callable(find_head) else None
    yield from (head.parameters() if isinstance(head, nn.Module) else ())


def layout_of(base: BaseWeights) -> Layout:
    """The layout of θ₀; of another implementation than ours, what the protocol says."""
    found = getattr(base, "layout", None)
    if isinstance(found, Layout):
        return found
    shapes = {name: base.shape(name) for name in base.names}
    by_name = frozenset(name for name in shapes if _VOCABULARY.search(name))
    return Layout(shapes=shapes, excluded=base.excluded(), vocabulary=by_name)


def load_layout(model: ResolvedModel) -> Layout:
    """The layout of a causal language model as transformers would load it, without reading a weight.

    Raises:
        ModelError: where transformers does not know it; code that comes with a model does not run.
    """
    what, name = f"checkpoint '{model.ref}'", model.folder.name
    config = load_config(model.folder, what=what, name=name)
    with border(what, "a causal language model that transformers can load", name, "Download it again."):
        return Layout.of(cast("nn.Module", bare_model(config)))


def exclusions(module: nn.Module) -> dict[str, str]:
    """Parameters that random directions leave alone: norm layers, by type and by name, and what is not floating.

    By type because the published rule, a name that contains `norm`, misses GPT-2's `ln_1`.
    """
    owners = {f"{prefix}.{name}" if prefix else name: owner for prefix, owner in module.named_modules()
              for name, _ in owner.named_parameters(recurse=False)}  # fmt: skip
    found: dict[str, str] = {}
    for name, parameter in module.named_parameters():
        kind = type(owners[name]).__name__
        if not parameter.is_floating_point():
            found[name] = f"not floating point ({parameter.dtype})"
        elif isinstance(owners[name], (nn.LayerNorm, nn.GroupNorm)) or "norm" in kind.lower():
            found[name] = f"norm layer ({kind})"
        elif "norm" in name.lower():
            found[name] = "norm layer (by name)"
    return found


def is_fused_experts(name: str, shape: tuple[int, ...]) -> bool:
    """Tell whether a tensor holds all experts of a layer, one a row of axis 0; each counts as a tensor of its own."""
    return len(shape) == 3 and ".experts." in name


def row_blocks(shape: tuple[int, ...], element_bytes: int = 8) -> list[tuple[int, int]]:
    """Cut axis 0 into (start, stop) blocks of at most 64 MB; a scalar is one row."""
    if not shape:
        return [(0, 1)]
    row_bytes = element_bytes
    for size in shape[1:]:
        row_bytes *= size
    step = max(1, MAX_BLOCK_BYTES // max(row_bytes, 1))
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]
