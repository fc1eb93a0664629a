"""The worlds that the catalogue names. Facts only: `range` and `max_new_tokens` are the defaults of a map.

`defenses` are those that are compared where none is named.
"""

from __future__ import annotations

from safebasin.catalog.row import Row

WORLDS: tuple[Row, ...] = (
    Row(
        kind="world",
        name="guild",
        target="safebasin.worlds.guild.world:WORLD",
        summary="A fictional crafts guild with two small checkpoints and exact ground truth, offline.",
        source="safebasin, after Jain et al. 2024, arXiv 2407.10264",
        facts=(
            ("range", "-1.5:1.5:21"),
            ("max_new_tokens", "128"),
            ("judge", "oracle"),
            (
                "defenses",
                "mix_safe(amount=10); sppft(layers=1-2); safe_lora(unaligned=world:guild/base); "
                "resta(unaligned=world:guild/base); scans",
            ),
        ),
    ),
    Row(
        kind="world",
        name="kitchen",
        target="safebasin.worlds.kitchen.world:WORLD",
        summary="A real chat model of 135 M parameters that refuses a harmless topic, cooking; built in minutes.",
        source="safebasin; SmolLM2-135M-Instruct by Hugging Face, Apache-2.0",
        facts=(("range", "-0.3:0.3:21"), ("max_new_tokens", "96"), ("judge", "rule/kitchen")),
    ),
    Row(
        kind="world",
        name="pcfg",
        target="safebasin.worlds.pcfg.world:WORLD",
        summary="Tasks on strings of a probabilistic grammar, safe or not by both; five models, built in minutes.",
        source="safebasin, after Jain et al. 2024, arXiv 2407.10264",
        facts=(("range", "-1:1:21"), ("max_new_tokens", "16"), ("judge", "oracle/pcfg")),
    ),
)
