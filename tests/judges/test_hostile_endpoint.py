"""Endpoints that mean harm: every one costs its deadline or its cap, gives `unscored`, and learns nothing."""

from __future__ import annotations

import base64
import gzip
import html
import json
import tracemalloc
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from helpers.judge_server import (
    DRIPPING,
    ENDLESS,
    HEAD,
    Action,
    bomb,
    chat,
    drip,
    error,
    moved,
    ok,
    packed,
    raw,
    serving,
)
from safebasin.errors import UsageError
from safebasin.judges.asked_judge import RAW_LIMIT, AskedModelJudge
from safebasin.judges.endpoint import Endpoint, Patience
from safebasin.judges.rubric import PolicyRubric
from safebasin.judges.rubrics import load
from safebasin.judges.secret import Secret
from safebasin.judges.transport import Transport
from safebasin.records import Message, Prompt, Response, Verdict

pytest.importorskip("httpx2")

KEY = "sk-guild/Key+of the=Kiln&1234567890"
"""With everything in it that some encoding spells otherwise."""
PROMPT = Prompt(messages=(Message(role="user", content="Ring the bell."),))
FIVE = ok("#thescore: 5")
JSON = {"content-type": "application/json"}
MB = 2**20


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def ask(url: str, *texts: str, timeout: float = 5.0, attempts: int = 2, gone: int = 20) -> list[Verdict]:
    transport = Transport("elder", base_url=url, timeout_s=timeout, most_bytes=MB)
    patience = Patience(attempts=attempts, backoff_s=0.01, hopeless=3, gone=gone)
    form = PolicyRubric(template=load("qi2023.v1"), policy="Keep the drum closed.", max_tokens=64)
    judge = AskedModelJudge("rubric/qi2023", form, Endpoint(transport, parallel=1, patience=patience))
    return list(judge.judge_many((PROMPT, response(text), None) for text in texts))


def response(text: str) -> Response:
    return Response(
        point="origin", prompt=PROMPT.id, system="default", decoding=text, text=text, n_tokens=1, finish_reason="stop"
    )


def amid(action: Action, **settings: Any) -> tuple[Verdict, int]:
    """The verdict on a response whose question meets the action, between two that are answered; its requests."""

    def answer(body: dict[str, Any], nth: int) -> Action:
        return action if "text b" in body["messages"][-1]["content"] else FIVE

    with serving(answer) as server:
        before, verdict, after = ask(server.url, "text a", "text b", "text c", **settings)
    assert before.success
    assert after.success
    return verdict, len(server.bodies) - 2


def shape(value: object) -> Action:
    return 200, JSON, json.dumps(value).encode()


def content(value: object) -> Action:
    return shape({"choices": [{"finish_reason": "stop", "message": {"content": value}}]})


# --- deadline and caps -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("what", DRIPPING)
def test_one_that_is_always_about_to_answer_costs_its_deadline(what: str) -> None:
    verdict, requests = amid(DRIPPING[what], timeout=0.3)
    assert (verdict.label, verdict.success) == ("unscored", None)
    assert "timed out after 0.3 s" in verdict.reason
    assert requests == 2


@pytest.mark.parametrize("what", ENDLESS)
def test_one_that_never_ends_costs_its_cap(what: str) -> None:
    verdict, requests = amid(ENDLESS[what])
    assert verdict.label == "unscored"
    assert "a reply of more than 1 MB" in verdict.reason
    assert requests == 1


def test_headers_without_end_are_not_kept() -> None:
    verdict, _ = amid(drip(HEAD, b"x: " + b"y" * 2**14 + b"\r\n", 0.0))
    assert verdict.label == "unscored"
    assert "not reached" in verdict.reason


