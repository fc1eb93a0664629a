"""A line along a LoRA adapter on vLLM: its points merged into the weights one after another, or beside them together.

Run it in the environment of test-vllm, with `large` for a random Llama of 100 million parameters.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 .venv-vllm/bin/python bench/vllm_lora.py [large]

All in one process, in turn; times are the process's own on one thread, moves and copies included. The adapter is
drawn, of rank 16 on every linear layer.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from safebasin import catalog
from safebasin.engines.vllm.adapters import AT_ONCE
from safebasin.engines.vllm.engine import VLLMEngine
from safebasin.models.reference import resolve
from safebasin.protocols import Generation
from safebasin.records import Decoding, DirectionSpec, Point

MODEL = resolve("world:guild/aligned").folder
ALPHAS = tuple(n / 9 for n in range(1, 10))
N_PROMPTS, ROUNDS = 40, 3

Answers = list[list[Generation]]


def main() -> None:
    """Print tokens a second of both, their ratio, and how many answers are the same."""
    with tempfile.TemporaryDirectory() as made:
        is_large = "large" in sys.argv[1:]
        folder = _large(Path(made) / "model") if is_large else MODEL
        spec = DirectionSpec(kind="adapter", target=str(_adapter(folder, Path(made) / "lora")), normalize="none")
        world = catalog.world("guild")
        asked = [p.messages for name in world.prompt_sets for p in world.load_prompts(name)][:N_PROMPTS]
        how = Decoding(max_new_tokens=16 if is_large else 64)
        merged, beside = VLLMEngine(str(folder)), VLLMEngine(str(folder), directions=[spec], adapters="unmerged")
        assert beside.facts().unmerged == (spec,), beside.facts().details
        points = [Point.at((spec, alpha)) for alpha in ALPHAS]

        def one_by_one(engine: VLLMEngine) -> Answers:
            found: Answers = []
            for point in points:
                engine.move_to(point)
                found.append(engine.generate(asked, how))
            return found

        def together() -> Answers:
            groups = [points[start : start + AT_ONCE] for start in range(0, len(points), AT_ONCE)]
            return [rows for g in groups for rows in beside.generate_together(g, [asked] * len(g), how)]

        _compare(
            {
                "merged, one by one": lambda: one_by_one(merged),
                "unmerged, one by one": lambda: one_by_one(beside),
                f"unmerged, {AT_ONCE} at once": together,
            },
            rounds=1 if is_large else ROUNDS,
        )


def _compare(ways: dict[str, Callable[[], Answers]], *, rounds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, Sequence[str]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            found = [g for rows in way() for g in rows]
            rates[name].append(sum(g.n_tokens for g in found) / (time.process_time() - start))
            texts[name] = [g.text for g in found]
    first = next(iter(ways))
    base = statistics.median(rates[first])
    for name, found in rates.items():
        same = sum(a == b for a, b in zip(texts[first], texts[name], strict=True))
        rate = statistics.median(found)
        print(f"{name}: {rate:.4g} tokens a second, ratio {rate / base:.3g}, same answers {same}/{len(texts[first])}")


def _large(folder: Path) -> Path:
    """A random Llama of 100 million parameters with the tokenizer of the embedded model."""
    torch.manual_seed(0)
    small = AutoModelForCausalLM.from_pretrained(MODEL).config
    config = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=14, num_attention_heads=12, num_key_value_heads=12,
        vocab_size=small.vocab_size, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=small.bos_token_id, eos_token_id=small.eos_token_id, initializer_range=0.05,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (MODEL / file).is_file():
            shutil.copy(MODEL / file, folder / file)
    return folder


def _adapter(base: Path, folder: Path) -> Path:
    torch.manual_seed(0)
    config = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.01 * torch.randn_like(parameter)
    adapted.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
