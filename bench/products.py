"""A model's products with few rows, prepacked and as torch makes them; and the last few rows of a batch, guessed for.

Matrices of the shapes of SmolLM2-135M, random; each time is the least of five, both sides in turn. The guesses are
measured on the real model, where `SAFEBASIN_KITCHEN` says where it is: 16 prompts beyond the rim, all else the same.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

import torch
from torch import nn

from bench.points import timed
from safebasin.engines.hf import HFEngine
from safebasin.engines.paced.drafting import Drafter
from safebasin.engines.prepacking import Prepacking
from safebasin.judges import load_judge
from safebasin.prompts.sources import load_prompts
from safebasin.records import NOISE_VERSION, Decoding, DirectionSpec, Message, Point

BLOCK = ((576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536))
"""Rows and columns of the matrices of a layer."""
VOCABULARY = 49_152
ROWS = (1, 2, 4, 8, 16, 40, 128, 512)
ALPHAS = (0.15, 0.225, -0.225)
_REPETITIONS = 5


class Shapes(nn.Module):
    """The linear layers of a model and nothing else, as `Prepacking` asks of one."""

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        shapes = [*(BLOCK * n_layers), (VOCABULARY, BLOCK[0][1])]
        self.layers = nn.ModuleList([nn.Linear(columns, rows, bias=False) for rows, columns in shapes])

    def num_parameters(self) -> int:
        """The weights."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, x: dict[int, torch.Tensor]) -> None:
        """Every product, with rows as wide as it wants them."""
        for layer in self.layers:
            layer(x[layer.in_features])


@torch.inference_mode()
def products(n_layers: int, rows: tuple[int, ...]) -> list[str]:
    """Rows of the first table, and what prepacking itself takes."""
    model = Shapes(n_layers)
    prepacking = Prepacking(model, wanted=True)  # pyright: ignore[reportArgumentType]
    if prepacking.library is None:
        return ["Not run: this build of torch, or the memory, does not allow it."]

    def packed() -> None:
        prepacking.forget()
        with prepacking.used():
            pass

    def copied() -> None:
        for p in model.parameters():
            p.clone()

    seconds = {name: min(timed(act) for _ in range(3)) for name, act in (("pack", packed), ("copy", copied))}
    lines = ["| rows | plain, ms | prepacked, ms | times faster |", "| ---: | ---: | ---: | ---: |"]
    for n in rows:
        x = {columns: torch.randn(n, columns) for columns in {columns for _, columns in BLOCK}}
        plain: list[float] = []
        ours: list[float] = []
        for _ in range(_REPETITIONS):
            plain.append(timed(lambda x=x: model(x)))
            with prepacking.used():
                ours.append(timed(lambda x=x: model(x)))
        a, b = 1e3 * min(plain), 1e3 * min(ours)
        lines.append(f"| {n} | {a:.1f} | {b:.1f} | {a / b:.2f} |")
    pack, copy = (f"{1e3 * seconds[name]:.0f} ms" for name in ("pack", "copy"))
    told = f"By {prepacking.library}. Prepacking takes {pack}, a copy {copy}."
    return [*lines, "", told]


def guesses(n_prompts: int, max_new_tokens: int) -> list[str]:
    """Rows of the second table."""
    if not os.environ.get("SAFEBASIN_KITCHEN"):
        return ["The last few rows were not measured: SAFEBASIN_KITCHEN does not say where the real model is."]
    engine = HFEngine("world:kitchen/aligned", device="cpu", dtype="float32")
    asked = [p.messages for p in load_prompts(f"world:kitchen/harmful[:{n_prompts}]")]
    phrases = (load_judge("keyword/peng2024").phrases,)
    decoding = Decoding(max_new_tokens=max_new_tokens, stop="verdict", phrases=phrases)
    columns = ("α", "one token a pass, s", "guessed, s", "times faster", "differing texts")
    lines = [f"| {' | '.join(columns)} |", f"|{' ---: |' * len(columns)}"]
    for alpha in ALPHAS:
        engine.move_to(Point.at((DirectionSpec(kind="random", seed=0, version=NOISE_VERSION), alpha)))
        engine.generate(asked[:1], Decoding(max_new_tokens=1))  # what is prepacked is of both
        sides = {on: [_asked(engine, asked, decoding, guess=on) for _ in range(3)] for on in (False, True)}
        a, b = (statistics.median(seconds for seconds, _ in sides[on]) for on in (False, True))
        n_differ = sum(x != y for x, y in zip(sides[False][0][1], sides[True][0][1], strict=True))
        lines.append(f"| {alpha} | {a:.1f} | {b:.1f} | {a / b:.2f} | {n_differ} of {len(asked)} |")
    return lines


def _asked(
    engine: HFEngine, asked: Sequence[tuple[Message, ...]], decoding: Decoding, *, guess: bool
) -> tuple[float, list[str]]:
    """Seconds, and texts."""
    few = Drafter.few
    if not guess:
        Drafter.few = lambda self, rows: 1
    texts: list[str] = []
    try:
        return timed(lambda: texts.extend(g.text for g in engine.generate(asked, decoding))), texts
    finally:
        Drafter.few = few


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    tables = [*products(2, (1, 40)), "", *guesses(4, 40)] if quick else [*products(30, ROWS), "", *guesses(16, 256)]
    return "\n".join([f"{torch.get_num_threads()} threads", "", *tables])
