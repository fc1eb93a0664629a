"""Exact mode against plain `generate` on models of about 135 M random weights: tokens a second, tokens that differ.

Float32, 40 prompts of random tokens, no row ends before the limit. Plain `generate` is measured at batches of 4, 8, 16
and 40; its best is what exact mode is compared with. Random models repeat themselves soon, which no trained model does
inside its basin: exact mode is measured with its check of repeated rows and without it, and the table says how many
rows repeat themselves at their end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from safebasin.engines.cycles import Cycles
from safebasin.engines.decoding import decode, greedy_config, left_padded
from safebasin.engines.paced.drafting import SEEN, Drafter
from safebasin.engines.paced.proving import any_model
from safebasin.engines.stopping import Rows

SIZES: dict[str, Any] = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1_536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "max_position_embeddings": 2_048,
    "tie_word_embeddings": False,
    "initializer_range": 0.06,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
"""The shapes of SmolLM2-135M; the spread of the weights is three times the usual, so that text varies."""
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen3-like": ("qwen3", {}),
    "Gemma3-like, window 128": ("gemma3_text", {"sliding_window": 128, "query_pre_attn_scalar": 64}),
}
BATCHES = (4, 8, 16, 40)
clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
"""One thread is timed by what it had of the processor, whoever else is busy; several by the clock."""
PAD = 0


@dataclass(frozen=True)
class Answers:
    """Tokens of each row, and the seconds they took."""

    ids: list[list[int]]
    seconds: float

    @property
    def rate(self) -> float:
        return sum(map(len, self.ids)) / self.seconds


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    n_prompts, n_new, repetitions = (8, 16, 1) if quick else (40, 128, 3)
    how = (
        "one thread, processor time" if clock is time.process_time else f"{torch.get_num_threads()} threads, wall time"
    )
    lines = [
        f"{n_prompts} prompts, {n_new} new tokens, {how}\n",
        "| model | side | tokens a second, median | times plain `generate` | differing tokens | rows that repeat |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, (kind, changes) in MODELS.items():
        lines += _rows(name, _model(kind, changes), _prompts(n_prompts), n_new, repetitions)
    return "\n".join(lines)


def _model(kind: str, changes: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **changes})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.generation_config = greedy_config(model, eos=[], pad=PAD)
    return model


def _prompts(n: int) -> list[list[int]]:
    """Of 20 to 60 tokens, of which the first twelve are the same, as of a chat template."""
    generator = torch.Generator().manual_seed(1)

    def some(count: int) -> list[int]:
        return torch.randint(10, SIZES["vocab_size"], (count,), generator=generator).tolist()

    start = some(12)
    return [[*start, *some(8 + (at * 7) % 41)] for at in range(n)]


def _rows(name: str, model: Any, prompts: list[list[int]], n_new: int, repetitions: int) -> list[str]:
    sides: dict[str, Callable[[], Answers]] = {
        **{
            f"plain `generate`, batches of {size}": lambda size=size: _plain(model, prompts, size, n_new)
            for size in BATCHES
            if size <= len(prompts)
        },
        "exact mode": lambda: _exact(model, prompts, n_new),
        "exact mode, nothing guessed": lambda: _unguessed(model, prompts, n_new),
    }
    begun = clock()
    any_model(model, max(map(len, prompts)) + n_new)  # whether the model is served is found out once
    tried = clock() - begun
    found: dict[str, list[Answers]] = {side: [] for side in sides}
    for _ in range(repetitions):
        for side, run in sides.items():
            found[side].append(run())
    rates = {side: statistics.median(a.rate for a in answers) for side, answers in found.items()}
    best = max((side for side in sides if side.startswith("plain")), key=rates.__getitem__)
    # padding rounds as well: what is compared is the batch of all of them
    wanted = found[[side for side in sides if side.startswith("plain")][-1]][0].ids
    lines = [f"| {name} | *trying whether it is served, once* | {tried:.1f} s | | | |"]
    for side in sides:
        ids = found[side][0].ids
        differ = sum(a != b for mine, own in zip(ids, wanted, strict=True) for a, b in zip(mine, own, strict=True))
        lines.append(
            f"| {name} | {side} | {rates[side]:.0f} | {rates[side] / rates[best]:.2f} "
            f"| {differ} of {sum(map(len, wanted))} | {_repeating(ids)} of {len(ids)} |"
        )
    return lines


def _plain(model: Any, prompts: Sequence[Sequence[int]], size: int, n_new: int) -> Answers:
    found: list[list[int]] = []
    begun = clock()
    for start in range(0, len(prompts), size):
        ids, mask = left_padded(prompts[start : start + size], pad=PAD, device=model.device)
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, max_new_tokens=n_new)
        found += out[:, ids.shape[1] :].tolist()
    return Answers(found, clock() - begun)


def _exact(model: Any, prompts: Sequence[Sequence[int]], n_new: int) -> Answers:
    rows = Rows([n_new] * len(prompts), eos=[])
    begun = clock()
    ids, mask = left_padded(prompts, pad=PAD, device=model.device)
    decode(model, ids, mask, rows)
    return Answers(rows.ids, clock() - begun)


def _unguessed(model: Any, prompts: Sequence[Sequence[int]], n_new: int) -> Answers:
    with _without_guesses():
        return _exact(model, prompts, n_new)


@contextmanager
def _without_guesses() -> Generator[None]:
    plain = Drafter.cyclic, Drafter.few
    Drafter.cyclic, Drafter.few = lambda self, rows: np.zeros(len(rows), dtype=np.bool_), lambda self, rows: 1
    try:
        yield
    finally:
        Drafter.cyclic, Drafter.few = plain


def _repeating(ids: list[list[int]]) -> int:
    """Rows whose last tokens repeat those of a period before."""
    cycles = Cycles(len(ids), len(ids[0]))
    rows = range(len(ids))
    cycles.see(rows, np.asarray(ids), np.full(len(ids), len(ids[0])))
    return int((cycles.runs(rows) >= SEEN).any(axis=1).sum())
