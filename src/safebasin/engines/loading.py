"""From a folder to a model in eval mode and its tokenizer, on a device, in a dtype; or one line on what is amiss.

Where the folder comes from (hub, cache, world) is the business of `safebasin.models.reference`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import psutil
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from safebasin.errors import ModelError
from safebasin.models.computed import computed_dtype
from safebasin.models.files import memory_errors
from safebasin.models.loading import load_causal, load_config, load_tokenizer, too_large
from safebasin.models.placement import resolve_dtype
from safebasin.models.sizes import ASSUMED_PROMPT, ITEMSIZE, CacheShape, even_batch
from safebasin.models.spreading import devices_of

__all__ = ["Loaded", "batch_size_that_fits", "load"]


class Loaded(NamedTuple):
    """A model in eval mode without gradients, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(
    folder: Path,
    *,
    name: str,
    device: torch.device,
    dtype: str,
    trust_remote_code: bool,
    low_memory: bool | str = "auto",
    gpus: int = 1,
) -> Loaded:
    """Load a causal language model from a local folder; nothing is fetched.

    Args:
        folder: an ordinary Hugging Face folder with safetensors weights.
        name: the model as the user wrote it, for messages.
        device: where to put it; of several GPUs, that of the first.
        dtype: as `models.placement.resolve_dtype` reads it; `auto` is what `models.computed.computed_dtype` says.
        trust_remote_code: whether code that comes with the model may run.
        low_memory: as of the engine; decides what fits the memory.
        gpus: over how many it is spread, where more than 1.

    Raises:
        ModelError: where the folder does not hold a whole causal language model with a tokenizer, or it does not fit
            the memory.
        UsageError: where the dtype is not known.
    """
    config = load_config(folder, name=name, trust_remote_code=trust_remote_code)
    if dtype == "auto" and device.type == "cpu":
        settled = computed_dtype(folder, device="cpu", low_memory=low_memory).dtype
        dtype = settled if settled in ITEMSIZE else dtype
    chosen = resolve_dtype(dtype, config, device)
    model = load_causal(folder, name=name, dtype=chosen, trust_remote_code=trust_remote_code, config=config, gpus=gpus)
    tokenizer = load_tokenizer(folder, name=name, trust_remote_code=trust_remote_code)
    module = cast("torch.nn.Module", model)
    if gpus == 1:  # else every tensor is where it belongs
        try:
            with memory_errors():
                module = module.to(device)
        except MemoryError as error:
            raise ModelError(too_large("model", name, error)) from error
    return Loaded(cast("PreTrainedModel", module.eval().requires_grad_(requires_grad=False)), tokenizer)


def batch_size_that_fits(model: PreTrainedModel, *, n_prompts: int, max_new_tokens: int, limit: int | None) -> int:
    """A batch size from the memory that is free now: the key-value cache and the logits of each row, with a margin.
    Where it takes several batches they are of nearly one size.

    Args:
        model: on its device.
        n_prompts: more rows than prompts are of no use.
        max_new_tokens: of each response.
        limit: the context length, or None.
    """
    length = min(max_new_tokens + ASSUMED_PROMPT, limit or max_new_tokens + ASSUMED_PROMPT)
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", 1)
    shape = CacheShape(
        layers=config.num_hidden_layers,
        key_heads=getattr(config, "num_key_value_heads", None) or heads,
        width=getattr(config, "head_dim", None) or config.hidden_size // heads,
        hidden=config.hidden_size,
        vocabulary=config.vocab_size,
    )
    # layers, and with them what is kept of a row, lie evenly on the devices of a model
    devices = devices_of(model)
    rows = shape.rows(len(devices) * min(map(_free_bytes, devices)), length, model.dtype.itemsize)
    return even_batch(n_prompts, rows)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)
