"""Quantization as a direction: θ_q − θ₀ of plain rounding to nearest. Does 4-bit leave the basin?

Not a quantizer for use: nothing is packed, calibrated or searched, as GPTQ and AWQ do, which lose less at equal bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from safebasin.errors import StudyError, expected
from safebasin.protocols import BaseWeights, Delta
from safebasin.records import DirectionSpec
from safebasin.weights.layout import Layout, is_fused_experts, layout_of, row_blocks
from safebasin.weights.selection import selected
from safebasin.weights.target_text import QUANT_VERSION, quant_levels

__all__ = ["QuantDelta", "Quantized"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantDelta:
    """θ_q − θ₀ in float64, θ_q rounded to the dtype of θ₀ as a checkpoint of it would be."""

    base: BaseWeights
    levels: int
    names: frozenset[str]
    """Tensors that are quantized."""
    peaks: Mapping[str, torch.Tensor]
    """max |θ₀| of each output channel, where these are columns and not rows. Float64."""

    def moves(self, name: str) -> bool:
        """Tell whether α = 1 has to be θ_q bit for bit in this tensor."""
        return name in self.names

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of θ_q in the dtype of θ₀."""
        rows = self.base.rows(name, start, stop)
        wide = rows.double()
        peaks = self.peaks[name] if name in self.peaks else wide.abs().amax(dim=-1, keepdim=True)
        scales = peaks / self.levels
        rounded = torch.where(scales > 0, torch.round(wide / scales), 0.0) * scales
        return rounded.to(rows.dtype)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the difference in float64, or None where a tensor is not quantized."""
        if not self.moves(name):
            return None
        return self.reached(name, start, stop).double() - self.base.rows(name, start, stop).double()


class Quantized:
    """θ_q − θ₀ of symmetric rounding to nearest, one scale for each output channel; target `int8` or `int4`.

    s = max|θ| / L over the channel, θ_q = s · round(θ / s), L = 127 or 7, ties to the even integer: the absmax
    quantization of Dettmers et al. 2022, arXiv 2208.07339, §2, a scale a channel, outliers not set apart. In float64,
    then one cast to the dtype of θ₀.
    An output channel is a row of axis 0 (a column where the layer stores its weight as (in, out), as GPT-2 does), and
    a row within each expert where a tensor holds all experts of a layer.

    Weight matrices only, routers of experts included: biases, norm layers, embeddings and the head that maps to tokens
    stay as they are, as most quantizers leave them. Where the head is tied, it is the embedding.
    """

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        """Find the matrices, and the scales of those whose channels are columns.

        Raises:
            StudyError: where the scheme is not known, or `only` leaves no matrix.
        """
        levels = quant_levels(spec.target)
        layout = layout_of(base)
        names = frozenset(n for n in selected(spec, base, drawn=True) if _is_matrix(n, layout))
        if not names:
            remedy = "Embeddings, heads, norm layers and biases are not quantized."
            raise StudyError(expected("only", "a pattern that some weight matrix matches", spec.only, remedy))
        peaks = {name: _column_peaks(base, name) for name in names & layout.transposed}
        return QuantDelta(base=base, levels=levels, names=names, peaks=peaks)

    def identity(self, spec: DirectionSpec) -> str:
        """The scheme by its levels, and the version of the rounding.

        Raises:
            StudyError: where the scheme is not known.
        """
        return f"quant {quant_levels(spec.target)} v{QUANT_VERSION}"


def _is_matrix(name: str, layout: Layout) -> bool:
    shape = layout.shapes[name]
    return (len(shape) == 2 or is_fused_experts(name, shape)) and name not in layout.vocabulary


def _column_peaks(base: BaseWeights, name: str) -> torch.Tensor:
    blocks = [base.rows(name, start, stop).double().abs().amax(dim=0) for start, stop in row_blocks(base.shape(name))]
    return torch.stack(blocks).amax(dim=0)
