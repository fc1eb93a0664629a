"""Tiny GGUF files, written tensor by tensor from a tiny Qwen2 checkpoint with the package `gguf`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

_PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
}  # fmt: skip
"""Name in a checkpoint → name in a GGUF file."""


def stored_name(name: str) -> str:
    """Name of a tensor of a Qwen2 checkpoint in a GGUF file."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, number, part = stem.split(".", 3)
        return f"blk.{number}.{_PARTS[part]}.{kind}"
    return f"{_PARTS[stem]}.{kind}"


def make_gguf(file: Path, checkpoint: Path, *, packed: bool = False, architecture: str = "qwen2") -> Path:
    """Write a checkpoint as GGUF; `packed` rounds its matrices to eight bits (Q8_0). Returns the file."""
    import gguf

    config = json.loads((checkpoint / "config.json").read_text())
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    _add_tokenizer(writer, checkpoint, config["vocab_size"])
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        if packed and tensor.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(stored_name(name), gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored_name(name), tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer, checkpoint: Path, n_rows: int) -> None:
    import gguf

    read = json.loads((checkpoint / "tokenizer.json").read_text())
    tokens = dict(sorted(read["model"]["vocab"].items(), key=lambda item: item[1]))
    special = {row["content"] for row in read["added_tokens"]}
    listed = [*tokens, *(f"<unused{i}>" for i in range(n_rows - len(tokens)))]
    kinds = [gguf.TokenType.CONTROL if t in special or t not in tokens else gguf.TokenType.NORMAL for t in listed]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(listed)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in read["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template((checkpoint / "chat_template.jinja").read_text())
