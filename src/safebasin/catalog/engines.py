"""The engines that the catalogue names. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

ENGINES: tuple[Row, ...] = (
    Row(
        kind="engine",
        name="hf",
        target="safebasin.engines.hf:HFEngine",
        summary="transformers on CPU, CUDA or MPS: the reference engine.",
        source="safebasin",
        facts=(("stops", "none verdict loop"),),
    ),
    Row(
        kind="engine",
        name="vllm",
        target="safebasin.engines.vllm.engine:VLLMEngine",
        summary="vLLM, whose workers make the weights of each point from its recipe; tested against hf at every start.",
        source="safebasin",
        facts=(("stops", "none verdict loop"), ("extra", "vllm")),
    ),
    Row(
        kind="engine",
        name="scripted",
        target="safebasin.engines.scripted:ScriptedEngine",
        summary="A fake that says what a function of conversation and point says, for tests of plugins.",
        source="safebasin",
        facts=(("stops", "none verdict loop"),),
    ),
)
