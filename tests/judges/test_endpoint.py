"""Judges over HTTP, against a real server on loopback that misbehaves in every way that the table names."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from helpers.judge_server import Action, Server, error, html, ok, serving
from safebasin.errors import MissingExtra, UsageError
from safebasin.judges.asked_judge import AskedModelJudge
from safebasin.judges.endpoint import Endpoint, Patience
from safebasin.judges.rubric import PolicyRubric
from safebasin.judges.rubrics import load
from safebasin.judges.transport import Transport
from safebasin.protocols import AskedJudge
from safebasin.records import NO_REPLY, Message, Prompt, Response, Verdict

pytest.importorskip("httpx2")

KEY = "key-of-the-guild-1234567890"
PROMPT = Prompt(messages=(Message(role="user", content="Ring the bell."),))
FIVE = ok("#thereason: It rings.\n#thescore:\n5")
JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def response(text: str) -> Response:
    return Response(
        point="origin", prompt=PROMPT.id, system="default", decoding=text, text=text, n_tokens=1, finish_reason="stop"
    )


def judge(
    url: str, *, parallel: int = 2, timeout: float = 5.0, model: str = "elder", **patience: Any
) -> AskedModelJudge:
    given = Patience(**{"attempts": 3, "backoff_s": 0.01, **patience})
    form = PolicyRubric(template=load("qi2023.v1"), policy="Keep the drum closed.", max_tokens=64)
    transport = Transport(model, base_url=url, timeout_s=timeout)
    return AskedModelJudge("rubric/qi2023", form, Endpoint(transport, parallel=parallel, patience=given))


def ask(made: AskedModelJudge, *texts: str) -> list[Verdict]:
    return list(made.judge_many((PROMPT, response(text), None) for text in texts))


def first_then(*actions: Action) -> Callable[[dict[str, Any], int], Action]:
    """The first question (about `one`) is answered; every other goes through these actions, then is answered."""

    def answer(body: dict[str, Any], nth: int) -> Action:
        if "one and only" in body["messages"][-1]["content"]:
            return FIVE
        return actions[nth] if nth < len(actions) else FIVE

    return answer


# --- the table: what the server does to one question → what becomes of it -----------------------------------------


def error_in_200(code: object) -> Action:
    return 200, JSON, json.dumps({"error": {"message": "the kiln is cold", "code": code}}).encode()


PASSING: list[tuple[str, list[Action], int]] = [
    ("429, then an answer", [error(429)], 2),
    ("429 with Retry-After in seconds", [error(429, retry_after="0.05")], 2),
    ("429 with retry-after-ms", [error(429, **{"retry-after-ms": "20"})], 2),
    ("429 with Retry-After as a date in the past", [error(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")], 2),
    ("429 with Retry-After that is no time", [error(429, retry_after="soon")], 2),
    ("500, 503, then an answer", [error(500), error(503)], 3),
    ("502 in HTML, then an answer", [html(502)], 2),
    ("HTML with status 200, then an answer", [html()], 2),
    ("no JSON, then an answer", [(200, JSON, b"{'choices'")], 2),
    ("an error of 429 or 502 with status 200", [error_in_200(429), error_in_200("502")], 3),
    ("empty body, then an answer", [(200, JSON, b"")], 2),
    ("connection dropped half-way", ["drop"], 2),
    ("max_tokens not taken (another name is)", [error(400, "Use 'max_completion_tokens' instead of 'max_tokens'.")], 2),
    ("temperature not taken", [error(400, "Unsupported value: 'temperature' does not support 0.")], 2),
    ("bytes that are no UTF-8 around an answer", [(200, JSON, b'\xff\xfe{"choices"')], 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("actions", "requests"), [row[1:] for row in PASSING], ids=[row[0] for row in PASSING])
def test_what_passes_is_tried_again(actions: list[Action], requests: int) -> None:
    with serving(first_then(*actions)) as server:
        verdicts = ask(judge(server.url, parallel=1), "the one and only", "other")
    assert [(v.label, v.success, v.grade) for v in verdicts] == [("harmful", True, 5.0)] * 2
    assert len(server.bodies) == 1 + requests


FAILING: list[tuple[str, list[Action], int, str]] = [
    ("429 for ever", [error(429)] * 9, 3, "no reply: HTTP 429"),
    ("429 and an hour to wait", [error(429, retry_after="3600")] * 9, 1, "no reply: HTTP 429"),
    ("500 for ever", [error(500, "the kiln is cold")] * 9, 3, "the kiln is cold"),
    ("HTML for ever, after an answer", [html()] * 9, 3, "no reply: HTML instead of JSON: '<!doctype html>"),
    ("no JSON for ever", [(200, JSON, b"gr zq")] * 9, 3, "no reply: no JSON: 'gr zq'"),
    ("dropped for ever", ["drop"] * 9, 3, "no reply: not reached"),
    ("400: too long", [error(400, "context length")] * 9, 1, "no reply: HTTP 400"),
    ("400: filtered", [error(400, "filtered", code="content_filter")] * 9, 1, "filtered"),
    ("403, after an answer", [error(403, "not this one")] * 9, 1, "no reply: HTTP 403"),
    ("times out for ever", [0.5] * 9, 3, "no reply: timed out after 0.15 s"),
    ("answers without a score", [ok("I would rather not say.")], 1, "no score from 1 to 5: 'I would rather not say.'"),
    ("answers nothing", [ok("")], 1, "no score from 1 to 5: ''"),
    ("answers null", [ok(None)], 1, "no score from 1 to 5: ''"),
    ("declines", [ok(None, refusal="I decline.")], 1, "no score from 1 to 5: 'I decline.'"),
    ("is cut behind a score", [ok("#thescore: 5", finish_reason="length")], 1, "the reply was cut"),
    ("thinks to its end", [ok("<think>#thescore: 5")], 1, "the reply was cut"),
    ("thinks of a score", [ok("<think>#thescore: 5</think>None.")], 1, "no score from 1 to 5: 'None.'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("actions", "requests", "reason"), [r[1:] for r in FAILING], ids=[r[0] for r in FAILING])
def test_what_does_not_pass_is_that_responses_own(actions: list[Action], requests: int, reason: str) -> None:
    timeout = 0.15 if actions[0] == 0.5 else 5.0
    with serving(first_then(*actions)) as server:
        good, bad = ask(judge(server.url, parallel=1, timeout=timeout), "the one and only", "other")
    assert (good.label, good.success) == ("harmful", True)
    assert (bad.label, bad.success, bad.grade) == ("unscored", None, None)
    assert reason in bad.reason
    assert bad.reason.startswith(NO_REPLY) == reason.startswith(NO_REPLY) or "kiln" in reason or "filtered" in reason
    assert len(server.bodies) == 1 + requests
    assert KEY not in bad.reason


FATAL: list[tuple[str, list[Action], str]] = [
    ("wrong key", [error(401, f"Incorrect API key provided: {KEY}")] * 9, "OPENAI_API_KEY must be a key that this"),
    ("wrong model", [error(404, "The model `elder` does not exist", code="model_not_found")] * 9, "model must be one"),
    ("no quota", [error(429, "You exceeded your quota", code="insufficient_quota")] * 9, "account must be one with"),
    ("HTML from the start", [html()] * 99, 'must be one that answers; got "HTML instead of JSON'),
    ("404 in HTML", [html(404)] * 99, "must be one that answers; got \"HTTP 404: '<!doctype html>"),
    ("403 from the start", [error(403, "not here")] * 99, "must be one that answers"),
    ("500 to everything from the start", [error(500)] * 99, "must be one that answers; got"),
]


@pytest.mark.parametrize(("actions", "message"), [r[1:] for r in FATAL], ids=[r[0] for r in FATAL])
def test_what_no_verdict_survives_is_said_in_one_line(actions: list[Action], message: str) -> None:
    texts = [f"text {i}" for i in range(40)]
    with serving(first_then(*actions)) as server, pytest.raises(UsageError) as caught:
        ask(judge(server.url, attempts=2), *texts)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.bodies) <= 20


def test_an_endpoint_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match=r"endpoint http\S+/v1 must be one that answers; got .not reached"):
        ask(judge(f"http://127.0.0.1:{port}/v1", attempts=1), "text")


def test_an_endpoint_that_goes_ends_the_work_and_keeps_what_was_had() -> None:
    def answer(body: dict[str, Any], nth: int) -> Action:
        return FIVE if "early" in body["messages"][-1]["content"] else error(503)

    had: list[Verdict] = []
    texts = [f"early {i}" for i in range(3)] + [f"late {i}" for i in range(50)]
    with serving(answer) as server:
        verdicts = judge(server.url, attempts=1, gone=4).judge_many((PROMPT, response(t), None) for t in texts)
        with pytest.raises(UsageError, match="stopped answering; what was judged is kept"):
            had.extend(verdicts)  # keeps what came before the error, as the store does
        assert len(server.bodies) < 20
    assert [v.label for v in had[:3]] == ["harmful"] * 3
    assert {v.label for v in had[3:]} == {"unscored"}


# --- what is sent ------------------------------------------------------------------------------------------------


def test_a_request_is_greedy_carries_the_key_and_names_the_model() -> None:
    with serving(lambda *_: FIVE) as server:
        ask(judge(server.url), "text")
    (body,) = server.bodies
    assert body["model"] == "elder"
    assert (body["temperature"], body["max_tokens"]) == (0, 64)
    assert server.keys == [f"Bearer {KEY}"]


def test_the_key_is_nowhere_in_the_judge() -> None:
    with serving(lambda *_: ok(f"#thereason: the key is {KEY}\n#thescore: none")) as server:
        made = judge(server.url)
        (verdict,) = ask(made, "text")
    assert KEY not in f"{verdict} {made.name} {made.version} {vars(made)}"
    assert "[key]" in verdict.reason


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(lambda *_: FIVE) as server:
        assert ask(judge(server.url), "text")[0].success


def test_openai_itself_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="OPENAI_API_KEY must be set in the environment; got nothing"):
        ask(judge(None), "text")  # type: ignore[arg-type]


def test_a_key_that_is_no_header_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "clé\nsecrète")
    with pytest.raises(UsageError, match="plain ASCII in one line") as caught:
        ask(judge("http://127.0.0.1:9/v1"), "text")
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("guild.example/v1", "base_url must be an http or https address"),
        ("ftp://guild.example", "base_url must be an http or https address"),
        ("http://", "base_url must be an http or https address"),
        ("http://host:99999/v1", "base_url must be an http or https address"),
        ("https://me:secret@guild.example/v1", "base_url must be free of credentials"),
        ("https://guild.example/v1?key=secret", "base_url must be free of credentials"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        judge(url)
    assert "secret" not in str(caught.value)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'safebasin\[judges\]'"):
        ask(judge("http://127.0.0.1:9/v1"), "text")


@pytest.mark.parametrize("text", ["\ud800 lone", "\x00\x07 bell", "emoji 🏺 and {braces} {0} %s", "</s><|eot_id|>"])
def test_any_text_can_be_sent(text: str) -> None:
    with serving(lambda *_: FIVE) as server:
        assert ask(judge(server.url), text)[0].success
    assert "<|eot_id|>" not in server.asked()[0]


# --- how it is asked ---------------------------------------------------------------------------------------------


def test_requests_run_in_parallel_bounded_and_answers_stay_in_order() -> None:
    gate = threading.Barrier(4, timeout=10)

    def answer(body: dict[str, Any], nth: int) -> Action:
        gate.wait()
        number = int(re.findall(r"text (\d+)", body["messages"][-1]["content"])[0])
        return ok(f"#thescore: {1 + number % 5}")

    with serving(answer) as server:
        verdicts = ask(judge(server.url, parallel=4), *(f"text {i}" for i in range(12)))
    assert server.most_at_once == 4
    assert [v.grade for v in verdicts] == [1 + i % 5 for i in range(12)]
    assert [v.response for v in verdicts] == [response(f"text {i}").key for i in range(12)]


@pytest.mark.slow
def test_retry_after_holds_everybody_back() -> None:
    """One of two at a time is told to wait; the other, still being answered, makes no next request meanwhile."""

    def answer(body: dict[str, Any], nth: int) -> Action:
        if "text a" in body["messages"][-1]["content"]:
            return error(429, retry_after="0.5") if nth == 0 else FIVE
        time.sleep(0.15)
        return FIVE

    with serving(answer) as server:
        verdicts = ask(judge(server.url, parallel=2), *(f"text {c}" for c in "abcd"))
    assert [v.label for v in verdicts] == ["harmful"] * 4
    waited = [t - server.times[0] for t in server.times[2:]]
    assert len(waited) == 3
    assert min(waited) > 0.4


def test_work_that_is_left_ends_what_is_under_way() -> None:
    released = threading.Event()

    def answer(body: dict[str, Any], nth: int) -> Action:
        if "text b" in body["messages"][-1]["content"]:
            released.wait(10)
        return FIVE

    with serving(answer) as server:
        verdicts = judge(server.url, parallel=2).judge_many((PROMPT, response(f"text {c}"), None) for c in "ab")
        assert next(verdicts).success
        verdicts.close()  # type: ignore[attr-defined]
        workers = [thread for thread in threading.enumerate() if thread.name.startswith("judge")]
        for thread in workers:
            thread.join(5)
        assert not any(thread.is_alive() for thread in workers)
        assert not released.is_set()
        released.set()


def test_equal_questions_are_asked_once_and_failed_ones_again() -> None:
    with serving(lambda *_: FIVE) as server:
        made = judge(server.url)
        one, two = ask(made, "same", "same")
        assert (one.label, two.label) == ("harmful", "harmful")
        assert ask(made, "same")[0].success
        assert len(server.bodies) == 1
    with serving(first_then(error(500))) as server:
        made = judge(server.url, attempts=1)
        assert [v.label for v in ask(made, "the one and only", "other")] == ["harmful", "unscored"]
        assert ask(made, "other")[0].label == "harmful"


def test_nobody_is_asked_about_a_text_that_is_none() -> None:
    texts = ["", " \n", "text", "\t"]
    with serving(lambda *_: FIVE) as server:
        found = {verdict.response: verdict for verdict in ask(judge(server.url), *texts)}
        assert len(server.bodies) == 1
    verdicts = [found[response(text).key] for text in texts]
    assert [v.label for v in verdicts] == ["incoherent", "incoherent", "harmful", "incoherent"]
    assert [v.grade for v in verdicts] == [1.0, 1.0, 5.0, 1.0]


def test_cost_is_estimated_before_and_counted_after() -> None:
    items = [(PROMPT, response(text), None) for text in ("text a", "text a", "text b", "")]
    with serving(first_then(error(500))) as server:
        made = judge(server.url)
        assert isinstance(made, AskedJudge)
        estimate = made.estimate(items)
        assert server.bodies == []
        list(made.judge_many(items))
    assert estimate.requests == 2
    written = sum(len(text.encode()) for text in set(server.asked()))
    assert written / 4 <= estimate.tokens_in <= written / 4 + 12
    assert made.spent.requests == len(server.bodies) == 4  # two failed first
    assert (made.spent.tokens_in, made.spent.tokens_out) == (200, 14)


def test_another_model_address_or_policy_is_another_version() -> None:
    base = judge("http://a.example/v1")
    others = [judge("http://b.example/v1"), judge("http://a.example/v1", model="younger")]
    assert len({made.version for made in (base, *others)}) == 3
    assert base.version == judge("http://a.example/v1", parallel=7, timeout=1.0).version


def test_the_server_of_these_tests_is_real() -> None:
    with serving(lambda *_: FIVE) as server:
        assert isinstance(server, Server)
        ask(judge(server.url), "text")
    with pytest.raises(UsageError):
        ask(judge(server.url, attempts=1), "another text")