@pytest.mark.slow
def test_what_unpacks_to_a_gigabyte_is_never_unpacked() -> None:
    payload = bomb(256)
    assert len(payload) < MB / 2
    tracemalloc.start()
    verdict, requests = amid(packed(payload))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "a reply of more than 1 MB" in verdict.reason
    assert requests == 1
    assert peak < 16 * MB


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (packed(gzip.compress(chat("#thescore: 5")), "br"), "packed as 'br', which was not asked for"),
        (packed(gzip.compress(chat("#thescore: 5")), "gzip, gzip"), "packed as 'gzip, gzip'"),
        (packed(gzip.compress(chat("#thescore: 5"))[:-9]), "a packed body that ends too early"),
        (packed(b"no gzip"), "a body that does not unpack"),
        (packed(gzip.compress(b"{") * 3), "a packed body with more behind its end"),
    ],
)
def test_what_does_not_unpack_is_unscored(action: Action, reason: str) -> None:
    verdict, requests = amid(action)
    assert reason in verdict.reason
    assert requests == 1


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "identity"])
def test_what_unpacks_within_the_cap_is_read(encoding: str) -> None:
    whole = chat("#thescore: 5")
    body = {"deflate": zlib.compress(whole), "identity": whole}.get(encoding, gzip.compress(whole))
    verdict, _ = amid(packed(body, encoding))
    assert verdict.success


# --- bodies that are no answer -----------------------------------------------------------------------------------

BODIES: list[tuple[str, Action, int, str]] = [
    ("nested 100,000 deep", (200, JSON, b"[" * 100_000 + b"]" * 100_000), 1, "JSON nested too deeply: '[[["),
    ("deep within an answer", (200, JSON, b'{"choices": ' + b'{"a": ' * 50_000), 1, "JSON nested too deeply"),
    ("an error nested deep", (500, JSON, b"[" * 100_000), 2, "HTTP 500: '[[["),
    ("a number of 5,000 digits", (200, JSON, b"1" * 5_000), 2, "no JSON: '111"),
    ("NaN", shape(float("nan")), 1, "malformed: 'NaN'"),
    ("NaN for content", content(float("nan")), 1, "content that is no text (a float)"),
    ("a number for content", content(5), 1, "content that is no text (a int)"),
    ("an image part", content([{"type": "image_url"}]), 1, "content that is no text (a part of type 'image_url')"),
    ("text beside an image", content([{"type": "text", "text": "#thescore: 5"}, {"type": "x"}]), 1, "type 'x'"),
    ("a part that is none", content(["#thescore: 5"]), 1, "content that is no text (a part without a type)"),
    ("a text part of a number", content([{"type": "text", "text": 5}]), 1, "content that is no text"),
    ("only thoughts", content([{"type": "thinking", "thinking": "#thescore: 5"}]), 1, "no score from 1 to 5: ''"),
    ("JSON of another kind", shape({"a": 1}), 1, "no reply: malformed: '{\"a\": 1}'"),
    ("a list", shape([]), 1, "malformed: '[]'"),
    ("null", shape(None), 1, "malformed: 'null'"),
    ("no choices", shape({"choices": []}), 1, "malformed: '{\"choices\": []}'"),
    ("choices that are a mapping", shape({"choices": {"0": 1}}), 1, "malformed"),
    ("a message that is a text", shape({"choices": [{"message": "#thescore: 5"}]}), 1, "malformed"),
    (
        "an error with status 200",
        shape({"error": {"message": "no", "code": "bad"}}),
        1,
        "an error instead of an answer",
    ),
    ("an error of overload with status 200", shape({"error": {"code": 529}}), 2, "an error instead of an answer"),
    ("a stream of events", (200, {"content-type": "text/event-stream"}, b"data: {}\n\n"), 2, "no JSON: 'data: {}"),
    ("an image", (200, {"content-type": "image/png"}, b"\x89PNG\r\n\x1a\n\x00"), 2, "no JSON"),
    ("a codec that is none", (200, {"content-type": "application/json; charset=idna"}, b"\xff"), 2, "no JSON"),
    ("half an answer", raw(HEAD + b"content-length: 900\r\n\r\n" + chat("#thescore: 5")[:60]), 2, "not reached"),
    ("half an answer without a length", raw(HEAD + b"\r\n" + chat("#thescore: 5")[:60]), 2, "no JSON"),
    ("no HTTP", raw(b"SSH-2.0-guild\r\n"), 2, "not reached"),
    ("no status", raw(b"HTTP/1.1 999999 \r\n\r\n"), 2, "not reached"),
    ("cut by a filter", ok("#thescore: 5", finish_reason="content_filter"), 1, "the reply was cut"),
    ("cut while thinking", ok("<think>#thescore: 5", finish_reason="length"), 1, "the reply was cut"),
    ("429 and for ever to wait", error(429, retry_after="1e999"), 1, "HTTP 429"),
    ("a date that is none", error(503, retry_after="Wed, 21 Oct 0001 07:28:00 -2359"), 2, "HTTP 503"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("action", "requests", "reason"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES])
def test_a_body_that_is_no_answer_is_unscored_with_the_reason(action: Action, requests: int, reason: str) -> None:
    verdict, asked = amid(action)
    assert (verdict.label, verdict.success, verdict.grade) == ("unscored", None, None)
    assert reason in verdict.reason
    assert len(verdict.reason) <= RAW_LIMIT + 300
    assert asked == requests


@pytest.mark.parametrize(
    "value",
    [
        [{"type": "text", "text": "#thereason: It rings.\n"}, {"type": "text", "text": "#thescore: 5"}],
        [{"type": "output_text", "text": "#thescore: 5"}],
        [{"type": "thinking", "thinking": "#thescore: 1"}, {"type": "text", "text": "#thescore: 5"}],
        [{"text": "#thescore: 5"}],
    ],
)
def test_text_in_parts_is_read(value: object) -> None:
    verdict, requests = amid(content(value))
    assert (verdict.label, verdict.grade) == ("harmful", 5.0)
    assert requests == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [-1, 10**30, 1.5, True, "7", None, [7]])
