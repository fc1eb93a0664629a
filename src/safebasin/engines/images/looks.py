"""What a prompt with images gives the model beside its tokens: kinds of tokens, positions, what was seen of the images.

By row, as the processor hands it on (`Look`), and for a left-padded batch, as the first pass takes it (`beside`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Look", "Seen", "beside"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """An image as encoder and projector make it out."""

    features: Any
    """Their output as transformers hands it on, with `pooler_output`; on the CPU."""
    sizes: Mapping[str, torch.Tensor]
    """What the model is told of the image beside its pixels, such as its grid of patches: each (1, …)."""
    digest: int
    """Of the numbers that the processor makes of the image, 60 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """The images of a row, and the kinds of its tokens."""

    seen: tuple[Seen, ...]
    """Its images, in the order of their tokens."""
    kinds: Mapping[str, tuple[int, ...]]
    """Kind of each token of the prompt, 0 for text, by the name that the model knows it under; what follows is text."""


def beside(model: Any, ids: torch.Tensor, mask: torch.Tensor, looks: Sequence[Look]) -> dict[str, Any]:
    """Everything that the first pass over a batch is given beside ids and mask: positions among it.

    Args:
        model: the whole model.
        ids: (rows, width), left-padded; each prompt at the start of its row, with what follows it.
        mask: (rows, width), 1 where a token is real.
        looks: one a row.
    """
    seen = [one for look in looks for one in look.seen]
    kinds = {name: _kinds(name, looks, mask) for name in looks[0].kinds}
    sizes = {name: torch.cat([one.sizes[name] for one in seen]).to(ids.device) for name in seen[0].sizes}
    positions = model._prepare_position_ids_for_generation(ids, {"attention_mask": mask, **kinds, **sizes})
    encoded = inspect.signature(model.base_model.get_image_features).parameters
    left = {name: value for name, value in sizes.items() if name not in encoded}
    return {**left, **kinds, "position_ids": positions, "mm_encoder_outputs": {"image": _joined(seen, ids.device)}}


def _kinds(name: str, looks: Sequence[Look], mask: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(mask)
    for row, (look, length) in enumerate(zip(looks, mask.sum(dim=1).tolist(), strict=True)):
        kinds = torch.tensor(look.kinds[name], dtype=mask.dtype, device=mask.device)
        start = mask.shape[1] - length
        found[row, start : start + len(kinds)] = kinds
    return found


_FIELDS = ("pooler_output", "deepstack_features")
"""What the language model reads of an encoder's output: what comes in with its tokens, and what is added in layers."""


def _joined(seen: Sequence[Seen], device: torch.device) -> Any:
    """The features of several images as those of one batch."""
    first = seen[0].features
    joined = {"pooler_output": _all([one.features.pooler_output for one in seen], device)}
    if getattr(first, "deepstack_features", None) is not None:
        layers = zip(*(one.features.deepstack_features for one in seen), strict=True)
        joined["deepstack_features"] = [_all(layer, device) for layer in layers]
    return type(first)(**joined)


def _all(parts: Sequence[Any], device: torch.device) -> Any:
    """Tensors, (images, …), or lists with one a image, one behind the other."""
    if isinstance(parts[0], torch.Tensor):
        return torch.cat([part.to(device) for part in parts])
    return [one.to(device) for part in parts for one in part]


def kept(features: Any) -> Any:
    """An encoder's output with what the language model reads of it, on the CPU."""
    cpu = torch.device("cpu")
    found = {"pooler_output": _all([features.pooler_output], cpu)}
    if getattr(features, "deepstack_features", None) is not None:
        found["deepstack_features"] = [_all([layer], cpu) for layer in features.deepstack_features]
    return type(features)(**found)
