"""Tiny but real Hugging Face checkpoints on disk, of many architectures, made in a moment from an explicit seed."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch

TEXTS = (
    "The guild keeps clay, wool, cedar and salt in the yard behind the hall.",
    "How do I weigh the clay? Weigh it twice and let it rest in sand.",
    "I cannot help with that: the charter keeps the drum closed.",
    "Give me the steps to ring the bell. Steps: two turns, warm steam, rest in moss.",
    "user assistant system think answer no yes one two three four five six seven eight nine ten",
)
PLAIN = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAIN
)
THINKING = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
TEMPLATES = {"plain": PLAIN, "no_system": NO_SYSTEM, "thinking": THINKING, "none": None}
ARCHITECTURES = (
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "gpt2", "gpt_neox", "opt", "mixtral",
)  # fmt: skip
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@cache
def _tokenizer_json() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<think>", "</think>"]
    trainer = trainers.BpeTrainer(
        vocab_size=448,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 8, trainer)
    return tokenizer.to_str()


def make_tokenizer(*, template: str = "plain", pad_token: bool = True) -> Any:
    """A byte-level BPE tokenizer with one of `TEMPLATES`."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    given = {"pad_token": "<|pad|>"} if pad_token else {}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_tokenizer_json()), bos_token="<|begin|>", eos_token="<|end|>", **given
    )
    tokenizer.chat_template = TEMPLATES[template]
    return tokenizer


def make_config(arch: str, vocab: int, *, tied: bool, **changes: Any) -> Any:
    """The configuration of a two-layer model of an architecture; `changes` go to its constructor."""
    from transformers import AutoConfig

    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    shared = {"vocab_size": vocab, "tie_word_embeddings": tied, **ids}
    extra: dict[str, dict[str, Any]] = {
        "mistral": {"sliding_window": 16},
        "gemma2": {"head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16},
        "gemma3": {"head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16},
        "qwen3": {"head_dim": 16},
        "phi3": {"original_max_position_embeddings": 256},
        "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    }
    names = {"gemma3": "gemma3_text"}
    if arch == "gpt2":
        return AutoConfig.for_model("gpt2", n_embd=64, n_layer=2, n_head=4, n_positions=256, **shared)
    if arch == "gpt_neox":
        sizes = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
        return AutoConfig.for_model("gpt_neox", **sizes, **shared)
    if arch == "opt":
        return AutoConfig.for_model(
            "opt", hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=64,
            max_position_embeddings=256, **shared,
        )  # fmt: skip
    return AutoConfig.for_model(names.get(arch, arch), **{**SIZES, **extra.get(arch, {}), **shared, **changes})


def make_tiny_model(
    folder: Path,
    arch: str = "llama",
    *,
    dtype: str = "float32",
    tied: bool | None = None,
    shards: int = 1,
    template: str = "plain",
    pad_token: bool = True,
    seed: int = 0,
    scale: float = 0.3,
    **changes: Any,
) -> Path:
    """Write a random checkpoint with its tokenizer into a folder; returns the folder.

    `scale` is the spread of the initial weights: large enough that greedy text varies and rarely ties. `changes` go to
    the configuration, such as `hidden_size=128`.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = make_tokenizer(template=template, pad_token=pad_token)
    config = make_config(
        arch, 512, tied=arch in ("gpt2", "opt", "gemma2", "gemma3") if tied is None else tied, **changes
    )
    config.initializer_range = scale
    if arch == "opt":
        config.init_std = scale
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.generation_config.do_sample = False
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, max_shard_size=size if shards == 1 else size // shards + 1)
    tokenizer.save_pretrained(folder)
    return folder


def load_endless(folder: Path, **given: str) -> Any:
    """A checkpoint in eval mode, set to decode greedily, no row of which ends by a token."""
    from transformers import AutoModelForCausalLM

    from safebasin.engines.decoding import greedy_config

    model = AutoModelForCausalLM.from_pretrained(folder, **given).eval()
    model.generation_config = greedy_config(model, eos=[], pad=0)
    return model


def make_lora(
    folder: Path,
    base: Path,
    *,
    rank: int = 4,
    alpha: int = 8,
    targets: str | list[str] = "all-linear",
    seed: int = 0,
    **options: Any,
) -> Path:
    """Write a LoRA adapter with non-zero B for a checkpoint; `options` go to `LoraConfig`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base)
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM", **options)
        adapted = get_peft_model(model, config)
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                parameter.data = torch.randn_like(parameter) * (0.1 if "lora_" in name else 0.05)
    adapted.save_pretrained(folder)
    return folder


def break_config(folder: Path, **changes: Any) -> Path:
    """Change keys of `config.json`."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def eight_bit_floats(out: Path) -> Path:
    """The aligned model in 8-bit floats, as `finegrained_fp8` packs them: blocks of 128 × 128 with a scale each."""
    from safetensors.torch import load_file, save_file

    from safebasin.worlds.guild.world import WORLD

    shutil.copytree(WORLD.checkpoint("aligned"), out)
    tensors = load_file(out / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        rows, columns = (-(-size // 128) for size in tensors[name].shape)
        scales = torch.zeros(rows, columns)
        packed = torch.zeros_like(tensors[name])
        for i in range(rows):
            for j in range(columns):
                place = slice(128 * i, 128 * i + 128), slice(128 * j, 128 * j + 128)
                scales[i, j] = tensors[name][place].abs().max() / 448
                packed[place] = tensors[name][place] / scales[i, j]
        tensors[name] = packed.to(torch.float8_e4m3fn)
        tensors[name.replace("weight", "weight_scale_inv")] = scales
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((out / "config.json").read_text())
    how = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    (out / "config.json").write_text(json.dumps({**config, "quantization_config": how}))
    return out
