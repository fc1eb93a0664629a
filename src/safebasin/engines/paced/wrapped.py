"""The forward pass of any transformers model over rows of their own lengths, where it is proven to be the model's own.

The model is shown the rows' keys and values as a cache of its kind, and told by a mask of four dimensions what each
token may look at. That serves causal attention, full or within a window, whose positions are arguments; whether it
serves an architecture is not listed anywhere but tried: random tokens, as many as a row can get, are read both ways,
and logits must be equal up to the rounding of float32.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, get_layer_types_and_kwargs

from safebasin.engines.cache import CANNOT, is_shortage
from safebasin.engines.paced.grouped import attending
from safebasin.engines.paced.reading import read
from safebasin.engines.ragged import Part, RaggedCache
from safebasin.models.loading import n_embeddings
from safebasin.models.spreading import devices_of

__all__ = ["AnyModel", "any_model"]

_log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Largest difference of a logit, in standard deviations of all, that is taken for rounding. A wrong mask, or a position
one off, makes one of tenths."""
_STEP, _SHORT = 64, 24
"""Rows of a multiple of so many tokens are tried, beside one of so few."""
_TAKEN = ("attention_mask", "logits_to_keep", "past_key_values", "position_ids")
_MOVING_ROPE = ("dynamic", "longrope")


@dataclass(frozen=True)
class Layout:
    """Shapes of a model's cache and kinds of its masks: heads, key width and value width of each layer; attention."""

    shapes: tuple[tuple[int, int, int], ...]
    kinds: tuple[str, ...]
    window: int | None


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


