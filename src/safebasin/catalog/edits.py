"""The edits that the catalogue names: what makes one model of another without training it on rows. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

EDITS: tuple[Row, ...] = (
    Row(
        kind="edit",
        name="worst_case",
        target="safebasin.edits.worst_case:worst_case",
        summary="A low-rank adapter that makes the model stop refusing fastest, from its own refusals; an attack.",
        source="safebasin; the loss after Welleck et al. 2019, arXiv 1908.04319",
    ),
    Row(
        kind="edit",
        name="dequantized",
        target="safebasin.edits.dequantized:Dequantizing",
        summary="The plain weights that a quantized checkpoint stands for.",
        source="safebasin",
    ),
)
