"""What ends the assistant's turn, read off templates as the families write them."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken

from helpers.models import make_tokenizer
from safebasin.prompts.turns import turn_ends

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}"
)
LLAMA = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{{ m['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
GLM = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
HARMONY = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + ('<|channel|>final' if m['role'] == 'assistant' else '') }}"
    "{{ '<|message|>' + m['content'] + '<|end|>' }}{% endfor %}{{ '<|start|>assistant' }}"
)
ALPACA = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':\n' + m['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}"
)


def with_tokens(template: str, *tokens: str, special: bool = True):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    tokenizer.add_tokens([AddedToken(t, special=special, normalized=False) for t in tokens], special_tokens=special)
    return tokenizer


@pytest.mark.parametrize(
    ("template", "tokens", "ends"),
    [
        (CHATML, ("<|im_start|>", "<|im_end|>"), {"<|im_end|>"}),
        (PHI, ("<|endoftext|>",), {"<|end|>"}),
        (LLAMA, ("<|start_header_id|>", "<|eot_id|>", "<|eom_id|>"), {"<|eot_id|>", "<|eom_id|>"}),
        (GEMMA, ("<start_of_turn>", "<end_of_turn>"), {"<end_of_turn>"}),
        (MISTRAL, ("[INST]", "[/INST]", "</s>"), {"</s>"}),
        (GLM, (), {"<|user|>"}),
        (HARMONY, ("<|start|>", "<|channel|>", "<|message|>", "<|return|>"), {"<|return|>"}),
    ],
)
@pytest.mark.parametrize("special", [True, False])
def test_tokens(template, tokens, ends, special):
    tokenizer = with_tokens(template, *tokens, special=special)
    found = turn_ends(tokenizer)
    assert {tokenizer.convert_ids_to_tokens(i) for i in found.ids} == ends
    assert found.texts == ()


@pytest.mark.parametrize(
    ("template", "texts"),
    [(CHATML, ("<|im_end|>",)), (GEMMA, ("<end_of_turn>",)), (MISTRAL, ("</s>",)), (ALPACA, ("\n\n### user:",))],
)
def test_texts_that_are_no_single_token(template, texts):
    found = turn_ends(with_tokens(template))
    assert (found.ids, found.texts) == (frozenset(), texts)


@pytest.mark.parametrize("template", ["{{ messages[0]['content'] }}", "{{ raise_exception('roles') }}", "{{ 1 / 0 }}"])
def test_a_template_that_shows_no_end(template):
    assert turn_ends(with_tokens(template)) == (frozenset(), ())
