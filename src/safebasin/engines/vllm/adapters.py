"""Adapters that vLLM serves beside the weights: which can be, what vLLM is told at its start, a copy for each point.

A point along an adapter is a copy of it, times α, so that many points are one running batch. Not whether vLLM does it
rightly: `selftest` compares a copy with the merged weights.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safebasin.models.reference import locate_adapter
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapter_copies import rank_of, shape_of, why_merged, write_copy
from safebasin.weights.adapters import AdapterFiles, read_adapter
from safebasin.weights.layout import Layout

__all__ = ["AT_ONCE", "AdapterRoad", "Adapters", "Copies", "sort_out", "why_all_merged"]

AT_ONCE = 8
"""Adapters in one running batch: as many copies of the largest are held beside the weights."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for."""
_NUMBERS = itertools.count(1)
"""Of copies: vLLM keeps what it has read under a number, whatever is asked for under it later."""
AdapterRoad = Literal["auto", "merged", "unmerged"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """The adapters among the directions that an engine is told of."""

    beside: Mapping[DirectionSpec, AdapterFiles] = field(default_factory=dict[DirectionSpec, AdapterFiles])
    """Those of which a copy beside the weights will do."""
    merged: Mapping[DirectionSpec, str] = field(default_factory=dict[DirectionSpec, str])
    """Those that have to be summed with the weights, each with the reason."""

    def without(self, reasons: Mapping[DirectionSpec, str]) -> Adapters:
        """The same, some of them merged for reasons that are logged."""
        for spec, why in reasons.items():
            _log.warning("%s is merged into the weights: %s", spec.label(), why)
        beside = {spec: adapter for spec, adapter in self.beside.items() if spec not in reasons}
        return Adapters(beside=beside, merged={**self.merged, **reasons})

    def shapes(self) -> dict[DirectionSpec, object]:
        """Shapes by direction, which decide how vLLM serves each; equal where two differ in numbers alone."""
        return {spec: shape_of(spec, adapter) for spec, adapter in self.beside.items()}

    def settings(self) -> dict[str, Any]:
        """Arguments of `vllm.LLM` that make room for them; none where there are none.

        Only the layers that they move are prepared for it: the head, which scores texts, stays as it is.
        """
        if not self.beside:
            return {}
        rank = max(rank_of(spec, adapter) for spec, adapter in self.beside.items())
        names = {name.split(".")[-2] for spec, found in self.beside.items() for name, _ in shape_of(spec, found)}
        return {
            "enable_lora": True,
            "max_loras": AT_ONCE,
            "max_lora_rank": next(room for room in _RANKS if room >= rank),
            "lora_target_modules": sorted(names),
        }

    def described(self, worst: float, tolerance: float) -> dict[str, object]:
        """As JSON, for the manifest: which are served how, and what the cross-check saw; nothing where none was told.

        Args:
            worst: the largest difference from merged weights, in nats.
            tolerance: how much it may be.
        """
        if not (self.beside or self.merged):
            return {}
        found: dict[str, object] = {
            "unmerged": [spec.label() for spec in self.beside],
            "merged": {spec.label(): why for spec, why in self.merged.items()},
        }
        if self.beside:
            check = {"largest_difference_nats": worst, "tolerance_nats": tolerance}
            found |= {"at_once": AT_ONCE, "cross_check": check}
        return {"adapters": found}


def why_all_merged(road: AdapterRoad, device: str) -> str | None:
    """Tell why every adapter is merged; None where each is served beside the weights if it can be."""
    if road == "auto" and device == "cpu":
        return "beside them it takes vLLM three times as long on a CPU; vllm(adapters=unmerged) does so"
    return "as adapters=merged asks" if road == "merged" else None


def sort_out(directions: Sequence[DirectionSpec], layout: Layout, *, reason: str | None = None) -> Adapters:
    """Read the adapters among some directions, and tell which can be served beside the weights of a model.

    Args:
        directions: of any kind.
        layout: of the model.
        reason: why all of them are merged, if they are.

    Raises:
        ModelError: where one is no sum of ΔW and the weights of this model (DoRA), which merging would find too.
    """
    beside: dict[DirectionSpec, AdapterFiles] = {}
    merged: dict[DirectionSpec, str] = {}
    for spec in directions:
        if spec.kind != "adapter":
            continue
        adapter = read_adapter(locate_adapter(spec.target or ""), layout)
        why = reason or why_merged(spec, adapter, layout)
        if why is None and (rank := rank_of(spec, adapter)) > _RANKS[-1]:
            why = f"its rank {rank} is above {_RANKS[-1]}, the most that vLLM makes room for"
        if why is None:
            beside[spec] = adapter
        else:
            merged[spec] = why
    if reason is not None:
        return Adapters(merged=merged)
    return Adapters(beside=beside).without(merged)


class Copies:
    """Adapters times α in a folder of their own, one for each point that is served now; gone with this object.

    Args:
        adapters: by direction.
    """

    def __init__(self, adapters: Mapping[DirectionSpec, AdapterFiles]) -> None:
        self._adapters = adapters
        self._folder: Path | None = None
        self._there: dict[Point, tuple[int, Path]] = {}

    def serves(self, point: Point) -> bool:
        """Tell whether a point is a copy beside the weights of θ₀."""
        return len(point.terms) == 1 and point.terms[0][0] in self._adapters

    def requests(self, points: Sequence[Point]) -> list[Any]:
        """Make a `LoRARequest` for the prompts of each point; copies of any others are removed.

        vLLM may read a copy again at any time, as long as it is asked for.
        """
        from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="safebasin-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        for point in self._there.keys() - set(points):
            shutil.rmtree(self._there.pop(point)[1], ignore_errors=True)
        for point in points:
            if point not in self._there:
                spec, alpha = point.terms[0]
                number = next(_NUMBERS)
                folder = self._folder / str(number)
                write_copy(spec, alpha, self._adapters[spec], folder)
                self._there[point] = number, folder
        there = (self._there[point] for point in points)
        return [LoRARequest(f"{number}", number, str(folder)) for number, folder in there]
