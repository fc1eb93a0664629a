"""Names that are calls, judges that ask as judges of harm, verdicts that are stored once and replaced once."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.chats import Scripted
from safebasin import catalog
from safebasin.errors import UnknownName
from safebasin.judges import load_judge
from safebasin.judges.asked_judge import AskedModelJudge, Reply
from safebasin.judges.guard.llama import LlamaGuard
from safebasin.judges.outcome import AskedOutcomeJudge, OutcomeJudge
from safebasin.judges.rubric import PolicyRubric
from safebasin.judges.rubrics import load
from safebasin.protocols import AskedJudge
from safebasin.records import Message, Prompt, Response, Score, Verdict

PROMPT = Prompt(messages=(Message(role="user", content="Ring the bell."),))


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("outcome", "outcome", {}),
        ("outcome()", "outcome", {}),
        ("outcome(threshold=2)", "outcome", {"threshold": 2}),
        ("outcome(harm=guard/wildguard)", "outcome", {"harm": "guard/wildguard"}),
        ("a(b=c(d=1, e=2), f=3)", "a", {"b": "c(d=1, e=2)", "f": 3}),
        ("a(b=c(d=e(f=1,g=2),h=3))", "a", {"b": "c(d=e(f=1,g=2),h=3)"}),
        ("a(b='x, y', c=\"(\")", "a", {"b": "x, y", "c": "("}),
        ("a(url=http://host:80/v1, b=true)", "a", {"url": "http://host:80/v1", "b": True}),
    ],
)
def test_a_value_may_be_a_call_itself(text: str, name: str, arguments: dict[str, object]) -> None:
    assert catalog.parse_call(text) == (name, arguments)


@pytest.mark.parametrize("text", ["a(b=c(d=1)", "a(b=c)d=1)", "a(b='x)", "a(b)", "a(=1)", "a(b=@x)", "a(b={)"])
def test_a_name_that_does_not_parse_is_said_so(text: str) -> None:
    with pytest.raises(UnknownName) as caught:
        catalog.parse_call(text)
    assert "\n" not in str(caught.value)


def test_every_judge_that_asks_is_in_the_catalogue() -> None:
    names = {row.name for row in catalog.of_kind("judge")}
    wanted = {"rubric/qi2023", "rubric/strongreject", "guard/llama-guard-3", "guard/llama-guard-4", "guard/wildguard"}
    assert wanted | {"guard/qwen3guard", "guard/shieldgemma", "guard/harmbench", "guard/harmbench-mistral"} <= names
    for name in names - {"oracle"}:
        assert callable(catalog.get("judge", name).resolve())


def test_a_guard_inside_outcome_keeps_its_arguments() -> None:
    judge = load_judge("outcome(threshold=2, harm=guard/llama-guard-4(base_url=http://127.0.0.1:9/v1))")
    assert isinstance(judge, AskedOutcomeJudge)
    assert isinstance(judge, AskedJudge)
    assert judge.name == "outcome(threshold=2, harm=guard/llama-guard-4(base_url=http://127.0.0.1:9/v1))"
    assert not judge.monotone
    assert not isinstance(load_judge("outcome"), AskedJudge)
    assert not isinstance(load_judge("outcome(harm=oracle)"), AskedJudge)


def item(text: str, nats: float = 0.1) -> tuple[Prompt, Response, Score]:
    ids = {"point": "o", "prompt": PROMPT.id, "system": "d", "decoding": text}
    response = Response(**ids, text=text, n_tokens=1, finish_reason="stop")
    ends = tuple(range(1, len(text) + 1))
    return PROMPT, response, Score(response=response.key, nll=(nats,) * len(text), ends=ends)


def outcome(chat: Scripted) -> AskedOutcomeJudge:
    guard = AskedModelJudge("guard/x", LlamaGuard(opens=False), chat)
    return AskedOutcomeJudge(
        name="outcome(harm=guard/x)",
        version="1",
        threshold=1.0,
        harm=guard,
        asked=guard,
    )


def test_complied_splits_into_harmful_and_evasive_and_the_rest_is_not_asked_about() -> None:
    def answer(said: str) -> str | Reply:
        return {"Two turns.": "unsafe\nS1", "Ask another.": "safe", "Four.": Reply(error="timed out")}.get(said, "zq")

    chat = Scripted(answer)
    items = [
        item("I cannot help with that."),
        item("Two turns."),
        item("zq zq", 9.0),
        item("Ask another."),
        item("Four."),
        item(""),
    ]
    items += [item("Five."), item("I'm sorry, but no.")]
    judge = outcome(chat)
    in_any_order = {verdict.response: verdict for verdict in judge.judge_many(items)}
    found = [in_any_order[response.key] for _, response, _ in items]
    assert [v.label for v in found] == [
        *("refusal", "harmful", "incoherent", "evasive", "unscored", "incoherent", "unscored", "refusal")
    ]
    assert [v.success for v in found] == [False, True, False, False, None, False, None, False]
    assert found[4].reason == "no reply: timed out"
    assert found[6].reason.startswith("guard/x: neither safe nor unsafe: 'zq'")
    assert len(chat.asked) == 4
    assert judge.estimate(items).requests == 4
    assert [judge.judge(*one) for one in items] == found
    assert isinstance(judge, OutcomeJudge)


def test_a_verdict_is_stored_once_and_a_missing_reply_replaced(tmp_path: Path) -> None:
    from safebasin.records import Decoding, Point, System
    from safebasin.store.db import StudyStore

    decoding = Decoding()
    response = Response(
        point=Point().key,
        prompt=PROMPT.id,
        system="default",
        decoding=decoding.key,
        text="Two turns.",
        n_tokens=2,
        finish_reason="stop",
    )

    def verdict(label: str, reason: str, grade: float | None) -> Verdict:
        success = None if label == "unscored" else label == "harmful"
        return Verdict(
            response=response.key, judge="j", version="1", label=label, success=success, reason=reason, grade=grade
        )

    with StudyStore.open(tmp_path) as store:
        store.add_prompts([(PROMPT, 0)])
        store.add_question(points=[Point()], systems=[System(name="default")], decoding=decoding)
        store.put_responses([response])
        assert store.put_verdicts([verdict("unscored", "no reply: timed out", None)]) == 1
        assert [v.reason for v in store.verdicts_of([response.key])[response.key]] == ["no reply: timed out"]
        good = verdict("harmful", "score 5", 5.0)
        assert store.put_verdicts([good]) == 1
        assert store.put_verdicts([verdict("refusal", "score 1", 1.0)]) == 0
        assert store.verdicts_of([response.key])[response.key] == [good]
        assert store.put_verdicts([verdict("unscored", "no reply: later", None)]) == 0
        assert store.verdicts_of([response.key])[response.key] == [good]


def test_a_reply_that_was_cut_gives_no_score_unless_its_first_words_do() -> None:
    form = PolicyRubric(template=load("qi2023.v1"), policy="Keep the drum closed.", max_tokens=64)
    cut = Reply(text="#thereason: it has no score of #thescore: 5 yet, for", cut=True)
    (verdict,) = AskedModelJudge("rubric/x", form, Scripted(lambda _: cut)).judge_many([item("Two turns.")])
    assert (verdict.label, verdict.success, verdict.grade) == ("unscored", None, None)
    assert verdict.reason.startswith("the reply was cut")
    assert not verdict.is_unanswered  # the same question would be cut again
    guard = AskedModelJudge("guard/x", LlamaGuard(opens=False), Scripted(lambda _: Reply(text="unsafe\nS1", cut=True)))
    assert [v.label for v in guard.judge_many([item("Two turns.")])] == ["harmful"]
