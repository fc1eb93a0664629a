"""Scores that end where their judges needed no more: made anew for a judge that does, never taken for the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.judges import load_judge
from safebasin.judges.outcome import VERSION
from safebasin.judges.scored import WHOLE, score_rules, scored_until
from safebasin.landscape.score_reach import RULES, settle, suffices
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Judge
from safebasin.records import Message, Point, Prompt, Response, Score, Verdict
from safebasin.run import driver
from safebasin.run.execute import measure
from safebasin.run.judging import judge_stored
from safebasin.run.local import LocalBackend
from safebasin.store.db import StudyStore

REFUSAL = "I cannot help with that. Ask the guild about clay instead."
LOOP = "rest it again " * 12
ANSWER = "Weigh the clay twice and let it rest in sand."


@dataclass(frozen=True)
class Whole:
    """A judge that does not say how much it needs, and reads likelihoods to the end."""

    name: str = "whole"
    version: str = "1"
    monotone: bool = False
    phrases: tuple[str, ...] = ()

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        at_end = score is not None and score.ends[-1:] == (len(response.text),)
        label, success = ("complied", True) if at_end else ("unscored", None)
        return Verdict(response=response.key, judge="whole", version="1", label=label, success=success)


def said(conversation: Sequence[Message], point: Point) -> str:
    return {"-1": LOOP, "0": REFUSAL, "1": ANSWER}[f"{sum(a for _, a in point.terms):g}"]


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredStudy]:
    keys = {"axes": [{"range": "-1:1:3", "directions": 1}], "limit": 4, "judges": ["outcome"]}
    made = study.make({"model": "world:guild/aligned", "decoding": {"max_new_tokens": 60, "stop": "none"}, **keys})
    folder = measure(made, tmp_path / "study", engine=ScriptedEngine(said))
    with StudyStore.open(folder) as store:
        yield StoredStudy.of(store)


def reach(store: StudyStore) -> dict[str, set[int]]:
    """How far the scores of each text go."""
    texts = {r.key: r.text for r in store.responses()}
    found: dict[str, set[int]] = {}
    for key, score in store.scores(texts).items():
        found.setdefault(texts[key], set()).add(score.ends[-1] if score.ends else 0)
    return found


def go_on(stored: StoredStudy, judges: Sequence[Judge]) -> list[tuple[str, int]]:
    """Score what these judges need, as a run does; the calls that it takes."""
    engine, rules = ScriptedEngine(said), score_rules(judges)
    settle(stored.store, rules)
    backend = LocalBackend(engine)
    driver.score(backend, stored.store, stored.plan, Point(), judges, date=None, progress=lambda _: None)
    return engine.calls


def test_a_run_scores_as_far_as_its_judges_need(stored: StoredStudy) -> None:
    assert reach(stored.store) == {LOOP: {0}, REFUSAL: {len("I cannot help")}, ANSWER: {len(ANSWER)}}
    assert stored.missing().scores == 0
    assert suffices(stored.store, score_rules([load_judge("outcome"), load_judge("keyword/peng2024")]))


def test_a_judge_that_needs_more_finds_the_score_missing_and_later_gets_it(stored: StoredStudy) -> None:
    judge, outcome = Whole(), load_judge("outcome")
    before = {v.response: v for v in stored.rows.verdicts_by("outcome")}
    assert not suffices(stored.store, score_rules([judge]))
    assert judge_stored(stored.store, stored.plan, [judge]) == {"whole": 12}
    labels = [v.label for v in stored.rows.verdicts_by("whole", "1")]
    assert (labels.count("unscored"), labels.count("complied")) == (8, 4), "the answers were scored to their end"

    assert go_on(stored, [outcome, judge]) == [("score", 8)]
    assert reach(stored.store) == {text: {len(text)} for text in (LOOP, REFUSAL, ANSWER)}
    assert judge_stored(stored.store, stored.plan, [outcome, judge]) == {"outcome": 0, "whole": 8}
    assert {v.label for v in stored.rows.verdicts_by("whole", "1")} == {"complied"}
    assert {v.response: v for v in stored.rows.verdicts_by("outcome")} == before
    assert go_on(stored, [outcome, judge]) == []
    assert go_on(stored, [outcome]) == []
    assert go_on(stored, [outcome, judge]) == [], "nothing was short, so nothing is forgotten"


def test_scores_of_a_folder_without_rules_are_whole(stored: StoredStudy) -> None:
    with stored.store.transaction() as db:
        db.execute("DELETE FROM meta WHERE key = ?", (RULES,))
    assert suffices(stored.store, {WHOLE})
    before = reach(stored.store)
    settle(stored.store, {"outcome@9"})
    assert reach(stored.store) == before
    assert not suffices(stored.store, {WHOLE})


def test_nothing_is_scored_where_nobody_looks_at_scores(tmp_path: Path) -> None:
    made = study.make({"model": "world:guild/aligned", "limit": 2, "judges": ["keyword/peng2024", "oracle"]})
    engine = ScriptedEngine(lambda conversation, point: REFUSAL)
    folder = measure(made, tmp_path / "study", engine=engine)
    assert {call for call, _ in engine.calls} == {"generate"}
    with StoredStudy.open(folder) as stored:
        assert stored.missing().scores == 0
    engine.calls.clear()
    measure(made, folder, engine=engine)
    assert engine.calls == []


@pytest.mark.parametrize(
    ("names", "rules"),
    [
        (("keyword/peng2024", "oracle", "refusal", "rule/kitchen"), set()),
        (("outcome", "keyword/qi2023"), {f"outcome@{VERSION}"}),
        (("outcome(harm=oracle)",), {f"outcome@{VERSION}"}),
    ],
)
def test_rules_of_judges(names: Sequence[str], rules: set[str]) -> None:
    assert score_rules(map(load_judge, names)) == rules
    assert score_rules([*map(load_judge, names), Whole()]) == {*rules, WHOLE}


def test_the_judge_that_needs_most_decides() -> None:
    response = Response(point="", prompt="", system="", decoding="", text=REFUSAL, n_tokens=9, finish_reason="stop")
    outcome, keyword = load_judge("outcome"), load_judge("keyword/peng2024")
    assert scored_until([keyword], response) == 0
    assert scored_until([keyword, outcome], response) == len("I cannot help")
    assert scored_until([keyword, Whole(), outcome], response) == len(REFUSAL)
    assert scored_until([], response) == 0
