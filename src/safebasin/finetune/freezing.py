"""SPPFT (Li et al. 2025, arXiv 2408.17003): fine-tuning with the layers frozen that tell a harmful request.

A training defense that freezes a band; not how a band is found. No tensor is touched here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.protocols import RowSource, Setup, Stage
from safebasin.weights.blocks import decoder_blocks, inner_parts

__all__ = ["Sppft", "sppft"]

Variant = Literal["paper", "as_coded"]
_BAND = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sppft:
    """A band of layers that stays as it is, while everything else trains (§3.3). LoRA adapts none of its modules."""

    band: tuple[int, int] | None
    """First and last number as written, counted from 0; None freezes nothing."""
    variant: Variant = "paper"
    """`paper`: all parameters of first … last. `as_coded`: attention and MLP of the layers strictly between them; the
    norm layers train."""
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        layers = "none" if self.band is None else f"{self.band[0]}-{self.band[1]}"
        variant = None if self.variant == "paper" else self.variant
        return catalog.write_call("sppft", {"layers": layers, "variant": variant})

    @property
    def layers(self) -> range:
        """Numbers of the layers that are frozen."""
        if self.band is None:
            return range(0)
        first, last = self.band
        return range(first, last + 1) if self.variant == "paper" else range(first + 1, last)

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with these layers frozen; rows, loss and steps stay.

        Raises:
            ModelError: where the blocks of the model cannot be told.
            UsageError: where the band is not within it, or no layer is strictly between its ends (`as_coded`).
        """
        if self.band is None:
            return setup
        if not self.layers:
            remedy = f"Write {max(self.band[0] - 1, 0)}-{self.band[1] + 1}, or none, which freezes nothing."
            got = f"none between {self.band[0]} and {self.band[1]}"
            raise UsageError(expected(f"the layers of {self.name}", "at least one strictly between", got, remedy))
        blocks = decoder_blocks(setup.parameters)
        if self.layers[-1] >= len(blocks):
            shown = f"{self.layers[0]} to {self.layers[-1]}"
            remedy = f"The model has the layers 0 to {len(blocks) - 1}."
            raise UsageError(expected(f"the layers of {self.name}", "layers of this model", shown, remedy))
        frozen = tuple(f"{path}.*" for number in self.layers for path in self._parts(setup, blocks[number]))
        note = f"layers {self.layers[0]} to {self.layers[-1]} of {len(blocks)} are not trained"
        return replace(setup, frozen=(*setup.frozen, *frozen), notes=(*setup.notes, note))

    def _parts(self, setup: Setup, block: str) -> tuple[str, ...]:
        return (block,) if self.variant == "paper" else inner_parts(setup.parameters, block)


def sppft(layers: str | int, variant: Variant = "paper") -> Sppft:
    """Freeze a band of layers while fine-tuning.

    Args:
        layers: first and last, counted from 0: `6-12`, or `6` for one; `none` freezes nothing.
        variant: `paper` freezes all parameters of first to last; `as_coded`, as the published code does, attention and
            MLP of the layers strictly between the two, so that `5-13` freezes 6 to 12 but for their norm layers.

    Raises:
        UsageError: where the band cannot be read.
    """
    if str(layers).strip().lower() == "none":
        return Sppft(band=None, variant=variant)
    match = _BAND.fullmatch(str(layers))
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        remedy = "Write first and last, as in layers=6-12, or none."
        raise UsageError(expected("layers of sppft", "a band counted from 0, or none", layers, remedy))
    return Sppft(band=(first, last), variant=variant)
