"""The rows of a plan: what else a folder holds is left out, and what is read comes in pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from safebasin import study
from safebasin.records import NO_REPLY, Decoding, Message, Point, Prompt, Response, Score, System, Verdict
from safebasin.store import db
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan, PromptSet, make_plan

PROMPTS = tuple(Prompt(messages=(Message(role="user", content=f"How warm is pot {i}?"),), source="s") for i in range(7))
SYSTEMS = (System(name="none"), System(name="short", text="Be brief."))
JUDGE = ("judge", "2")


@pytest.fixture
def plan() -> Plan:
    """Five of the prompts, one system prompt, the origin and two points."""
    asked = study.make(study.with_flags({"model": "world:guild/aligned"}, {"directions": 1, "range": "-0.5:0.5:3"}))
    return make_plan(
        asked,
        [PromptSet(name="pots", source="s", prompts=PROMPTS[:5])],
        systems=SYSTEMS[:1],
        regions=[spec.region() for spec in asked.regions],
        decoding=Decoding(),
        known={},
        batch_size=4,
    )


@pytest.fixture
def store(plan: Plan, tmp_path: Path):
    """More than the plan asks for: further prompts, a system prompt, a point, and another decoding."""
    other, place = Decoding(max_new_tokens=3), next(iter(plan.regions[0].grid()))
    points = (*plan.points, plan.regions[0].point(replace(place, coords=(0.75,))))
    with StudyStore.open(tmp_path) as opened:
        opened.add_prompts((prompt, 0) for prompt in PROMPTS)
        for decoding in (plan.decoding, other):
            opened.add_question(points=points, systems=SYSTEMS, decoding=decoding)
            opened.put_responses(
                made(decoding, point, system, prompt) for point in points for system in SYSTEMS for prompt in PROMPTS
            )
        yield opened


def made(decoding: Decoding, point: Point, system: System, prompt: Prompt) -> Response:
    return Response(
        point=point.key, prompt=prompt.id, system=system.id, decoding=decoding.key, text="Warm.", n_tokens=2,
        finish_reason="stop",
    )  # fmt: skip


def verdict(response: str, *, label: str = "complied", version: str = "2", reason: str = "") -> Verdict:
    success = None if label == "unscored" else label == "complied"
    return Verdict(response=response, judge="judge", version=version, label=label, success=success, reason=reason)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "PAGE", 4)
    monkeypatch.setattr("safebasin.store.rows.PAGE", 4)


def test_only_what_the_plan_asks_for(store: StudyStore, plan: Plan) -> None:
    rows = PlanRows.of(store, plan)
    wanted = {made(plan.decoding, *asked).key for asked in _asked(plan)}
    assert store.counts()["responses"] > len(wanted) == plan.size == rows.count() == 15
    assert [place.key for place in rows.places()] == sorted(wanted)
    assert {(p.point, p.system, p.prompt) for p in rows.places()} == set(plan.keys())
    assert rows.at(Point().key, SYSTEMS[0].id).keys() == {prompt.id for prompt in PROMPTS[:5]}


def _asked(plan: Plan) -> list[tuple[Point, System, Prompt]]:
    return [(point, system, prompt) for point in plan.points for system in plan.systems for prompt in PROMPTS[:5]]


@pytest.mark.usefixtures("small_pages")
def test_the_unjudged_come_in_pages_with_their_scores_while_verdicts_are_written(store: StudyStore, plan: Plan) -> None:
    rows, seen = PlanRows.of(store, plan), list[str]()
    keys = [place.key for place in rows.places()]
    store.put_scores([Score(response=keys[0], nll=(0.5,), ends=(3,)), Score(response=keys[0], nll=(0.25,), ends=(3,),
                      under="tuned")])  # fmt: skip
    assert rows.count_unscored() == 14
    store.put_verdicts([verdict(keys[1]), verdict(keys[2], version="1")])
    store.put_verdicts([verdict(keys[3], label="unscored", reason=f"{NO_REPLY}: busy")])
    assert rows.count_unjudged(*JUDGE) == 14
    for page in rows.unjudged(*JUDGE):
        assert len(page) <= 4
        for response, score in page:
            assert (score is not None) == (response.key == keys[0])
            assert score is None or [one.under for one in score.also] == ["tuned"]
            seen.append(response.key)
        store.put_verdicts(verdict(response.key) for response, _ in page)
    assert seen == [key for key in keys if key != keys[1]]
    assert rows.count_unjudged(*JUDGE) == 0
    assert next(rows.unjudged(*JUDGE), None) is None


def test_verdicts_are_of_one_version_and_of_the_plan(store: StudyStore, plan: Plan) -> None:
    rows = PlanRows.of(store, plan)
    store.put_verdicts(verdict(r.key, label="refusal") for r in store.responses())
    first, second = (place.key for place in rows.places()[:2])
    store.put_verdicts([verdict(first, version="1"), verdict(first, version="3", label="unscored", reason="cut")])
    assert [v.label for v in rows.verdicts(*JUDGE)] == ["refusal"] * 15
    assert {(v.point, v.system, v.prompt) for v in rows.verdicts(*JUDGE)} == set(plan.keys())
    assert [v.version for v in rows.verdicts_by("judge") if v.response == first] == ["1", "2", "3"]
    assert [v.version for v in rows.verdicts_by("judge", "2") if v.response in (first, second)] == ["2", "2"]
    assert (rows.count_cut("judge", "3"), rows.count_cut("judge", "2")) == (1, 0)


@pytest.mark.usefixtures("small_pages")
def test_responses_come_in_pages_ordered_by_key(store: StudyStore, plan: Plan) -> None:
    every = list(store.responses())
    assert len(every) == store.counts()["responses"] == 2 * 4 * 2 * 7
    assert [r.key for r in every] == sorted(r.key for r in every)
    assert list(store.responses(plan.decoding.key)) == [r for r in every if r.decoding == plan.decoding.key]
    here = list(store.responses(plan.decoding.key, point=Point().key))
    assert here == [r for r in every if (r.decoding, r.point) == (plan.decoding.key, Point().key)]
    assert store.responses_of([every[3].key, "another", every[1].key]) == [every[1], every[3]]
