"""The embedded worlds that the catalogue names. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

WORLDS: tuple[Row, ...] = (
    Row(
        kind="world",
        name="guild",
        target="safebasin.worlds.guild.world:WORLD",
        summary="A fictional crafts guild with two small checkpoints and exact ground truth, offline.",
        source="safebasin, after Jain et al. 2024, arXiv 2407.10264",
    ),
)
