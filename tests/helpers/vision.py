"""Tiny checkpoints that read images too, on disk: an encoder of random weights before a language tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def paired_model(kind: str = "llava", *, tower: Path | None = None, seed: int = 0) -> Any:
    """The model in memory: see `make_paired_model`."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    own, vision = PAIRED[kind]
    text = {**SIZES, "vocab_size": 512, **own}
    given = None
    if tower is not None:
        given = AutoModelForCausalLM.from_pretrained(tower)
        text = given.config.to_dict()
    ids = {"image_token_index" if kind == "llava" else "image_token_id": 5}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, **ids)
    config.get_text_config(decoder=True).initializer_range = 0.3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
    if given is not None:
        model.get_decoder().load_state_dict(given.model.state_dict())
        model.get_output_embeddings().load_state_dict(given.lm_head.state_dict())
    return model.eval()