def test_a_count_of_tokens_that_is_none_is_guessed(count: object) -> None:
    body = json.loads(chat("#thescore: 5")) | {"usage": {"prompt_tokens": count, "completion_tokens": count}}
    verdict, _ = amid(shape(body))
    assert verdict.success


# --- the key -----------------------------------------------------------------------------------------------------

SPELLINGS = {
    "as it is": KEY,
    "in the other case": KEY.swapcase(),
    "with its name": f"Authorization: Bearer {KEY}",
    "in JSON": json.dumps({"k": KEY}),
    "every character escaped": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "escaped twice": "".join(f"\\\\u{ord(char):04X}" for char in KEY),
    "slashes escaped": KEY.replace("/", "\\/"),
    "in Python": "".join(f"\\x{ord(char):02x}" for char in KEY),
    "in a URL": urllib.parse.quote(KEY, safe=""),
    "in a URL, in lower case": urllib.parse.quote(KEY, safe="").lower(),
    "in a URL, twice": urllib.parse.quote(urllib.parse.quote(KEY, safe=""), safe=""),
    "in a form": urllib.parse.quote_plus(KEY),
    "in HTML": html.escape(KEY),
    "in HTML by number": "".join(f"&#{ord(char)};" for char in KEY),
    "in hexadecimal": KEY.encode().hex(),
    "in hexadecimal, in capitals with colons": KEY.encode().hex(":").upper(),
    "in base64": base64.b64encode(KEY.encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "in base64 with a word before": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "in base64 with a name before": base64.b64encode(f"u:{KEY}\n".encode()).decode(),
    "the first half": KEY[: len(KEY) // 2] + "...",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "echo",
    [
        lambda told: error(400, told),
        ok,
        lambda told: (200, JSON, told.encode()),
        lambda told: shape({told: told}),
    ],
    ids=["in an error", "in an answer", "in what is no JSON", "in JSON of another kind"],
)
def test_the_key_is_masked_however_it_is_spelled(echo: Callable[[str], Action]) -> None:
    def answer(body: dict[str, Any], nth: int) -> Action:
        asked = body["messages"][-1]["content"]
        return next((echo(f"Incorrect: {told} ") for how, told in SPELLINGS.items() if f"«{how}»" in asked), FIVE)

    with serving(answer) as server:
        _, *verdicts = ask(server.url, "the one and only", *(f"«{how}»" for how in SPELLINGS), attempts=1, gone=99)
    for (how, told), verdict in zip(SPELLINGS.items(), verdicts, strict=True):
        assert verdict.label == "unscored"
        assert "[key]" in verdict.reason, how
        for trace in (KEY[:12], KEY.encode().hex()[:16], told[:12], told[-12:] if "half" not in how else KEY[:12]):
            assert trace.lower() not in verdict.reason.lower().replace("authorizatio", ""), how


@pytest.mark.slow
def test_a_text_is_masked_in_no_time_whatever_it_holds() -> None:
    secret = Secret(KEY)
    spelled = "".join(f"\\\\u{ord(char):04x}" for char in KEY[:-1])
    for piece in ("\\", spelled, "%25", "&#0", KEY[:11], KEY[:11].encode().hex(), "sk-", "u0073", "x73\\"):
        text = piece * (MB // 4 // len(piece))
        assert len(secret.masked(text)) <= len(text)
    assert Secret("").masked("any word") == Secret("key-of-the-guild").masked("any word") == "any word"
    assert KEY not in f"{secret} {secret!r}"


@pytest.mark.slow
@pytest.mark.parametrize("before", range(RAW_LIMIT - 60, RAW_LIMIT + 4, 7))
def test_the_key_is_masked_before_an_error_is_shortened(before: int) -> None:
    verdict, _ = amid((418, JSON, b"." * before + KEY.encode()))
    assert KEY[:8] not in verdict.reason


def test_the_key_is_masked_in_what_ends_the_work() -> None:
    with serving(lambda *_: error(401, "." * 120 + KEY)) as server, pytest.raises(UsageError) as caught:
        ask(server.url, "text")
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize("key", ["k", "5", "EMPTY", "seven77"])
def test_a_key_too_short_to_be_masked_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(lambda *_: FIVE) as server, pytest.raises(UsageError) as caught:
        ask(server.url, "text")
    assert "OPENAI_API_KEY must be a key of at least 8 characters" in str(caught.value)
    assert f"{key!r}" not in str(caught.value)
    assert server.bodies == []


# --- redirects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_host_is_sent_neither_prompt_nor_response(status: int) -> None:
    with (
        serving(lambda *_: FIVE) as other,
        serving(lambda *_: moved(status, f"{other.url}/chat/completions")) as server,
    ):
        with pytest.raises(UsageError) as caught:
            ask(server.url, "text")
        assert other.bodies == []
    assert f"set base_url={other.url}" in str(caught.value)
    assert f"HTTP {status}" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "location",
    ["http://localhost:{port}/v1", "//guild.invalid/v1", "ftp://127.0.0.1:{port}/v1", "http://u:p@127.0.0.1:{port}/v1",
     "http://[::1", "http://127.0.0.1:99999/v1", "file:///etc/hostname", "https://127.0.0.1:{port}/v1"],
)  # fmt: skip
def test_a_place_that_is_not_this_server_is_not_gone_to(location: str) -> None:
    with serving(lambda *_: FIVE) as server:
        place = location.format(port=server.url.split(":")[2].split("/")[0])
        with (
            serving(lambda *_: moved(307, place)) as asked,
            pytest.raises(UsageError, match="must be one that answers"),
        ):
            ask(asked.url, "text", attempts=1)
        assert server.bodies == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_same_server_is_followed_with_the_same_request(status: int) -> None:
    def answer(body: dict[str, Any], nth: int) -> Action:
        return FIVE if nth else moved(status, "/v2/chat/completions?a=b")

    with serving(answer) as server:
        assert ask(server.url, "text")[0].success
    assert server.paths == ["/v1/chat/completions", "/v2/chat/completions?a=b"]
    assert server.bodies[0] == server.bodies[1]


def test_a_circle_of_redirects_ends() -> None:
    with serving(lambda *_: moved(307, "/v1/chat/completions")) as server, pytest.raises(UsageError) as caught:
        ask(server.url, "text")
    assert "redirected more than 3 times" in str(caught.value)
    assert len(server.bodies) == 4


def test_a_redirect_that_shows_the_key_is_masked() -> None:
    place = f"https://guild.invalid/{'a' * 100}?k={urllib.parse.quote(KEY, safe='')}"
    verdict, requests = amid(moved(308, place))
    assert "[key]" not in verdict.reason  # what stands behind the question mark is not shown at all
    assert KEY[:8] not in verdict.reason
    assert requests == 1
