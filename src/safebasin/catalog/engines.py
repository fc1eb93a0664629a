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
    ),
    Row(
        kind="engine",
        name="scripted",
        target="safebasin.engines.scripted:ScriptedEngine",
        summary="A fake with scripted replies and real weight bookkeeping, for tests of plugins.",
        source="safebasin",
    ),
)
