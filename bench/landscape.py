"""The whole landscape of the real model of 135 M parameters, in exact and fast mode, against the published protocol.

The aligned model of `world:kitchen` (where `SAFEBASIN_KITCHEN` says where it is), 40 prompts, 9 points, 256 tokens,
float32, as many threads as torch has on both sides; with workers, an engine of one thread for each processor. Three
repetitions of three points each cover the grid, and each gives a ratio; fast mode measures the whole grid in each of
three repetitions.
"""

from __future__ import annotations

import os

import torch

from bench import speed
from safebasin.processors import usable
from safebasin.prompts.sources import load_prompts
from safebasin.study import parse_range

MODEL = "world:kitchen/aligned"
SPREAD = "-0.3:0.3:9"
ALPHAS = parse_range(SPREAD)
RULES = ("none", "verdict")
SIDE_BY_SIDE = "verdict --backend processes"


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    if not os.environ.get("SAFEBASIN_KITCHEN"):
        return "Not run: SAFEBASIN_KITCHEN does not say where the real model is."
    n_prompts, max_new_tokens = (4, 40) if quick else (40, 256)
    source = f"world:kitchen/harmful[:{n_prompts}]"
    prompts = load_prompts(source)
    rows: dict[str, list[tuple[speed.Side, speed.Side]]] = {rule: [] for rule in (*RULES, SIDE_BY_SIDE)}
    for repetition in range(3):
        alphas = ALPHAS[repetition::3]
        base = speed.baseline(prompts, alphas, max_new_tokens, model=MODEL)
        for rule in RULES:
            rows[rule].append((base, speed.ours(prompts, alphas, max_new_tokens, rule, model=MODEL)))
        side = speed.by_workers(source, alphas, max_new_tokens, "verdict", model=MODEL, workers=usable())
        rows[SIDE_BY_SIDE].append((base, side))
    told = f"`{MODEL}`, {n_prompts} prompts, {max_new_tokens} new tokens, {torch.get_num_threads()} threads"
    beside = speed.fast_side(rows, MODEL, (n_prompts, max_new_tokens), SPREAD)
    return f"{told}\n\n{speed.table(rows)}\n\n{beside}"
