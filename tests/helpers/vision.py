"""Tiny checkpoints that read images too, on disk: an encoder of random weights before a language tower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.models import SIZES, make_tokenizer
from safebasin.models.writing import copy_settings

ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "projection_dim": 32,
}  # fmt: skip
SIGLIP = {**CLIP, "model_type": "siglip_vision_model"}
SECTIONED = {"embed_dim": 32, "depth": 1, "num_heads": 2, "patch_size": 4, "hidden_size": 64}
PAIRED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "llava": ({"model_type": "llama"}, CLIP),
    "idefics3": ({"model_type": "llama"}, {k: v for k, v in CLIP.items() if k not in ("model_type", "projection_dim")}),
    "gemma3": ({"head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16}, SIGLIP),
    "qwen2_vl": ({"rope_parameters": ROPE}, SECTIONED),
    "qwen2_5_vl": ({"rope_parameters": ROPE}, {**SECTIONED, "out_hidden_size": 64, "fullatt_block_indexes": [0]}),
    "qwen3_vl": ({"rope_parameters": ROPE, "head_dim": 16},
                 {**SECTIONED, "hidden_size": 32, "out_hidden_size": 64, "deepstack_visual_indexes": [0]}),
}  # fmt: skip
"""Kind → what its tower and its encoder have beside the sizes."""


def make_paired_model(folder: Path, kind: str = "llava", *, tower: Path | None = None, seed: int = 0) -> Path:
    """Write a model of one of the kinds of `PAIRED` with a tokenizer into a folder; returns the folder.

    Args:
        folder: to write to.
        kind: of model.
        tower: a Llama whose weights, tokenizer and template the tower gets; random ones if None.
        seed: of the random weights.
    """
    model = paired_model(kind, tower=tower, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if tower is None:
        make_tokenizer().save_pretrained(folder)
    else:
        copy_settings(tower, folder)
    return folder


def paired_model(
    kind: str = "llava", *, tower: Path | None = None, seed: int = 0, ids: dict[str, int] | None = None
) -> Any:
    """The model in memory: see `make_paired_model`; `ids` are those of its special tokens."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    own, vision = PAIRED[kind]
    text = {**SIZES, "vocab_size": 512, **own}
    given = None
    if tower is not None:
        given = AutoModelForCausalLM.from_pretrained(tower)
        text = given.config.to_dict()
    ids = ids or {"image_token_index" if kind == "llava" else "image_token_id": 5}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, **ids)
    config.get_text_config(decoder=True).initializer_range = 0.3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
    if given is not None:
        model.get_decoder().load_state_dict(given.model.state_dict())
        model.get_output_embeddings().load_state_dict(given.lm_head.state_dict())
    return model.eval()


# --- with a processor -------------------------------------------------------------------------------------------------

MARKS = {"llava": "<image>", "qwen2_vl": "<|image_pad|>", "qwen2_5_vl": "<|image_pad|>", "qwen3_vl": "<|image_pad|>"}
"""Kind → the token that stands for an image."""
_SEEING = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_QWEN = {"video": "<|video_pad|>", "vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}


def make_seeing_model(folder: Path, kind: str = "llava", *, seed: int = 0) -> Path:
    """Write a model of one of the kinds of `MARKS` with tokenizer, template and processor; returns the folder.

    Args:
        folder: to write to.
        kind: of model.
        seed: of the random weights.
    """
    tokenizer, mark = make_tokenizer(), MARKS[kind]
    is_llava = kind == "llava"
    tokens = {} if is_llava else _QWEN
    tokenizer.add_special_tokens({"additional_special_tokens": [mark, *tokens.values()]})
    tokenizer.chat_template = _SEEING.replace("IMAGE", mark if is_llava else f"<|vision_start|>{mark}<|vision_end|>")
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}
    ids["image_token_index" if is_llava else "image_token_id"] = tokenizer.convert_tokens_to_ids(mark)
    folder.mkdir(parents=True, exist_ok=True)
    paired_model(kind, seed=seed, ids=ids).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images = image_processor(kind).to_dict()
    if is_llava:
        own = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
        named = {"processor_class": "LlavaProcessor", "image_token": mark, **own}
        (folder / "processor_config.json").write_text(json.dumps(named))
    else:
        images["processor_class"] = {"qwen2_vl": "Qwen2VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}.get(
            kind, "Qwen2_5_VLProcessor"
        )
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder


def image_processor(kind: str) -> Any:
    """What makes numbers of an image, for a kind of `MARKS`."""
    from transformers import CLIPImageProcessorPil, Qwen2VLImageProcessorPil

    if kind == "llava":
        return CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    return Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2, min_pixels=64, max_pixels=4096)


def make_picture(path: Path, *, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
    """Write a PNG of noise; returns the path."""
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path
