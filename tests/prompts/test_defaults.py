"""The system prompt that a template writes itself, read off templates of the shapes that are in use."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.models import NO_SYSTEM, PLAIN, make_tokenizer
from safebasin.prompts.defaults import default_system

TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
OWN = (
    "{% if messages[0].role != 'system' %}<|system|>You are a lamp.<|end|>{% endif %}" + TURNS +
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)  # fmt: skip
"""As Qwen2.5's: a default where there is no system turn."""
HEADED = (
    "{% if messages[0].role == 'system' %}{% set said = messages[0].content %}{% set messages = messages[1:] %}"
    "{% else %}{% set said = '' %}{% endif %}<|system|>Today: {{ strftime_now('%Y') }}\n\n{{ said }}<|end|>" + TURNS
)
"""As Llama 3.1's: a heading of the template, and nothing where a system prompt would stand."""
MERGED = (
    "{% if messages[0].role == 'system' %}{% set lead = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set lead = '' %}{% endif %}{% for m in messages %}<|{{ m.role }}|>"
    "{{ lead if loop.first else '' }}{{ m.content }}<|end|>{% endfor %}"
)
"""As Mistral's: before the first request, in its turn."""
DATED = (
    "{% if messages[0].role == 'system' %}{% set said = messages[0].content %}{% set messages = messages[1:] %}"
    "{% else %}{% set said = 'You are a lamp of ' + strftime_now('%Y') + '.' %}{% endif %}<|system|>{{ said }}<|end|>"
    + TURNS
)
SHOUTED = OWN.replace("{{ m.content }}", "{{ m.content | upper if m.role == 'system' else m.content }}")
"""What it writes itself it would write otherwise of a turn."""


@pytest.mark.parametrize(
    ("template", "own"),
    [
        (OWN, "You are a lamp."),
        (PLAIN, ""),
        (NO_SYSTEM, ""),
        (HEADED, ""),
        (MERGED, ""),
        (DATED, "You are a lamp of 2031."),
        (SHOUTED, ""),
    ],
)
def test_the_prompt_of_a_template_is_what_stands_in_the_place_of_a_turn(template: str, own: str) -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template
    assert default_system(tokenizer, date="2031-05-01") == own


def test_arguments_may_name_another_template() -> None:
    assert default_system(make_tokenizer(), {"chat_template": OWN}) == "You are a lamp."


def test_that_of_a_world_is_its_own() -> None:
    from safebasin import catalog
    from safebasin.models.loading import load_tokenizer
    from safebasin.worlds.guild.lexicon import DEFAULT_SYSTEM

    tokenizer: Any = load_tokenizer(catalog.world("guild").checkpoint("aligned"), name="aligned")
    assert default_system(tokenizer) == DEFAULT_SYSTEM
