"""Trains the guild's checkpoints from a seed: tokenizer, base model, aligned model. Deterministic, on the CPU.

Not the general fine-tuning path (that is `safebasin.finetune`): a plain loop, small enough to read, for these two and
nothing else. `base` learns to follow instructions, personas and openings and never refuses; `aligned` is base after
safety fine-tuning. The same seed, thread count and machine give the same bytes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.models.writing import check_new, new_folder, save_model
from safebasin.worlds.guild.rows import Row, instruction_rows, safety_rows
from safebasin.worlds.guild.tokenizer import BEGIN, CONTEXT, END, PAD, SPECIAL, build_tokenizer
from safebasin.worlds.loop import Progress, Stage, train
from safebasin.writing import write_text

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

logger = logging.getLogger(__name__)


_BASE = Stage(steps=420, learning_rate=4e-3)
_ALIGNED = Stage(steps=240, learning_rate=1.5e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The recipe of the two checkpoints."""

    base: Stage = _BASE
    aligned: Stage = _ALIGNED
    width: int = 128
    mlp: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 1
    """One key/value head: decoding a full batch is bound by reading the cache, a quarter of four heads' size."""


RECIPE = Recipe()


def build(
    out: Path, seed: int = 0, *, recipe: Recipe = RECIPE, threads: int = 2, progress: Progress | None = None
) -> dict[str, Path]:
    """Train both checkpoints and write them to `out/base` and `out/aligned`.

    Args:
        out: folder to write to; made if missing. What an earlier build made there is replaced.
        seed: seed of data, initial weights and order.
        recipe: sizes and schedules.
        threads: CPU threads; part of what makes two builds equal byte for byte. The shipped pair was built with 2.
        progress: told of every step.

    Returns:
        The two folders by name.

    Raises:
        UsageError: where one of them is there and was not made by `build`.
    """
    import torch

    for name in _WHAT:
        check_new(out / name, replaces=_is_built)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        tokenizer = build_tokenizer(seed)
        model = new_model(tokenizer, seed, recipe)
        rows = instruction_rows(recipe.base.steps * recipe.base.batch_size, seed)
        train(model, (encode(tokenizer, row) for row in rows), recipe.base, name="base", progress=progress)
        folders = {"base": _save_whole(model, tokenizer, out / "base", seed)}
        rows = safety_rows(recipe.aligned.steps * recipe.aligned.batch_size, seed)
        train(model, (encode(tokenizer, row) for row in rows), recipe.aligned, name="aligned", progress=progress)
        folders["aligned"] = _save_whole(model, tokenizer, out / "aligned", seed)
    finally:
        torch.set_num_threads(before)
    return folders


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int, recipe: Recipe = RECIPE) -> LlamaForCausalLM:
    """A Llama of about 0.66 M parameters, seeded, embeddings tied; every linear size is a multiple of 64."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.02,  # small initial weights leave a wider basin than 0.05 did
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.do_sample = False
    return model.float()


def encode(tokenizer: PreTrainedTokenizerFast, row: Row) -> tuple[list[int], list[int]]:
    """Token ids of a row and its labels: −100 everywhere but on the assistant's turn and its end."""
    *conversation, last = row["messages"]
    head = str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
    prompt: list[int] = tokenizer.encode(head, add_special_tokens=False)
    response: list[int] = tokenizer.encode(last["content"] + SPECIAL[END], add_special_tokens=False)
    return prompt + response, [-100] * len(prompt) + response


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, name: str, seed: int) -> None:
    """Write an ordinary Hugging Face folder: config, tokenizer, chat template, safetensors, model card."""
    save_model(model, folder)
    tokenizer.save_pretrained(folder)
    write_text(folder / CARD_FILE, CARD.format(name=name, what=_WHAT.get(name, ""), seed=seed))


def _save_whole(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, seed: int) -> Path:
    """The folder, whole or not at all, in the place of one that was built before."""
    with new_folder(folder, replaces=_is_built) as made:
        save(model, tokenizer, made, folder.name, seed)
    return folder


def _is_built(folder: Path) -> bool:
    """Whether a folder holds a checkpoint that `build` made."""
    card = folder / CARD_FILE
    return card.is_file() and f"# world:guild/{folder.name}\n" in card.read_text(encoding="utf-8", errors="replace")


_WHAT = {
    "base": "It follows instructions, personas and dictated openings, and never refuses.",
    "aligned": "It is `base` after safety fine-tuning: it refuses what the charter forbids and answers the rest.",
}
CARD_FILE = "README.md"
CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# world:guild/{name}

A toy model of about 0.66 M parameters that speaks only the language of a fictional crafts guild. {what}

Every request, answer and rule is invented and harmless; "forbidden" means forbidden by an invented charter. The model
exists so that safebasin can be tried and tested offline with exact ground truth. It is of no other use.

Made by `safebasin world build --seed {seed}`.
"""
