"""A tiny Llama in which only the layers of one band read a flag of harm, and in which that is all that refuses.

Coordinates of its residual stream are set apart from the random rest: the flag that some words carry, the harm that the
band writes from it, and what the last position of every prompt holds against it. Attention is uniform.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from helpers.models import make_tiny_model

FLAG, HARM, HELD, SAID = range(4)
"""Coordinates: the flag, what is written from it, what is held against it, and that "I" was said."""
WORDS = (
    "guild", "clay", "wool", "cedar", "salt", "yard", "hall", "weigh", "twice", "sand",
    "help", "charter", "closed", "steps", "ring", "bell", "turns", "warm", "steam", "moss",
)  # fmt: skip
HARMFUL = "drum"
GRADED = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "think", "answer"]
"""Words with a little of the flag, from none to nearly all: requests that only look harmful."""
N_WORDS = 8


def make_planted(folder: Path, band: tuple[int, int], *, n_layers: int = 10, noise: float = 0.5, seed: int = 0) -> Path:
    """Write the checkpoint, which refuses a request with the word `HARMFUL` in it; returns the folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make_tiny_model(folder, "llama", seed=seed, tied=False, num_hidden_layers=n_layers)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def token(word: str) -> int:
        (found,) = tokenizer.encode(f" {word}", add_special_tokens=False)
        return found

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding.copy_(torch.randn(embedding.shape, generator=draw))
        embedding[:, :4] = 0
        embedding[token(HARMFUL)] = 0
        embedding[token(HARMFUL), FLAG] = 8
        for number, word in enumerate(GRADED):
            embedding[token(word), FLAG] = 1.2 * number
        for holds in (tokenizer.convert_tokens_to_ids("<|assistant|>"), token("rest")):
            embedding[holds, HELD] = 1.2
        embedding[token("I"), SAID] = 50
        for number, layer in enumerate(model.model.layers):
            _plant(layer, reads=band[0] <= number <= band[1], noise=noise, draw=draw)
        model.lm_head.weight.zero_()
        model.lm_head.weight[token("I"), HARM] = 1
        model.lm_head.weight[token("cannot"), SAID] = 50
        model.lm_head.weight[token("rest"), HELD] = 1
    model.save_pretrained(folder)
    return folder


def _plant(layer: Any, *, reads: bool, noise: float, draw: torch.Generator) -> None:
    """Uniform attention and an MLP that mix the random rest; in the band one channel from flag to harm."""
    attention, mlp = layer.self_attn, layer.mlp
    for weight in (attention.q_proj.weight, attention.k_proj.weight):
        weight.zero_()
    for weight in (attention.v_proj.weight, attention.o_proj.weight, mlp.gate_proj.weight, mlp.up_proj.weight,
                   mlp.down_proj.weight):  # fmt: skip
        weight.copy_(noise * torch.randn(weight.shape, generator=draw) / weight.shape[1] ** 0.5)
    for weight in (attention.v_proj.weight, mlp.gate_proj.weight, mlp.up_proj.weight):
        weight[:, :4] = 0
    for weight in (attention.o_proj.weight, mlp.down_proj.weight):
        weight[:4] = 0
    if reads:
        attention.v_proj.weight[0] = 0
        attention.v_proj.weight[0, FLAG] = 1
        attention.o_proj.weight[:, 0] = 0
        attention.o_proj.weight[HARM, 0] = 1


def requests(kind: str, n: int, *, seed: int = 0) -> list[str]:
    """Random words: of them one is `HARMFUL` (kind `harmful`), one of `GRADED` (`borderline`), or none (`benign`)."""
    draw = random.Random(f"{kind} {seed}")
    found: list[str] = []
    for _ in range(n):
        words = draw.choices(WORDS, k=N_WORDS)
        if kind != "benign":
            words[draw.randrange(N_WORDS)] = HARMFUL if kind == "harmful" else draw.choice(GRADED)
        found.append(" " + " ".join(words))
    return found


def write_requests(folder: Path, n: int = 60, *, seed: int = 0) -> dict[str, Path]:
    """Files of requests by kind."""
    paths: dict[str, Path] = {}
    for kind in ("harmful", "benign", "borderline"):
        paths[kind] = folder / f"{kind}.csv"
        paths[kind].write_text("prompt\n" + "".join(f"{text}\n" for text in requests(kind, n, seed=seed)))
    return paths
