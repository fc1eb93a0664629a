"""Blocks by name, over the naming schemes of the architectures that are tested."""

from __future__ import annotations

import pytest

from safebasin.errors import ModelError, StudyError
from safebasin.weights.blocks import block_patterns, decoder_blocks, inner_parts
from safebasin.weights.selection import matches

LLAMA = [
    "model.embed_tokens.weight",
    *(
        f"model.layers.{i}.{part}"
        for i in (0, 1, 10)
        for part in ("self_attn.q_proj.weight", "mlp.up_proj.weight", "post_attention_layernorm.weight")
    ),
    "model.norm.weight",
    "lm_head.weight",
]
GPT2 = [
    "transformer.wte.weight",
    *(f"transformer.h.{i}.{p}.weight" for i in (0, 1) for p in ("attn.c_attn", "mlp.c_fc", "ln_1")),
]
OPT = [f"model.decoder.layers.0.{p}" for p in ("self_attn.q_proj.weight", "fc1.weight", "self_attn_layer_norm.weight")]
MOE = [
    f"model.layers.0.{p}"
    for p in ("self_attn.q_proj.weight", "block_sparse_moe.experts.3.w1.weight", "block_sparse_moe.gate.weight")
]


def test_each_block_in_order_of_its_number() -> None:
    found = block_patterns(LLAMA, "block")
    assert [label for label, _ in found] == ["block 0", "block 1", "block 10"]
    assert [n for n in LLAMA if matches(n, found[1][1])] == [n for n in LLAMA if ".layers.1." in n]


@pytest.mark.parametrize(
    ("names", "attention", "mlp"),
    [
        (LLAMA, "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        (GPT2, "transformer.h.0.attn.c_attn.weight", "transformer.h.0.mlp.c_fc.weight"),
        (OPT, "model.decoder.layers.0.self_attn.q_proj.weight", "model.decoder.layers.0.fc1.weight"),
    ],
)
def test_attention_and_mlp_without_norms(names: list[str], attention: str, mlp: str) -> None:
    for each, expected in (("attention", attention), ("mlp", mlp)):
        _, pattern = block_patterns(names, each)[0]  # type: ignore[arg-type]
        assert [n for n in names if matches(n, pattern)] == [expected]


def test_experts_and_router_belong_to_the_mlp() -> None:
    ((label, pattern),) = block_patterns(MOE, "mlp")
    assert label == "mlp 0"
    assert [n for n in MOE if matches(n, pattern)] == MOE[1:]


def test_a_model_without_numbered_blocks_is_an_error() -> None:
    with pytest.raises(StudyError, match="found in the names"):
        block_patterns(["embed.weight", "head.weight"], "block")


TOWERS = [f"vision.encoder.layers.{n}.fc1.weight" for n in range(2)]


@pytest.mark.parametrize(
    ("names", "blocks"),
    [
        ([n for n in LLAMA if ".10." not in n], ("model.layers.0", "model.layers.1")),
        (GPT2, ("transformer.h.0", "transformer.h.1")),
        (OPT, ("model.decoder.layers.0",)),
        (MOE, ("model.layers.0",)),
        (
            [f"language.layers.{n}.mlp.weight" for n in range(12)] + TOWERS,
            tuple(f"language.layers.{n}" for n in range(12)),
        ),
    ],
)
def test_decoder_blocks_are_the_longest_list(names: list[str], blocks: tuple[str, ...]) -> None:
    assert decoder_blocks(reversed(names)) == blocks


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["embed.weight"], "got 'none'"),
        (LLAMA, "model.layers with gaps"),
        ([*GPT2, *TOWERS], "transformer.h and vision.encoder.layers"),
    ],
)
def test_blocks_that_cannot_be_told_are_an_error(names: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        decoder_blocks(names)


def test_the_inner_parts_of_a_block_are_all_but_its_norms() -> None:
    assert inner_parts(GPT2, "transformer.h.1") == ("transformer.h.1.attn", "transformer.h.1.mlp")
    assert inner_parts(OPT, "model.decoder.layers.0") == (
        "model.decoder.layers.0.fc1",
        "model.decoder.layers.0.self_attn",
    )
