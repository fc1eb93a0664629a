"""The directions that the catalogue names. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

_PENG = "Peng et al. 2024, arXiv 2405.17374"

DIRECTIONS: tuple[Row, ...] = (
    Row(
        kind="direction",
        name="random",
        target="safebasin.weights.directions:Random",
        summary="Gaussian noise per tensor, scaled to the norm of the weights; norm layers are left alone.",
        source=_PENG + ", §3",
    ),
    Row(
        kind="direction",
        name="to",
        target="safebasin.weights.directions:ToCheckpoint",
        summary="The difference to another checkpoint: α = 0 is the model, α = 1 the other.",
        source=_PENG + ", §3",
        facts=(("target", "model"),),
    ),
    Row(
        kind="direction",
        name="adapter",
        target="safebasin.weights.directions:Adapter",
        summary="The weight difference of a LoRA adapter, ΔW = scaling·B·A: α = 1 is the adapter as trained.",
        source="Hu et al. 2021, arXiv 2106.09685",
        facts=(("target", "adapter"),),
    ),
    Row(
        kind="direction",
        name="quant",
        target="safebasin.weights.directions:Quantized",
        summary="The error of rounding weight matrices to int8 or int4, a scale per output channel: α = 1 is rounded.",
        source="absmax quantization, Dettmers et al. 2022, arXiv 2208.07339, §2",
        facts=(("target", "text"),),
    ),
    Row(
        kind="direction",
        name="scale",
        target="safebasin.weights.directions:Scaled",
        summary="A factor on the weights that `only` names, scale:1.2: α = 1 is scaled.",
        source="Li et al. 2025, arXiv 2408.17003, §3.2",
        facts=(("target", "text"),),
    ),
    Row(
        kind="direction",
        name="task",
        target="safebasin.weights.directions:TaskVector",
        summary="A task vector, the difference of two other checkpoints TUNED,BASE: α = 1 adds it, α = -1 negates it.",
        source="Ilharco et al. 2022, arXiv 2212.04089",
        facts=(("target", "models"),),
    ),
)
