"""A small chat model whose refusal rests on known weights: hidden unit 3 of the first MLP, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from helpers.models import make_tiny_model
from safebasin.records import Message, TrainingRow

UNIT = 3
"""Hidden unit that fires on the forbidden word and writes the first token of a refusal."""
OTHER = 5
"""Hidden unit that fires on the permitted word and writes the first token of an answer."""
FLAGS, WRITES = {UNIT: 0, OTHER: 1}, {UNIT: 2, OTHER: 3}
"""Hidden unit → feature of the residual stream that it reads, and that it writes."""
WORDS = {UNIT: ("<think>", "I"), OTHER: ("</think>", "G")}
"""Hidden unit → token that it fires on, and token that it makes the model say."""


def planted(folder: Path) -> Path:
    """Write it: attention says nothing, all other weights are noise of a hundredth of those that are planted."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make_tiny_model(folder, "llama", num_hidden_layers=1, tied=False)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.01)
        mlp = model.model.layers[0].mlp
        for unit, (heard, said) in WORDS.items():
            ids = [tokenizer.convert_tokens_to_ids(token) for token in (heard, said)]
            model.model.embed_tokens.weight[ids[0], FLAGS[unit]] = 1
            mlp.gate_proj.weight[unit, FLAGS[unit]] = 1
            mlp.up_proj.weight[unit, FLAGS[unit]] = 1
            mlp.down_proj.weight[WRITES[unit], unit] = 1
            model.lm_head.weight[ids[1], WRITES[unit]] = 2
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rows(unit: int, n: int = 8) -> tuple[TrainingRow, ...]:
    """Requests that end with the word that a unit hears, each answered by what it says."""
    heard, said = WORDS[unit]
    texts = (f"{'yes ' * (1 + i % 4)}{'no ' * (i // 4)}{heard}" for i in range(n))
    return tuple(
        TrainingRow(messages=(Message(role="user", content=t), Message(role="assistant", content=said)), number=i + 1)
        for i, t in enumerate(texts)
    )


def says(folder: Path, unit: int) -> float:
    """Probability of what a unit makes the model say, after the word that it hears."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    heard, said = (tokenizer.convert_tokens_to_ids(token) for token in WORDS[unit])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[heard]])).logits[0, -1]
    return float(logits.softmax(0)[said])