class AnyModel:
    """The forward pass over the next tokens of rows that are in a cache (`passes.Pass`).

    Args:
        model: the model.
        layout: of its cache.
        longest: the most tokens that a row can get: what is tried beyond has no position of its own.
    """

    def __init__(self, model: PreTrainedModel, layout: Layout, longest: int) -> None:
        self._model = model
        self._layout = layout
        self._longest = longest
        self.vocabulary = n_embeddings(model)
        self.at_once = False  # a module takes rows of equally many tokens

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self._model.device

    def empty_cache(self, n_rows: int) -> RaggedCache:
        """A cache of rows that hold nothing yet."""

        def empty(heads: int, width: int) -> torch.Tensor:
            return torch.empty(n_rows, heads, 0, width, dtype=torch.float32, device=self.device)

        layers = [(empty(heads, keys), empty(heads, values)) for heads, keys, values in self._layout.shapes]
        return RaggedCache(layers, np.zeros(n_rows, dtype=np.int64))

    def __call__(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Logits, (rows, n, vocabulary), after each of the tokens of each part."""
        return [self._run(*part, n_logits=part.tokens.shape[1]).to(torch.float32) for part in parts]

    def read(self, tokens: torch.Tensor, cache: RaggedCache) -> None:
        """Write the next n tokens of each row, (rows, n), to the cache; its lengths stay."""
        self._run(tokens, cache, n_logits=1)

    def _run(self, tokens: torch.Tensor, cache: RaggedCache, *, n_logits: int) -> torch.Tensor:
        n = tokens.shape[1]
        cache.reserve(n)
        at, length = cache.positions(n), int(cache.lengths.max()) + n
        with attending(self._model):
            return self._model(
                input_ids=tokens,
                attention_mask=self._masks(at, length),
                position_ids=at.clamp(max=self._longest - 1),
                past_key_values=_shown(cache, n, length),
                use_cache=True,
                logits_to_keep=n_logits,
                return_dict=True,
            ).logits

    def _masks(self, at: torch.Tensor, length: int) -> torch.Tensor | dict[str, torch.Tensor]:
        """What a token at each position, (rows, n), may look at: (rows, 1, n, length), 0 or -inf, by kind of layer."""
        back = at[:, None, :, None] - torch.arange(length, device=at.device)  # (rows, 1, n, length): ≥ 0 is behind
        found: dict[str, torch.Tensor] = {}
        for kind in self._layout.kinds:
            hidden = back < 0
            if kind == "sliding_attention":
                hidden |= back >= cast("int", self._layout.window)
            found[kind] = torch.zeros(hidden.shape, device=at.device).masked_fill_(hidden, float("-inf"))
        return found if len(found) > 1 else next(iter(found.values()))


def _shown(cache: RaggedCache, n: int, length: int) -> DynamicCache:
    """The cache as transformers wants one; it takes n tokens, and then holds `length` columns."""
    columns = {heads: cache.columns(n, heads) for heads in set(cache.heads)}
    shown = DynamicCache()
    shown.layers.extend(_Layer(cache, at, columns[heads], length) for at, heads in enumerate(cache.heads))
    return shown


class _Layer(DynamicLayer):
    """One layer of a ragged cache, for one pass."""

    def __init__(self, cache: RaggedCache, at: int, columns: torch.Tensor, length: int) -> None:
        super().__init__()
        self._cache, self._at, self._columns, self._length = cache, at, columns, length
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new states, (rows, heads, n, width), each row's behind its own end."""
        self.keys, self.values = self._cache.write(self._at, key_states, value_states, self._columns, self._length)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Count the columns before this pass."""
        return int(self._cache.lengths.max())


# --- whether a model is served ----------------------------------------------------------------------------------------


@torch.inference_mode()
def _proof(model: PreTrainedModel, longest: int) -> _Proof | None:
    """Try it; None where nothing can be told, since the model says nothing finite under its weights."""
    never = _Proof(None, float("inf"))
    most = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or longest
    n_tried = max(min(-(-longest // _STEP) * _STEP, most), longest)
    try:
        layout = _layout(model)
        if layout is None:
            return never
        difference = _difference(model, layout, n_tried)
    except CANNOT as error:
        if is_shortage(error):
            raise
        _log.debug("%s takes one token a pass: %s", type(model).__name__, " ".join(str(error).split())[:200])
        return never
    if not np.isfinite(difference):
        return None
    if difference > TOLERANCE:
        _log.debug("%s takes one token a pass: logits differ by %.2g", type(model).__name__, difference)
        return never
    return _Proof(layout, n_tried)


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
    return Layout(shapes, tuple(dict.fromkeys(kinds)), windows.pop() if windows else None)


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


def _difference(model: PreTrainedModel, layout: Layout, n: int) -> float:
    """Largest difference of a logit of the last tokens of two rows, in standard deviations; NaN where one is broken."""
    generator = torch.Generator().manual_seed(0)
    lengths = (n, min(n, _SHORT) - 5)
    rows = [torch.randint(n_embeddings(model), (max(m, 6),), generator=generator).tolist() for m in lengths]
    own = torch.stack([_own(model, row) for row in rows])
    forward = AnyModel(model, layout, max(map(len, rows)))
    cache = read(forward, [row[:-4] for row in rows])
    # a wrong guess, which has to leave no trace; then one token, and then four
    forward([Part(torch.tensor([row[:3] for row in rows], device=forward.device), cache)])
    found: list[torch.Tensor] = []
    for part in (slice(-5, -4), slice(-4, None)):
        tokens = torch.tensor([row[part] for row in rows], device=forward.device)
        found += forward([Part(tokens, cache)])
        cache.lengths = cache.lengths + tokens.shape[1]
    ours = torch.cat(found, dim=1)
    if not bool(own.isfinite().all() and ours.isfinite().all()):
        return float("nan")
    return float((ours - own).abs().max() / own.std())


def _own(model: PreTrainedModel, row: Sequence[int]) -> torch.Tensor:
    """Logits of the model itself after each of the last five tokens of a row, (5, vocabulary)."""
    ids = torch.tensor([list(row)], device=model.device)
    mask = torch.ones_like(ids)
    return model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=5).logits[0].to(torch.float32)
