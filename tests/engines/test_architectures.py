"""Every causal architecture that transformers builds small: decoded token for token as `generate` does, or one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from helpers.models import make_tokenizer
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError
from safebasin.records import Decoding, Message

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "decoder_ffn_dim"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "lru_width"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"), 256),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "qk_head_dim", "mamba_chunk_size", "chunk_size"), 16),
    **dict.fromkeys(("head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "attention_head_dim"), 8),
    **dict.fromkeys(("state_size", "mamba_d_state", "mamba_n_heads", "mamba_d_head", "mamba_num_heads"), 8),
    **dict.fromkeys(("mamba_head_dim", "ssm_state_size", "linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("mamba_d_conv", "time_step_rank", "mamba_dt_rank", "linear_num_value_heads"), 4),
    **dict.fromkeys(("sliding_window", "attention_window_size"), 16),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "n_group", "topk_group", "n_shared_experts"), 1),
    **{"num_key_value_heads": 2, "num_experts_per_tok": 2, "moe_k": 2, "first_k_dense_replace": 1, "expand": 2},
    **{"mamba_expand": 2, "mamba_d_ssm": 64, "linear_num_key_heads": 2, "rotary_dim": 8, "vocab_size": 512},
    **{"vocab_size_per_layer_input": 512, "hidden_size_per_layer_input": 8, "type_vocab_size": 2},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 1},
}
"""Sizes by the names that configurations use for them."""

LATENT = dict.fromkeys(("num_key_value_heads",), 4)
OWN: dict[str, dict[str, Any]] = {
    "mamba2": {"num_heads": 8},
    "zaya": {"num_experts_per_tok": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "nemotron": {"head_dim": 8},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "kimi_linear",
         "longcat_flash", "minicpm3", "youtu"), LATENT,
    ),
}  # fmt: skip
"""What some configurations need to hold together at this size."""

LARGEST = 6_000_000
CHAT = [
    [Message(role="user", content=text)]
    for text in ("How do I weigh the clay?", "one two three", "The guild keeps wool in the yard, does it not?", "no")
]
NEVER_REFUSED = (
    "falcon_h1", "falcon_mamba", "mamba", "mamba2", "minimax", "nemotron_h", "olmo_hybrid", "openai-gpt",
    "qwen3_5_text", "qwen3_next", "recurrent_gemma", "rwkv", "xlnet", "zaya",
)  # fmt: skip


def small(kind: str) -> Any:
    """A configuration of two layers or so; None where transformers builds none, or only a large one."""
    try:
        usual = AutoConfig.for_model(kind)
        known = usual.to_dict().keys() - type(usual).attribute_map.keys()
        given = {key: value for key, value in SMALL.items() if key in known}
        if getattr(usual, "num_key_value_heads", None) is None:
            given.pop("num_key_value_heads", None)
        kinds = list(dict.fromkeys(getattr(usual, "layer_types", None) or ()))
        if kinds and "layer_types" in known:
            given["layer_types"] = (kinds * 2)[:2]
        config = AutoConfig.for_model(kind, **{**given, **OWN.get(kind, {})})
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception:
        return None
    return config if sum(p.numel() for p in model.parameters()) <= LARGEST else None


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_an_architecture_is_decoded_as_generate_does_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    config = small(kind)
    if config is None:
        pytest.skip("no small model of it")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    try:
        engine = HFEngine(str(tmp_path), device="cpu")
        found = engine.generate(CHAT, Decoding(max_new_tokens=12))
        engine.score(CHAT, ["two turns", "a", "rest in moss", "x"], Decoding(max_new_tokens=12))
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert kind not in NEVER_REFUSED
        return
    for generation, text in zip(found, by_generate(tmp_path, engine, tokenizer), strict=True):
        if generation.thinking:  # it begins with a mark of thinking; thoughts are kept without the space around them
            assert (generation.text, generation.thinking) == ("", text.strip())
        else:
            assert generation.text == text


def by_generate(folder: Path, engine: HFEngine, tokenizer: Any) -> list[str]:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with engine.lend() as (lent, _):
        model.generation_config = lent.generation_config
    tokenizer.padding_side = "left"
    turns = [[{"role": m.role, "content": m.content} for m in c] for c in CHAT]
    texts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    ids = batch["input_ids"]
    with torch.no_grad():
        out = model.generate(ids, attention_mask=batch["attention_mask"], max_new_tokens=12)[:, ids.shape[1] :].tolist()
    ended = [row[: row.index(2)] if 2 in row else row for row in out]
    return [str(tokenizer.decode(row, skip_special_tokens=True)) for row in ended]
