"""What the body of a chat completion says: total over bytes, and never a score that is not there."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safebasin.judges.asked_judge import RAW_LIMIT
from safebasin.judges.completion import Answered, Failed, Outcome, read_completion
from safebasin.judges.guard.qwen import read_qwen3guard
from safebasin.judges.guard.wildguard import read_wildguard
from safebasin.judges.reply_scores import labeled_digit, score_after_header
from safebasin.judges.secret import Secret
from safebasin.judges.wire import Unpacking, UnreadError

KEY = "key-of-the-guild/1234"

# names and texts that a completion has, so that shapes come near to one
NAMES = st.sampled_from(
    ["choices", "message", "content", "refusal", "type", "text", "finish_reason", "usage", "prompt_tokens",
     "completion_tokens", "error", "code", "thinking", "0", ""]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["#thescore: 5", "<think>", "</think>", "text", "refusal", "thinking", "length", "429", KEY, "\ud800"]
    ),
)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
MESSAGES = st.fixed_dictionaries({"content": VALUES}, optional={"refusal": VALUES})
CHOICES = st.fixed_dictionaries({"message": st.one_of(MESSAGES, VALUES)}, optional={"finish_reason": VALUES})
REPLIES = st.fixed_dictionaries(
    {"choices": st.one_of(st.lists(st.one_of(CHOICES, VALUES), max_size=2), VALUES)},
    optional={"usage": VALUES, "error": VALUES},
)
BODIES = st.one_of(
    st.binary(max_size=80),
    st.one_of(REPLIES, VALUES).map(lambda value: json.dumps(value).encode()),
    st.tuples(REPLIES.map(lambda v: json.dumps(v).encode()), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
    st.integers(1, 3_000).map(lambda deep: b'{"choices": [' * deep),
    st.integers(1, 9_999).map(lambda digits: b'{"choices": ' + b"9" * digits + b"}"),
)
PACKED = st.sampled_from(["", "identity", "gzip", "deflate", "br", "gzip, br", "\x00"])


def read(body: str, content_type: str = "application/json") -> Outcome:
    return read_completion(body, content_type, Secret(KEY).masked)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, encoding=PACKED, pack=st.booleans(), size=st.integers(1, 50), content_type=st.text(max_size=12))
def test_any_body_is_an_answer_or_a_reason(
    body: bytes, encoding: str, pack: bool, size: int, content_type: str
) -> None:
    sent = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(body) if pack else body
    try:
        unpacking = Unpacking(encoding, 2_000)
        for start in range(0, len(sent), size):
            unpacking.feed(sent[start : start + size])
        text = unpacking.whole()
    except UnreadError:  # what `Wire` turns into a reason
        return
    assert len(text) <= 2_000
    outcome = read(Secret(KEY).masked(text), content_type)
    if isinstance(outcome, Answered):
        outcome.text.encode()
        assert KEY not in outcome.text
        assert all(n is None or 0 <= n <= 10**9 for n in (outcome.tokens_in, outcome.tokens_out))
    else:
        assert outcome.why
        assert outcome.fatal is None
        assert KEY not in outcome.why
        assert len(outcome.why) <= 12 * RAW_LIMIT


@pytest.mark.parametrize("finish", ["length", "max_tokens", "content_filter"])
def test_what_was_cut_is_known_to_be(finish: str) -> None:
    outcome = read(json.dumps({"choices": [{"finish_reason": finish, "message": {"content": "#thescore: 5"}}]}))
    assert outcome == Answered(text="#thescore: 5", cut=True)


def test_a_key_that_json_hides_is_masked() -> None:
    hidden = "".join(f"\\u{ord(char):04x}" if i % 2 else char for i, char in enumerate(KEY))
    outcome = read(f'{{"choices": [{{"message": {{"content": "it is {hidden}"}}}}]}}')
    assert outcome == Answered(text="it is [key]")


@pytest.mark.parametrize("body", ["<html>", " \n<!doctype html>", "{", "", "data: {}"])
def test_what_is_no_json_may_be_json_next_time(body: str) -> None:
    outcome = read(body)
    assert isinstance(outcome, Failed)
    assert outcome.again


LONG = 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["\n", " ", ":", "*", "  \n", "-", ": ", "a-", "_ "])
@pytest.mark.parametrize("before", ["", "Score:", "#thescore", "#refusal", "Harmful response:", "Categories:"])
def test_a_reply_of_a_million_signs_is_read_at_once(before: str, piece: str) -> None:
    """Expressions that take the square of a length would take hours here."""
    text = before + piece * (LONG // len(piece))
    readers: list[Any] = [
        lambda: score_after_header(text, low=1, high=5),
        lambda: labeled_digit(text, "refusal", low=0, high=1),
        lambda: read_wildguard(text).success,
        lambda: read_qwen3guard(text).success,
    ]
    assert [reader() for reader in readers] == [None] * 4


def test_what_stands_behind_a_long_run_is_still_read() -> None:
    run = "\n" * 500
    assert score_after_header(f"#thescore:{run} 5", low=1, high=5) == 5
    assert score_after_header(f"{run}Score: 4{run}", low=1, high=5) == 4
    assert labeled_digit(f"#refusal: 0{run}#refusal:{' ' * 500}1", "refusal", low=0, high=1) == 1
