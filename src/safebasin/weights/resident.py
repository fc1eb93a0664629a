"""θ₀ and d̂ on an accelerator, as far as they fit there: a point is then summed where the model is.

What does not fit, or is not drawn, comes from the host block by block, from page-locked memory as far as a share of the
host's reaches. The bits are those of the host: noise is drawn
by integers (`philox`), norms were taken on the host, and sums are the same operations (`sums`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from safebasin import memory
from safebasin.protocols import BaseWeights, Delta
from safebasin.weights.base import MappedWeights
from safebasin.weights.kept import KeptRows

__all__ = ["DrawnAnywhere", "OnDevice", "OnHost", "free_bytes", "page_locked", "pinnable_bytes"]

_SHARE = 0.4
"""Share of an accelerator's free memory that θ₀ and d̂ may take; the rest is for the key-value cache."""
_PINNED_SHARE = 0.1
"""Share of the host's available memory that rows in page-locked memory may take, which no process can swap: at most a
fifth, since torch rounds each up to a power of two, and each worker on a machine takes its own.
"""


@runtime_checkable
class DrawnAnywhere(Protocol):
    """A direction whose rows can be made on a device."""

    @property
    def is_drawn_anywhere(self) -> bool: ...
    def rows_on(self, device: torch.device, name: str, start: int, stop: int) -> torch.Tensor | None: ...


def free_bytes(device: torch.device) -> int:
    """Tell how much of a CUDA device's memory θ₀ and d̂ may take now."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(_SHARE * (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)))


def pinnable_bytes(base: BaseWeights) -> int:
    """Tell how much of the host's memory may be page-locked for θ₀ and d̂ now; none where θ₀ stays in its files."""
    return 0 if isinstance(base, MappedWeights) else int(_PINNED_SHARE * memory.available())


def page_locked(rows: torch.Tensor) -> torch.Tensor | None:
    """Copy rows into memory that a CUDA device reads by itself; None where the system grants none."""
    try:
        return rows.pin_memory()
    except RuntimeError:
        return None


@dataclass(frozen=True, slots=True)
class OnHost:
    """Rows where θ₀ and directions keep them."""

    base: BaseWeights

    def base_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of θ₀, never to be written to."""
        return self.base.rows(name, start, stop)

    def delta_rows(self, delta: Delta, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of a direction, never to be written to; None where it leaves the tensor alone."""
        return delta.rows(name, start, stop)


class OnDevice:
    """Rows of θ₀ and of prepared directions on one device.

    What does not fit there is copied at each point anew, from page-locked memory of the host as far as that reaches;
    but what the device draws itself is drawn anew, which moves nothing.

    Args:
        base: θ₀ on the host.
        device: where.
        budget_bytes: of all that stays there.
        pinned_bytes: of all that stays in page-locked memory for it.
    """

    def __init__(self, base: BaseWeights, device: torch.device, *, budget_bytes: int, pinned_bytes: int = 0) -> None:
        self._base = base
        self._device = device
        self._kept = KeptRows(budget_bytes)
        self._pinned = KeptRows(pinned_bytes)
        self._may_pin = True
        self._deltas: dict[int, Delta] = {}  # held, so that no other takes the identity of one that is gone

    def base_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of θ₀, never to be written to."""
        key = ("θ₀", name, start, stop)
        found = self._found(key)
        return self._brought(key, self._base.rows(name, start, stop)) if found is None else found

    def delta_rows(self, delta: Delta, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of a direction, never to be written to; None where it leaves the tensor alone."""
        self._deltas[id(delta)] = delta
        key = (id(delta), name, start, stop)
        found = self._found(key)
        if found is not None:
            return found
        if isinstance(delta, DrawnAnywhere) and delta.is_drawn_anywhere:
            drawn = delta.rows_on(self._device, name, start, stop)
            if drawn is not None:
                self._kept.put(key, drawn)
            return drawn
        rows = delta.rows(name, start, stop)
        return None if rows is None else self._brought(key, rows)

    def _found(self, key: Hashable) -> torch.Tensor | None:
        """What is kept here or in page-locked memory, which is never written to, so that nobody waits for the copy."""
        if (pinned := self._pinned.get(key)) is not None:
            return pinned.to(self._device, non_blocking=True)
        return self._kept.get(key)

    def _brought(self, key: Hashable, rows: torch.Tensor) -> torch.Tensor:
        """Rows of the host here, and kept for the next point where they fit."""
        there = rows.to(self._device)
        if self._kept.fits(there):
            self._kept.put(key, there)
        elif self._may_pin and self._pinned.fits(rows):
            pinned = page_locked(rows)
            self._may_pin = pinned is not None  # once refused, not asked for again
            if pinned is not None:
                self._pinned.put(key, pinned)
        return there
