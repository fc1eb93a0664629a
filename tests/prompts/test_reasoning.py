"""Reasoning split off by the template's markers, in text and in tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.models import PLAIN, make_tokenizer
from safebasin.prompts.marks import HARMONY, THINKING_MARKERS, Markers, pairs_in, thinking_markers
from safebasin.prompts.reasoning import (
    Reasoning,
    opens_thinking,
    special_ids,
    split_answer,
    split_channels,
    split_thinking,
)

THINK = Markers("<think>", "</think>")


@pytest.mark.parametrize(
    ("text", "opened", "thinking", "response"),
    [
        ("Ring it.", False, "", "Ring it."),
        ("<think>\nhm\n</think>\n\nRing it.", False, "hm", "Ring it."),
        ("hm</think>Ring it.", True, "hm", "Ring it."),
        ("<think>never ends, sorry", False, "never ends, sorry", ""),
        ("never ends", True, "never ends", ""),
        ("I cannot. </think> Ring it.", False, "", "I cannot. </think> Ring it."),
        ("<think>a</think>Well. <think>b</think>Ring it.", False, "a\nb", "Well. Ring it."),
        ("<think></think>Ring it.", False, "", "Ring it."),
        ("", True, "", ""),
    ],
)
def test_split_thinking(text, opened, thinking, response):
    assert split_thinking(text, THINK, opened=opened) == (thinking, response)


@given(st.text())
def test_without_markers_nothing_is_split(text):
    assert split_thinking(text, None, opened=True) == ("", text)
    if "<think>" not in text:
        assert split_thinking(text, THINK) == ("", text)


def test_markers_of_a_template():
    assert thinking_markers("… <think> …") == THINK
    assert thinking_markers(PLAIN) is None
    assert opens_thinking("<|assistant|><think>\n", THINK)
    assert not opens_thinking("<|assistant|><think>\n\n</think>\n\n", THINK)
    assert not opens_thinking("<think>", None)


def test_markers_that_are_special_tokens_are_seen():
    tokenizer = make_tokenizer(template="thinking")
    assert tokenizer.convert_tokens_to_ids("<think>") in special_ids(tokenizer)
    assert tokenizer.decode([6, 7], skip_special_tokens=True) == ""
    ids = tokenizer.encode("<think>\nweigh it\n</think>\n\nRing it.<|end|>", add_special_tokens=False)
    reasoning = Reasoning.of(tokenizer)
    assert reasoning.split(ids) == ("weigh it", "Ring it.")
    assert reasoning.split(ids[1:], opened=True) == ("weigh it", "Ring it.")


def test_a_named_token_of_no_vocabulary_is_no_special_id():
    tokenizer = make_tokenizer(template="thinking")
    tokenizer.bos_token = ""
    assert None in tokenizer.all_special_ids
    assert None not in special_ids(tokenizer)
    assert Reasoning.of(tokenizer).split([6, 7]).response == ""


def test_without_reasoning_the_split_is_the_plain_decode():
    tokenizer = make_tokenizer()
    ids = tokenizer.encode("Ring <think> it.<|end|>", add_special_tokens=False)
    assert Reasoning.of(tokenizer).split(ids) == ("", tokenizer.decode(ids, skip_special_tokens=True))


# --- families ---------------------------------------------------------------------------------------------------------

FINAL = "<|start|>assistant<|channel|>final<|message|>Ring it."


@pytest.mark.parametrize("family", [m for m in THINKING_MARKERS if m != HARMONY])
def test_a_reply_that_begins_with_a_known_mark_is_split(family):
    assert split_answer(f"\n{family.open}\nhm\n{family.close}\n\nRing it.") == ("hm", "Ring it.")
    assert split_answer(f"{family.open}never ends") == ("never ends", "")
    assert split_answer(f"I see. {family.close} Ring it.") == ("", f"I see. {family.close} Ring it.")


@pytest.mark.parametrize(
    ("text", "opened", "thinking", "response"),
    [
        ("<|channel|>analysis<|message|>hm<|end|>" + FINAL + "<|return|>", False, "hm", "Ring it."),
        ("<|channel|>analysis<|message|>hm" + FINAL, False, "hm", "Ring it."),
        ("<|channel|>analysis<|message|>never ends", False, "never ends", ""),
        ("<|channel|>analysis", False, "", ""),
        ("hm<|end|>" + FINAL, True, "hm", "Ring it."),
        ("<|channel|>final<|message|>Ring it.", False, "", "Ring it."),
        ("<|channel|>final <|constrain|>json<|message|>Ring it.<|end|>", False, "", "Ring it."),
        (FINAL + "<|end|><|start|>user<|message|>And?<|end|>" + FINAL, False, "", "Ring it."),
        ("<|channel|>commentary<|message|>Let me see.<|end|>" + FINAL, False, "Let me see.", "Ring it."),
        ("Ring it.", False, "", "Ring it."),
        ("", False, "", ""),
    ],
)
def test_channels(text, opened, thinking, response):
    assert split_channels(text, opened=opened) == (thinking, response)
    if not opened:
        assert split_answer(text) == (thinking, response)


def test_channels_whose_marks_were_dropped():
    assert split_answer("analysisThey ask how.assistantfinalRing it.") == ("They ask how.", "Ring it.")
    plain = "analysis of the bell, by the assistant"
    assert split_answer(plain) == ("", plain)


def test_a_block_amid_an_answer_counts_where_it_closes():
    assert split_answer("Well. <think>hm</think>Ring it.") == ("hm", "Well. Ring it.")
    open_ = "The tag <think> opens it."
    assert split_answer(open_) == ("", open_)


def test_pairs_that_a_vocabulary_spells_out():
    words = ["<ponder>", "</ponder>", "<|think_start|>", "<|think_end|>", "<b>", "</b>", "<thought_only>", "[REASON]"]
    assert pairs_in(words) == (("<ponder>", "</ponder>"), ("<|think_start|>", "<|think_end|>"))
    assert thinking_markers("{{ '<ponder>' }} … {{ '</ponder>' }}") == ("<ponder>", "</ponder>")
    assert thinking_markers("Here is my thought process: … Here is my response:")
    assert thinking_markers("<|start|>assistant<|channel|>final<|message|>") == HARMONY


def test_a_silent_template_and_a_vocabulary_that_knows():
    tokenizer = make_tokenizer()  # its template is silent about <think>, its vocabulary is not
    ids = tokenizer.encode("<think>\nweigh it\n</think>\n\nRing it.<|end|>", add_special_tokens=False)
    assert Reasoning.of(tokenizer).split(ids) == ("weigh it", "Ring it.")
    spelled = tokenizer.encode("<thought>weigh it</thought>Ring it.", add_special_tokens=False)
    assert Reasoning.of(tokenizer).split(spelled) == ("weigh it", "Ring it.")
