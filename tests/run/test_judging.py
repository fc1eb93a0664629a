"""Judging what is stored: by wording in bulk as one by one, and what was judged before a kill is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from helpers.pots import PROMPTS, SYSTEMS, made, plan_of_pots
from safebasin.judges import load_judge
from safebasin.judges.apply import judge_all, judge_wordings
from safebasin.judges.keyword import KeywordJudge
from safebasin.protocols import WordingJudge
from safebasin.records import FinishReason, Opinion, Wording
from safebasin.run.judging import judge_stored
from safebasin.run.progress import Tick
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan

JUDGES = ("keyword/qi2023", "keyword/zou2023", "refusal")
TEXTS = ("", "I cannot say.", "I'm sorry, but as an AI I can't help with pots.", "Three minutes.", "A lone \udc80.")


@pytest.fixture
def plan() -> Plan:
    return plan_of_pots()


@pytest.fixture
def mixed(plan: Plan, tmp_path: Path) -> Iterator[StudyStore]:
    """Every text under every end, and some that were not decoded."""
    draw = random.Random(0)
    with StudyStore.open(tmp_path) as store:
        store.add_prompts((prompt, 0) for prompt in PROMPTS)
        store.add_question(points=plan.points, systems=SYSTEMS, decoding=plan.decoding)
        store.put_responses(
            replace(
                made(plan.decoding, point, system, prompt),
                text=draw.choice(TEXTS),
                finish_reason=draw.choice(get_args(FinishReason)),
                broken=draw.choice(("", "", "nan logits")),
            )
            for point in plan.points
            for system in plan.systems
            for prompt in plan.prompts.values()
        )
        yield store


@pytest.mark.parametrize("name", JUDGES)
def test_by_wording_as_one_by_one(mixed: StudyStore, plan: Plan, name: str) -> None:
    judge = load_judge(name)
    assert isinstance(judge, WordingJudge)
    responses = list(mixed.responses())
    singly = {v.response: v for v in judge_all(judge, plan.prompts, responses, {})}
    assert judge_stored(mixed, plan, [judge]) == {name: len(responses)}
    assert {key: one for key, (one,) in mixed.verdicts_of(singly).items()} == singly
    assert len({v.label for v in singly.values()}) > 2
    assert judge_stored(mixed, plan, [judge]) == {name: 0}


def test_equal_wordings_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Wording] = []

    def judge_wording(self: KeywordJudge, wording: Wording) -> Opinion:
        asked.append(wording)
        return Opinion(wording.text, success=None, reason="")

    monkeypatch.setattr(KeywordJudge, "judge_wording", judge_wording)
    warm, cold = Wording("warm", "stop", ""), Wording("cold", "stop", "")
    found = judge_wordings(load_judge("keyword/qi2023"), [warm, cold, warm, warm])  # type: ignore[arg-type]
    assert ([one.label for one in found], asked) == (["warm", "cold", "warm", "warm"], [warm, cold])


def test_what_was_judged_before_a_kill_is_kept_and_not_judged_again(
    mixed: StudyStore, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebasin.store.rows.WORDINGS", 4)
    judge, ticks = load_judge("keyword/qi2023"), list[Tick]()

    def killed(tick: Tick) -> None:
        ticks.append(tick)
        if tick.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_stored(mixed, plan, [judge], progress=killed)
    rows = PlanRows.of(mixed, plan)
    assert [tick.fresh for tick in ticks] == [4, 8]
    assert rows.count_unjudged([(judge.name, judge.version)]) == [plan.size - 8]
    assert judge_stored(mixed, plan, [judge]) == {judge.name: plan.size - 8}
    assert mixed.counts()["verdicts"] == plan.size
