"""From a folder to a model in eval mode and its tokenizer, on a device, in a dtype; or one line on what is amiss.

Where the folder comes from (hub, cache, world) is the business of `safebasin.models.reference`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import psutil
import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from safebasin.errors import ModelError, UsageError, expected
from safebasin.models.files import memory_errors
from safebasin.models.loading import load_causal, load_config, load_tokenizer, too_large

__all__ = [
    "Loaded",
    "batch_size_that_fits",
    "bos_id",
    "context_length",
    "eos_ids",
    "load",
    "resolve_device",
]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_LARGEST_BATCH = 128
_ASSUMED_PROMPT = 256
"""Tokens of a prompt, when batch size is chosen before the prompts are known."""


class Loaded(NamedTuple):
    """A model in eval mode without gradients, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(folder: Path, *, name: str, device: torch.device, dtype: str, trust_remote_code: bool) -> Loaded:
    """Load a causal language model from a local folder; nothing is fetched.

    Args:
        folder: an ordinary Hugging Face folder with safetensors weights.
        name: the model as the user wrote it, for messages.
        device: where to put it.
        dtype: `auto` is the checkpoint's own, except float16 on a CPU, which has no fast arithmetic for it: float32.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: where the folder does not hold a whole causal language model with a tokenizer, or it does not fit
            the memory.
        UsageError: where the dtype is not known.
    """
    config = load_config(folder, name=name, trust_remote_code=trust_remote_code)
    chosen = _dtype(dtype, config, device)
    model = load_causal(folder, name=name, dtype=chosen, trust_remote_code=trust_remote_code, config=config)
    tokenizer = load_tokenizer(folder, name=name, trust_remote_code=trust_remote_code)
    try:
        with memory_errors():
            placed = cast("torch.nn.Module", model).to(device).eval().requires_grad_(requires_grad=False)
    except MemoryError as error:
        raise ModelError(too_large("model", name, error)) from error
    return Loaded(cast("PreTrainedModel", placed), tokenizer)


def resolve_device(text: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` is the first of CUDA, MPS, CPU that is there.

    Raises:
        UsageError: where this machine does not have it.
    """
    has_mps = torch.backends.mps.is_available()
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count)), *["mps"] * has_mps]
    if text not in here:
        remedy = "Use --device auto, or install a torch that was built for this accelerator."
        raise UsageError(expected("device", f"one that this machine has ({', '.join(here)})", text, remedy))
    return torch.device(text)


def context_length(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that prompt and response may have together; None where the architecture sets no limit."""
    text = config.get_text_config(decoder=True)
    for key in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"):
        found = getattr(text, key, None)
        if isinstance(found, int) and found > 0:
            return found
    limit = getattr(tokenizer, "model_max_length", None)
    return int(limit) if isinstance(limit, int) and 0 < limit < 10**9 else None


def eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Every token that ends a response: those of the generation settings (one or many) and the tokenizer's, sorted."""
    own = getattr(model.generation_config, "eos_token_id", None)
    listed: Sequence[int] = own if isinstance(own, (list, tuple)) else [] if own is None else [own]
    mine = tokenizer.eos_token_id
    return tuple(sorted({int(i) for i in [*listed, *([] if mine is None else [mine])]}))


def bos_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that the tokenizer itself puts before every text; None where it puts none, even if it has one."""
    mine = tokenizer.bos_token_id
    first = cast("list[int]", tokenizer.encode("a"))[:1]
    return int(mine) if isinstance(mine, int) and first == [mine] else None


def batch_size_that_fits(model: PreTrainedModel, *, n_prompts: int, max_new_tokens: int, limit: int | None) -> int:
    """A batch size from the memory that is free now: the key-value cache and the logits of each row, with a margin.
    Where it takes several batches they are of nearly one size.

    Args:
        model: on its device.
        n_prompts: more rows than prompts are of no use.
        max_new_tokens: of each response.
        limit: the context length, or None.
    """
    length = min(max_new_tokens + _ASSUMED_PROMPT, limit or max_new_tokens + _ASSUMED_PROMPT)
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", 1)
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    cache = 2 * config.num_hidden_layers * key_heads * width * length * model.dtype.itemsize
    work = 3 * 4 * config.vocab_size + 8 * _ASSUMED_PROMPT * config.hidden_size * model.dtype.itemsize
    rows = int(_free_bytes(model.device) * 0.6 / (1.3 * cache + work))
    largest = max(1, min(rows, _LARGEST_BATCH))
    return math.ceil(n_prompts / math.ceil(n_prompts / largest))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def _dtype(text: str, config: PretrainedConfig, device: torch.device) -> torch.dtype:
    if text == "auto":
        own = getattr(config.get_text_config(decoder=True), "dtype", None) or config.dtype
        own = _DTYPES.get(own, torch.float32) if isinstance(own, str) else own or torch.float32
        return torch.float32 if own == torch.float16 and device.type == "cpu" else own
    if text not in _DTYPES:
        raise UsageError(expected("dtype", f"one of auto, {', '.join(_DTYPES)}", text, "Use --dtype auto."))
    return _DTYPES[text]
