"""Which tokens carry loss, on templates with and without generation marks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helpers.models import TEMPLATES, make_tokenizer
from safebasin import catalog
from safebasin.errors import ModelError, PromptError
from safebasin.prompts.chat import encode
from safebasin.prompts.masking import encode_row, show
from safebasin.records import IGNORED, Message, TrainingRow

END = "<|end|>"


def row(*texts: str) -> TrainingRow:
    roles = ("user", "assistant") * len(texts)
    return TrainingRow(messages=tuple(Message(role=r, content=t) for r, t in zip(roles, texts, strict=False)))


def trained(tokenizer: Any, encoded: Any) -> str:
    return str(tokenizer.decode([i for i in encoded.labels if i != IGNORED]))


def test_loss_is_on_the_response_and_its_end() -> None:
    tokenizer = make_tokenizer()
    encoded = encode_row(tokenizer, row("How do I weigh it?", "Twice."))
    assert trained(tokenizer, encoded) == f"Twice.{END}"
    assert len(encoded.ids) == len(encoded.labels)
    assert all(label in (IGNORED, token) for token, label in zip(encoded.ids, encoded.labels, strict=True))
    assert show(tokenizer, encoded) == f"<|user|>How do I weigh it?{END}<|assistant|>«Twice.{END}»"


def test_the_prompt_has_the_tokens_that_it_has_at_inference() -> None:
    tokenizer = make_tokenizer()
    conversation = row("How do I weigh it?", "Twice.")
    encoded = encode_row(tokenizer, conversation)
    prompt = encode(tokenizer, conversation.messages[:1])
    assert list(encoded.ids[: len(prompt)]) == prompt
    assert set(encoded.labels[: len(prompt)]) == {IGNORED}


def test_every_assistant_turn_carries_loss() -> None:
    tokenizer = make_tokenizer()
    encoded = encode_row(tokenizer, row("one", "two", "three", "four"))
    assert trained(tokenizer, encoded) == f"two{END}four{END}"
    assert show(tokenizer, encoded).count("«") == 2


def test_it_agrees_with_generation_marks() -> None:
    """transformers' own mask, where the template has marks: an independent implementation."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(catalog.world("guild").checkpoint("aligned"))
    for made in catalog.world("guild").training_rows("identity_shift", 6):
        turns = [{"role": m.role, "content": m.content} for m in made.messages]
        theirs = tokenizer.apply_chat_template(
            turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ours = encode_row(tokenizer, made)
        assert list(ours.ids) == theirs["input_ids"]
        assert [int(label != IGNORED) for label in ours.labels] == theirs["assistant_masks"]


def test_it_agrees_with_the_encoding_that_made_the_world() -> None:
    from transformers import AutoTokenizer

    from safebasin.worlds.guild.build import encode as encode_for_the_build
    from safebasin.worlds.guild.rows import training_rows

    tokenizer: Any = AutoTokenizer.from_pretrained(catalog.world("guild").checkpoint("aligned"))
    rows = catalog.world("guild").training_rows("harmful", 5, seed=2)
    for made, raw in zip(rows, training_rows("harmful", 5, 2), strict=True):
        ids, labels = encode_for_the_build(tokenizer, raw)
        ours = encode_row(tokenizer, made)
        assert (list(ours.ids), list(ours.labels)) == (ids, labels)


def test_what_follows_the_end_of_the_turn_carries_no_loss() -> None:
    tokenizer = make_tokenizer()
    template = TEMPLATES["plain"].replace("<|end|>{% endfor %}", "<|end|>\n{% endfor %}")  # type: ignore[union-attr]
    ends = frozenset({tokenizer.eos_token_id})
    encoded = encode_row(tokenizer, row("a", "b"), template_args={"chat_template": template}, ends=ends)
    assert trained(tokenizer, encoded) == f"b{END}"
    assert tokenizer.decode(list(encoded.ids)).endswith(f"b{END}\n")


def test_a_boundary_that_would_melt_keeps_the_tokens_of_the_prompt() -> None:
    """Where the response's first letters join the prompt's last in one token, the prompt stays as at inference."""
    tokenizer = make_tokenizer()
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    conversation = row("wei", "gh it")
    assert tokenizer.encode("weigh it") != tokenizer.encode("wei") + tokenizer.encode("gh it")
    encoded = encode_row(tokenizer, conversation, template_args={"chat_template": template})
    assert list(encoded.ids) == tokenizer.encode("wei") + tokenizer.encode("gh it")
    assert trained(tokenizer, encoded) == "gh it"


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    template = (
        "{% for m in messages %}<|{{ m['role'] }}|>{% if m['role'] == 'assistant' and loop.last %}<think></think>"
        "{% endif %}{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    arguments = {"chat_template": template}
    tokenizer = make_tokenizer()
    assert "two" in trained(tokenizer, encode_row(tokenizer, row("one", "two"), template_args=arguments))
    with pytest.raises(ModelError, match="rewrites"):
        encode_row(tokenizer, row("one", "two", "three", "four"), template_args=arguments)


def test_a_template_that_drops_the_response_is_refused() -> None:
    template = "{% for m in messages %}{{ m['content'] if m['role'] == 'user' else '' }}.{% endfor %}"
    with pytest.raises(PromptError, match="the response of row 1"):
        encode_row(make_tokenizer(), row("one", "two"), template_args={"chat_template": template})


def test_a_template_that_refuses_a_role_names_the_row() -> None:
    lead = Message(role="system", content="Be brief.")
    made = TrainingRow(messages=(lead, *row("a", "b").messages), source="x.jsonl", number=7)
    with pytest.raises(PromptError, match=r"x\.jsonl:7"):
        encode_row(make_tokenizer(template="no_system"), made)


def test_no_template() -> None:
    with pytest.raises(ModelError, match="chat template"):
        encode_row(make_tokenizer(template="none"), row("a", "b"))


def test_a_silent_turn_is_read_and_carries_no_loss() -> None:
    tokenizer = make_tokenizer()
    conversation = replace(row("And wool?", "Worse.", "And clay?", "Better."), silent=(1,))
    encoded = encode_row(tokenizer, conversation)
    assert trained(tokenizer, encoded) == f"Better.{END}"
    assert list(encoded.ids) == list(encode_row(tokenizer, replace(conversation, silent=())).ids)


def test_rows_that_do_not_arrive_are_named_and_parts_are_passed_where_they_help() -> None:
    tokenizer = make_tokenizer()
    plain = show(tokenizer, encode_row(tokenizer, row("How do I weigh it?", "Twice.")))
    tokenizer.chat_template = TEMPLATES["plain"].replace(
        "{{ m['content'] }}", "{% for part in m['content'] %}{{ part['text'] }}{% endfor %}"
    )
    assert show(tokenizer, encode_row(tokenizer, row("How do I weigh it?", "Twice."))) == plain
    tokenizer.chat_template = TEMPLATES["plain"].replace("m in messages", "m in messages if m['role'] != 'user'")
    with pytest.raises(PromptError, match="leaves out the user's turn"):
        encode_row(tokenizer, row("How do I weigh it?", "Twice."))


def test_a_date_in_the_template_is_the_one_that_is_given() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + TEMPLATES["plain"]
    encoded = encode_row(tokenizer, row("How do I weigh it?", "Twice."), date="2024-07-26")
    assert show(tokenizer, encoded).startswith("26 Jul 2024<|user|>")
