"""Peak memory of mapping a 500 M-parameter float32 checkpoint in low-memory mode, against the size of its weights.

Peak USS of a fresh process that loads the checkpoint, moves to a point and decodes a few tokens, less that of an idle
process with torch and transformers imported. The checkpoint is random and made on disk by this script.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

WORKER = textwrap.dedent(
    """
    import json, sys, threading, time
    import psutil, torch, transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    process, peak, running = psutil.Process(), 0, True

    def watch():
        global peak
        while running:
            peak = max(peak, process.memory_full_info().uss)
            time.sleep(0.01)

    torch.set_num_threads(1)
    idle = process.memory_full_info().uss
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    from safebasin.engines.hf import HFEngine
    from safebasin.records import Decoding, DirectionSpec, Message, Point

    folder, low = sys.argv[1], sys.argv[2] == "low"
    engine = HFEngine(folder, device="cpu", low_memory=low)
    spec = DirectionSpec(kind="random")
    conversation = [Message(role="user", content="Weigh the clay.")]
    for alpha in (0.3, 0.0):
        engine.move_to(Point.at((spec, alpha)))
        engine.generate([conversation] * 4, Decoding(max_new_tokens=8))
    running = False
    thread.join()
    weights = sum(p.numel() * p.element_size() for p in engine._model.parameters())
    print(json.dumps({"idle": idle, "peak": peak, "weights": weights, "kind": engine.base.kind}))
    """
)


def make_checkpoint(folder: Path, *, layers: int) -> None:
    """A random Llama of about 20 M parameters a layer and 65 M of embeddings, with the embedded world's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from safebasin.models.reference import resolve

    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=1024,
        intermediate_size=5120,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve("world:guild/aligned").folder).save_pretrained(folder)


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    lines = [
        "| θ₀ | parameters | weights | peak over idle | peak / weights |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"from bench.memory import *; make_checkpoint(Path({folder!r}), layers={2 if quick else 22})",
            ],
            check=True,
        )
        for mode in ("low", "host"):
            done = subprocess.run(
                [sys.executable, "-c", WORKER, folder, mode], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            used = found["peak"] - found["idle"]
            lines.append(
                f"| {found['kind']} | {found['weights'] / 4e6:.0f} M | {found['weights'] / 1e6:,.0f} MB "
                f"| {used / 1e6:,.0f} MB | {used / found['weights']:.2f} |"
            )
    return "\n".join(lines)
