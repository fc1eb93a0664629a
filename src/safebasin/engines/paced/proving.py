"""Whether a model may be decoded at each row's own pace by the pass of `wrapped`: tried, not listed.

Random tokens, as many as a row can get, are read by the model itself and by that pass, and logits must be equal up to
the rounding of float32; then once more as two parts of one pass.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, get_layer_types_and_kwargs

from safebasin.engines.cache import attempt
from safebasin.engines.paced.reading import read
from safebasin.engines.paced.wrapped import AnyModel, Layout
from safebasin.models.loading import n_embeddings
from safebasin.models.spreading import devices_of

__all__ = ["any_model"]

_log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Largest difference of a logit, in standard deviations of all, that is taken for rounding. A wrong mask, or a position
one off, makes one of tenths."""
_STEP, _SHORT = 64, 24
"""Rows of a multiple of so many tokens are tried, beside one of so few."""
_TAKEN = ("attention_mask", "logits_to_keep", "past_key_values", "position_ids")
_MOVING_ROPE = ("dynamic", "longrope")


@dataclass(frozen=True)
class _Proof:
    """A layout, None where the model is not served; and up to which length of rows that holds."""

    layout: Layout | None
    longest: float


_PROVEN: WeakKeyDictionary[PreTrainedModel, _Proof] = WeakKeyDictionary()


def any_model(model: PreTrainedModel, longest: int) -> AnyModel | None:
    """The pass of a float32 model; None where it is not served.

    Args:
        model: in eval mode. It is tried once; what is found is remembered, whatever its weights become.
        longest: the most tokens that a row can get; it is tried again where that is more than before.
    """
    if model.dtype != torch.float32 or model.config._attn_implementation not in ("sdpa", "eager"):
        return None
    if len(devices_of(model)) > 1:  # a ragged cache is on one device
        return None
    # a hook may count on passes of whole prompts and then of single tokens
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        return None
    known = _PROVEN.get(model)
    if known is None or longest > known.longest:
        known = _proof(model, longest)
        if known is None:
            return None
        _PROVEN[model] = known
    return None if known.layout is None else AnyModel(model, known.layout, longest)


@torch.inference_mode()
def _proof(model: PreTrainedModel, longest: int) -> _Proof | None:
    """Try it; None where nothing can be told, since the model says nothing finite under its weights."""
    never = _Proof(None, float("inf"))
    most = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or longest
    n_tried = max(min(-(-longest // _STEP) * _STEP, most), longest)

    def told(why: str) -> None:
        _log.debug("%s takes one token a pass: %s", type(model).__name__, why)

    with attempt(told):
        layout = _layout(model)
        if layout is None:
            return never
        trial = _Trial(model, layout, n_tried)
        difference = trial.apart()
        if difference <= TOLERANCE:
            return _Proof(replace(layout, at_once=_at_once(trial)), n_tried)
        if not np.isfinite(difference):
            return None
        told(f"logits differ by {difference:.2g}")
    return never


def _at_once(trial: _Trial) -> bool:
    """Whether several parts may take one pass of a model that is served."""
    with attempt():
        return trial.at_once() <= TOLERANCE
    return False


def _layout(model: PreTrainedModel) -> Layout | None:
    config = model.config.get_text_config(decoder=True)
    rope = cast("dict[str, Any]", getattr(config, "rope_parameters", None) or {})
    ropes = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    if any(r.get("rope_type") in _MOVING_ROPE for r in ropes) or not model._supports_default_dynamic_cache():  # pyright: ignore[reportCallIssue]
        return None
    if any(name not in inspect.signature(model.forward).parameters for name in _TAKEN):
        return None
    layers = DynamicCache(config=config).layers
    kinds, sizes = get_layer_types_and_kwargs(config)
    windows = {size["sliding_window"] for size in sizes if "sliding_window" in size}
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers) or len(windows) > 1:
        return None
    if not {*kinds} <= {"full_attention", "sliding_attention"}:
        return None
    shapes = _shapes(model)
    if len(shapes) != len(layers):
        return None
    return Layout(shapes, tuple(kinds), windows.pop() if windows else None)


def _shapes(model: PreTrainedModel) -> tuple[tuple[int, int, int], ...]:
    """Heads, key width and value width of each layer, from reading one token."""
    cache = DynamicCache()
    ids = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    model(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=cache, use_cache=True)
    layers = cast("list[DynamicLayer]", cache.layers)
    held = [(cast("torch.Tensor", layer.keys), cast("torch.Tensor", layer.values)) for layer in layers]
    if any(keys.dim() != 4 or values.shape[:3] != keys.shape[:3] for keys, values in held):
        return ()
    return tuple((keys.shape[1], keys.shape[3], values.shape[3]) for keys, values in held)


class _Trial:
    """Two rows of random tokens, what the model says after each of their last five, and how our pass differs from that.

    Differences are the largest of a logit, in standard deviations of all; NaN where one is broken.

    Args:
        model: the model.
        layout: of its cache.
        n: tokens of the longer row.
    """

    def __init__(self, model: PreTrainedModel, layout: Layout, n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        lengths = (n, min(n, _SHORT) - 5)
        self._rows = [torch.randint(n_embeddings(model), (max(m, 6),), generator=generator).tolist() for m in lengths]
        self._own = torch.stack([_own(model, row) for row in self._rows])
        self._forward = AnyModel(model, replace(layout, at_once=True), max(map(len, self._rows)))
        self._cache = read(self._forward, [row[:-4] for row in self._rows])
        self._read = self._cache.lengths

    def apart(self) -> float:
        """After a wrong guess, which has to leave no trace: one token of either row, and then four."""
        self._forward(self._cache.parts([(slice(0, 2), self._tokens(slice(0, 2), slice(0, 3)))]))
        return self._difference([[(slice(0, 2), 1)], [(slice(0, 2), 4)]])

    def at_once(self) -> float:
        """One token of one row beside four of the other, and then the other way round."""
        first, second = slice(0, 1), slice(1, 2)
        return self._difference([[(first, 1), (second, 4)], [(first, 4), (second, 1)]])

    def _difference(self, passes: Sequence[Sequence[tuple[slice, int]]]) -> float:
        """Of passes, each of parts: rows, and how many tokens they take."""
        self._cache.lengths = self._read.copy()
        found: list[list[torch.Tensor]] = [[] for _ in self._rows]
        for parts in passes:
            starts = self._cache.lengths - self._read - 5  # of each row, counted from its end
            asked = [
                (rows, self._tokens(rows, slice(start, start + n or None)))
                for rows, n, start in ((rows, n, int(starts[rows][0])) for rows, n in parts)
            ]
            for (rows, n), logits in zip(parts, self._forward(self._cache.parts(asked)), strict=True):
                for row, of in zip(range(2)[rows], logits, strict=True):
                    found[row].append(of)
                self._cache.lengths[rows] += n
        ours = torch.stack([torch.cat(of) for of in found])
        if not bool(self._own.isfinite().all() and ours.isfinite().all()):
            return float("nan")
        return float((ours - self._own).abs().max() / self._own.std())

    def _tokens(self, rows: slice, which: slice) -> torch.Tensor:
        return torch.tensor([row[which] for row in self._rows[rows]], device=self._forward.device)


def _own(model: PreTrainedModel, row: Sequence[int]) -> torch.Tensor:
    """Logits of the model itself after each of the last five tokens of a row, (5, vocabulary)."""
    ids = torch.tensor([list(row)], device=model.device)
    mask = torch.ones_like(ids)
    return model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=5).logits[0].to(torch.float32)
