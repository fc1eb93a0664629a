"""θ₀ and d̂ on an accelerator, as far as they fit there: a point is then summed where the model is.

What does not fit, or is not drawn, comes from the host block by block. The bits are those of the host: noise is drawn
by integers (`philox`), norms were taken on the host, and sums are the same operations (`sums`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from safebasin.protocols import BaseWeights, Delta
from safebasin.weights.kept import KeptRows

__all__ = ["DrawnAnywhere", "OnDevice", "OnHost", "free_bytes"]

_SHARE = 0.4
"""Share of an accelerator's free memory that θ₀ and d̂ may take; the rest is for the key-value cache."""


@runtime_checkable
class DrawnAnywhere(Protocol):
    """A direction whose rows can be made on a device."""

    def rows_on(self, device: torch.device, name: str, start: int, stop: int) -> torch.Tensor | None: ...


def free_bytes(device: torch.device) -> int:
    """Tell how much of a CUDA device's memory θ₀ and d̂ may take now."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(_SHARE * (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)))


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

    Args:
        base: θ₀ on the host.
        device: where.
        budget_bytes: of all that stays there.
    """

    def __init__(self, base: BaseWeights, device: torch.device, *, budget_bytes: int) -> None:
        self._base = base
        self._device = device
        self._kept = KeptRows(budget_bytes)
        self._deltas: dict[int, Delta] = {}  # held, so that no other takes the identity of one that is gone

    def base_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of θ₀, never to be written to."""
        key = ("θ₀", name, start, stop)
        rows = self._kept.get(key)
        if rows is None:
            rows = self._base.rows(name, start, stop).to(self._device)
            self._kept.put(key, rows)
        return rows

    def delta_rows(self, delta: Delta, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of a direction, never to be written to; None where it leaves the tensor alone."""
        self._deltas[id(delta)] = delta
        key = (id(delta), name, start, stop)
        rows = self._kept.get(key)
        if rows is None:
            rows = self._made(delta, name, start, stop)
            if rows is not None:
                self._kept.put(key, rows)
        return rows

    def _made(self, delta: Delta, name: str, start: int, stop: int) -> torch.Tensor | None:
        if isinstance(delta, DrawnAnywhere):
            return delta.rows_on(self._device, name, start, stop)
        rows = delta.rows(name, start, stop)
        return None if rows is None else rows.to(self._device)
