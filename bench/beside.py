"""Two maps at once against one after the other, each with the threads that it takes by itself.

The embedded model runs on one thread, a random Llama of 29 M parameters on all that there are.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "world:guild/aligned"
REPETITIONS = 3


def make_checkpoint(folder: Path) -> Path:
    """A random Llama that is large enough for several threads, with the embedded world's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from safebasin.models.reference import resolve

    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve(MODEL).folder).save_pretrained(folder)
    return folder


def start(model: str, folder: Path, asked: list[str]) -> subprocess.Popen[bytes]:
    """A map in a process of its own, with no thread settings but its own."""
    given = ["--prompts", "world:guild/harmful", "--directions", "1", "--judge", "keyword/peng2024", *asked]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "safebasin", "map", model, *given, "-o", str(folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def seconds(model: str, asked: list[str], *, at_once: bool) -> float:
    """The time until both are done."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        running: list[subprocess.Popen[bytes]] = []
        for number in (0, 1):
            running.append(start(model, Path(folder) / str(number), asked))
            if not at_once:
                running[-1].wait()
        if any(process.wait() for process in running):
            sys.exit("a map failed")
        return time.perf_counter() - begun


def line(name: str, model: str, asked: list[str]) -> str:
    """One row of the table."""
    pairs = [(seconds(model, asked, at_once=False), seconds(model, asked, at_once=True)) for _ in range(REPETITIONS)]
    ratios = sorted(both / turns for turns, both in pairs)
    turns, both = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    of_turns = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
    return f"| {name} | {turns:.1f} | {both:.1f} | {of_turns} |"


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    few = ["--limit", "20", "--range", "-1.5:1.5:7"] if quick else ["--limit", "80", "--range", "-1.5:1.5:7"]
    short = ["--limit", "10", "--range", "-0.4:0.4:5", "--max-new-tokens", "16" if quick else "64"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            line("the embedded model, one thread each", MODEL, few),
            line("29 M parameters, all threads each", str(make_checkpoint(Path(folder))), short),
        ]
    head = "| two maps | one after the other, s | at once, s | at once / in turn, median (least–most) |"
    return "\n".join([head, "| --- | ---: | ---: | ---: |", *rows])
