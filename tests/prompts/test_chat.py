"""Chat templates as tokenizers carry them, good and bad."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helpers.models import PLAIN, make_tokenizer
from safebasin.errors import ModelError, PromptError, UsageError
from safebasin.prompts import templates
from safebasin.prompts.chat import encode, render, rendered, template_hash, template_of
from safebasin.prompts.templates import today
from safebasin.records import Message

ASK = (Message(role="user", content="How is the bell rung?"),)
SYSTEM = (Message(role="system", content="You are a smith."), *ASK)


def test_it_renders_what_the_template_says():
    tokenizer = make_tokenizer()
    assert render(tokenizer, SYSTEM) == (
        "<|system|>You are a smith.<|end|><|user|>How is the bell rung?<|end|><|assistant|>"
    )
    assert render(tokenizer, ASK, add_generation_prompt=False).endswith("rung?<|end|>")


def test_the_ids_are_those_of_apply_chat_template():
    tokenizer = make_tokenizer()
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": ASK[0].content}], add_generation_prompt=True, tokenize=True
    )["input_ids"]
    assert encode(tokenizer, ASK) == expected


def test_bos_stands_once_though_the_tokenizer_adds_one_of_its_own():
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    tokenizer._tokenizer.post_processor = TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
    tokenizer.chat_template = "{{ bos_token }}" + PLAIN
    assert tokenizer("clay")["input_ids"][0] == 1
    assert encode(tokenizer, ASK).count(1) == 1


def test_an_opening_is_left_open():
    text = render(make_tokenizer(), (*ASK, Message(role="assistant", content="Begin with two turns")))
    assert text.endswith("<|assistant|>Begin with two turns")


def test_template_arguments_pass_through():
    tokenizer = make_tokenizer(template="thinking")
    assert render(tokenizer, ASK).endswith("<|assistant|>")
    silent = render(tokenizer, ASK, template_args=(("enable_thinking", False),))
    assert silent.endswith("<think>\n\n</think>\n\n")


def test_no_template():
    with pytest.raises(ModelError, match="must be a chat model, or come with a chat template") as caught:
        render(make_tokenizer(template="none"), ASK)
    assert "--template-arg chat_template=@FILE" in str(caught.value)


def test_a_template_from_a_file(tmp_path):
    path = tmp_path / "plain.jinja"
    path.write_text("Q: {{ messages[0]['content'] }} A:")
    bare = make_tokenizer(template="none")
    args = {"chat_template": f"@{path}"}
    assert render(bare, ASK, template_args=args) == "Q: How is the bell rung? A:"
    before = template_hash(bare, args)
    path.write_text("Question: {{ messages[0]['content'] }}")
    assert template_hash(bare, args) != before
    with pytest.raises(ModelError, match="chat template must be an existing file"):
        render(bare, ASK, template_args={"chat_template": "@nowhere.jinja"})


def test_named_templates():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = {"default": PLAIN, "short": "{{ messages[0]['content'] }}"}
    assert render(tokenizer, ASK).startswith("<|user|>")
    assert render(tokenizer, ASK, template_args={"chat_template": "short"}) == ASK[0].content
    with pytest.raises(ModelError, match="one of default, short"):
        render(tokenizer, ASK, template_args={"chat_template": "shrt"})


def test_a_template_without_system_role_is_told_apart():
    tokenizer = make_tokenizer(template="no_system")
    assert render(tokenizer, ASK)
    with pytest.raises(PromptError, match="Use --system default"):
        render(tokenizer, SYSTEM)


def test_a_template_that_swallows_the_system_turn_is_not_trusted():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}{% endfor %}"
    assert render(tokenizer, ASK) == ASK[0].content
    with pytest.raises(PromptError, match="leaves it out"):
        render(tokenizer, SYSTEM)
    empty = (Message(role="system", content=""), *ASK)
    assert render(tokenizer, empty) == ASK[0].content


def test_a_template_that_refuses_the_roles():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(PromptError, match="roles must alternate"):
        render(tokenizer, ASK)


def test_lone_surrogates_are_an_error_of_the_prompt():
    with pytest.raises(PromptError, match="free of lone surrogates"):
        render(make_tokenizer(), (Message(role="user", content="clay \ud800"),))


def test_template_hash_sees_all_that_shapes_the_text():
    tokenizer, other = make_tokenizer(), make_tokenizer(pad_token=False)
    hashes = {
        template_hash(tokenizer),
        template_hash(other),
        template_hash(tokenizer, {"enable_thinking": True}),
        template_hash(make_tokenizer(template="no_system")),
    }
    assert len(hashes) == 4
    assert template_hash(tokenizer) == template_hash(make_tokenizer())


@pytest.mark.slow
def test_nothing_heavy_is_imported():
    load = "import sys; import safebasin.prompts.chat, safebasin.prompts.reasoning; "
    code = load + "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- prompts that arrive ----------------------------------------------------------------------------------------------

WALKS_PARTS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% for part in m['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endif %}{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def with_template(template: str):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_a_template_that_walks_parts_is_given_parts():
    assert render(with_template(WALKS_PARTS), SYSTEM) == render(make_tokenizer(), SYSTEM)


@pytest.mark.parametrize(
    "template",
    [
        "<|user|>hello<|end|><|assistant|>",  # never looks at the conversation
        "<|user|>{{ messages[0]['content'][:9] }}<|end|>",
        "{{ messages[0]['role'] }}",
        "{% for m in messages %}{{ m['content']['text'] }}{% endfor %}<|assistant|>",
    ],
)
@pytest.mark.parametrize("asked", ["hello", "assistant", "How is the bell rung?"])
def test_a_prompt_that_does_not_arrive_is_an_error(template, asked):
    with pytest.raises(PromptError, match="user's turn must be passed on whole"):
        render(with_template(template), (Message(role="user", content=asked),))


@pytest.mark.parametrize("written", ["trim", "replace('\\n', ' ')", "tojson", "e", "replace(' ', '  ')"])
def test_a_text_that_is_stripped_folded_or_escaped_has_arrived(written):
    tokenizer = with_template("{% for m in messages %}{{ m['content'] | " + written + " }}|{% endfor %}")
    turns = (Message(role="system", content='  Be brief.\nBe "kind" & calm.\n'), *ASK)
    assert "brief" in render(tokenizer, turns)


def test_earlier_thoughts_of_the_assistant_may_be_left_out():
    tokenizer = with_template(PLAIN.replace("{{ m['content'] }}", "{{ m['content'].split('</think>')[-1] }}"))
    said = Message(role="assistant", content="<think>hm</think>Twice.")
    assert "hm" not in render(tokenizer, (*ASK, said, *ASK))
    drops = with_template("{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(PromptError, match="assistant's turn must be passed on whole"):
        render(drops, (*ASK, said, *ASK))


def test_the_opening_is_what_stands_behind_the_conversation():
    ask = (Message(role="user", content="What is <think> for?"),)
    assert rendered(make_tokenizer(), ask).opening == "<|assistant|>"
    silent = with_template(PLAIN.replace("{% if add_generation_prompt %}", "").replace("{% endif %}", "<think>\n"))
    assert rendered(silent, ask).opening == "<|end|><|assistant|><think>"
    assert rendered(make_tokenizer(), (*ask, Message(role="assistant", content="It"))).opening == "It"


# --- dates and limits -------------------------------------------------------------------------------------------------


def test_a_date_is_the_one_that_is_given():
    tokenizer = with_template("{{ strftime_now('%d %b %Y') }}|{{ messages[0]['content'] }}")
    assert render(tokenizer, ASK, date="2024-07-26").startswith("26 Jul 2024|")
    assert template_of(tokenizer).reads_clock
    assert not template_of(make_tokenizer()).reads_clock
    assert render(tokenizer, ASK) == render(tokenizer, ASK, date=today(tokenizer))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 0.2 s"),
        ("{{ 'a' * 10000000000 }}", "the number 10000000000 in line 1"),
        ("{{ 'a' * 99999 * 99999 }}", "a product in line 1"),
        ("\n{{ 'a' * 10 ** 10 }}", "a power in line 2"),
        ("{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}", "GB"),
    ],
)
def test_a_template_without_end_is_stopped(template, words, monkeypatch):
    monkeypatch.setattr(templates, "LIMIT_S", 0.2)
    monkeypatch.setattr(templates, "LIMIT_BYTES", 2**28)
    monkeypatch.setattr(templates, "_STEPS", 1)
    with pytest.raises(ModelError, match="one that renders within") as caught:
        render(with_template(template), ASK)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "template",
    ["{{ 1 / 0 }}", "{{ nothing.at.all }}", "{{ range(10000000) | list }}", "{{ ''.__class__ }}", "{% if %}",
     "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"],
)  # fmt: skip
def test_whatever_a_template_raises_is_help(template):
    with pytest.raises(UsageError):
        render(with_template(template), ASK)


def test_a_call_may_pass_keywords_on():
    tokenizer = with_template("{% macro f() %}{{ kwargs['a'] }}{% endmacro %}{{ f(**{'a': messages[0]['content']}) }}")
    assert render(tokenizer, ASK) == ASK[0].content
