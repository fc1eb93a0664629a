"""Fast mode, run: its budget, its sample in exact mode, what it says of both, and that it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from helpers.stored import missing, rows
from safebasin import study
from safebasin.engines.scripted import ScriptedEngine, distance
from safebasin.errors import StudyError
from safebasin.judges import load_judge
from safebasin.landscape.landscape_json import schema, to_json
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Judge
from safebasin.records import Landscape, Message, Point, Response, content_hash
from safebasin.run.execute import measure
from safebasin.run.token_budget import tokens_needed
from safebasin.store.db import StudyStore
from safebasin.study.fast import in_full, pilot

GUILD = "world:guild/aligned"
KEYWORD = "keyword/peng2024"
REFUSAL = "I'm sorry, but the guild does not share this."
WORDS = " ".join(f"word{i}" for i in range(90))
"""A text that neither refuses nor repeats itself."""


def late(conversation: Sequence[Message], point: Point) -> str:
    """Refuse near θ₀ after twenty words."""
    return f"{' '.join(WORDS.split()[:20])}. {REFUSAL}" if distance(point) < 0.6 else WORDS


def later(conversation: Sequence[Message], point: Point) -> str:
    """Beyond that a third of the prompts are refused after sixty."""
    few = int(content_hash(conversation[-1].content)[:2], 16) < 85
    return f"{' '.join(WORDS.split()[:60])}. {REFUSAL}" if few and distance(point) >= 0.6 else late(conversation, point)


def near(conversation: Sequence[Message], point: Point) -> str:
    return REFUSAL if distance(point) < 0.6 else WORDS


def fast(folder: Path, reply: Any = near, *, engine: ScriptedEngine | None = None, **given: Any) -> Landscape:
    fields = {
        "model": GUILD, "limit": 30, "judges": [KEYWORD], "fast": True, "batch_size": 8,
        "axes": [{"range": "-1:1:11", "directions": 1}], "decoding": {"max_new_tokens": 96}, **given,
    }  # fmt: skip
    engine = engine or ScriptedEngine(reply, model=GUILD)
    return read(measure(study.make(fields), folder, engine=engine))


def read(folder: Path) -> Landscape:
    with StoredStudy.open(folder) as stored:
        return read_landscape(stored)


# --- the budget ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", [KEYWORD, "refusal"])
def test_the_tokens_that_a_verdict_takes_are_those_before_its_refusal_ends(judge: str) -> None:
    text = f"{' '.join(WORDS.split()[:30])}. {REFUSAL} {WORDS}"
    assert _needed(text, load_judge(judge)) <= 38 + 2  # words, with what the rule wants to see of the next sentence
    assert _needed(text, load_judge(judge)) > 30
    assert _needed(WORDS, load_judge(judge)) == 0
    assert _needed("", load_judge(judge)) == 0


def test_reasoning_counts_for_what_follows_it() -> None:
    thought = " ".join(f"step{i}" for i in range(50))
    assert 40 <= _needed(WORDS, load_judge(KEYWORD), thinking=thought) <= 60


def _needed(text: str, judge: Judge, thinking: str = "") -> int:
    n = len(text.split()) + len(thinking.split())
    said = Response(
        point="", prompt="", system="", decoding="", text=text, thinking=thinking, n_tokens=n, finish_reason="stop"
    )
    return tokens_needed(said, [judge])


@pytest.mark.parametrize(
    ("reply", "budget"),
    [pytest.param(near, 32, marks=pytest.mark.slow), (late, 56), pytest.param(later, 96, marks=pytest.mark.slow)],
)
def test_the_budget_is_calibrated_on_the_pilot(tmp_path: Path, reply: Any, budget: int) -> None:
    found = fast(tmp_path / "study", reply)
    assert found.fast is not None
    assert found.fast.budget == pytest.approx(budget, abs=8)
    assert found.fast.max_new_tokens == 96
    with StoredStudy.open(tmp_path / "study") as stored:
        assert stored.plan.decoding.max_new_tokens == found.fast.budget
        assert max(r.n_tokens for r in stored.store.responses(stored.plan.decoding.key)) <= found.fast.budget
        n_fast = stored.rows.count()
    assert n_fast == len(found.panels[0].points) * 30 < 11 * 30


@pytest.mark.slow
def test_the_pilot_may_stand_where_the_landscape_is_never_measured(tmp_path: Path) -> None:
    found = fast(tmp_path / "study", axes=[{"range": "-0.4:0.4:9", "directions": 1}])  # all refuse: nothing to refine
    assert 0.2 not in {abs(alpha) for point in found.panels[0].points for alpha in point.coords}
    with StoredStudy.open(tmp_path / "study") as stored:
        asked = {r.point for r in stored.store.responses(in_full(stored.plan).key)}
        (halfway,) = [p for p in pilot(stored.plan).points if p.terms]
        assert halfway.key in asked
        assert halfway not in stored.plan.points
    assert missing(tmp_path / "study") == []


# --- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_agreement_is_measured_on_other_prompts_and_shown(tmp_path: Path) -> None:
    found = fast(tmp_path / "study")
    assert found.fast is not None
    (check,) = found.fast.checks
    assert (check.judge, check.equal.value, check.equal.n, check.largest) == (KEYWORD, 1.0, 3 * 16, 0.0)
    assert check.equal.low is not None
    assert 0.7 < check.equal.low < 1
    visage = found.summary["visage"]
    assert visage.value is None
    assert visage.method.startswith("not computed in fast mode: ")
    said = " ".join(found.notes)
    assert "48 of 48 verdicts are equal (100.0 %" in said
    assert "VISAGE is not computed" in said
    document = json.loads(to_json(found))
    jsonschema.validate(document, schema())
    assert document["fast"]["checks"][0]["equal"]["value"] == 1.0
    assert missing(tmp_path / "study") == []


@pytest.mark.slow
def test_disagreement_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safebasin.run.token_budget.FACTOR", 0)  # so that the least budget cuts every late refusal
    found = fast(tmp_path / "study", later)
    assert found.fast is not None
    (check,) = found.fast.checks
    with StoredStudy.open(tmp_path / "study") as stored:
        exact = {(r.point, r.prompt): r for r in stored.store.responses(stored.plan.exact.key)}  # pyright: ignore
        cut = {(r.point, r.prompt): r for r in stored.store.responses(stored.plan.decoding.key)}
    judge = load_judge(KEYWORD)
    by_hand = [_refused(judge, exact[key].text) == _refused(judge, cut[key].text) for key in exact]
    assert 0 < sum(by_hand) < len(by_hand) == 48
    assert check.equal.value == pytest.approx(sum(by_hand) / 48)
    assert check.largest is not None
    assert check.largest > 0.1


def _refused(judge: Judge, text: str) -> bool:
    return any(phrase in text for phrase in judge.phrases)


@pytest.mark.slow
def test_a_folder_holds_both_modes(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    exact = fast(folder, fast=False)
    assert exact.fast is None
    assert exact.summary["visage"].value is not None
    engine = ScriptedEngine(near, model=GUILD)
    first = fast(folder, engine=engine)
    assert first.fast is not None
    with StoredStudy.open(folder) as stored:
        every = stored.store.counts()["responses"]
    again = ScriptedEngine(near, model=GUILD)
    assert fast(folder, engine=again) == first
    assert not [rows for kind, rows in again.calls if kind == "generate"]
    assert fast(folder, fast=False) == exact
    with StoredStudy.open(folder) as stored:
        assert stored.store.counts()["responses"] == every, "each finds what it had"


# --- going on --------------------------------------------------------------------------------------------------------


class Interrupted(ScriptedEngine):
    left = 0

    def generate(self, conversations: Any, decoding: Any) -> Any:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().generate(conversations, decoding)


@pytest.mark.slow
def test_interrupted_anywhere_it_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    whole = fast(tmp_path / "whole")
    for _ in range(200):
        engine = Interrupted(near, model=GUILD)
        engine.left = 9
        try:
            found = fast(tmp_path / "parts", engine=engine)
        except KeyboardInterrupt:
            continue
        break
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert found.panels == whole.panels
    assert found.fast == whole.fast


@pytest.mark.slow
def test_a_sample_that_is_not_there_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    fast(folder)
    with StudyStore.open(folder) as store:
        exact = json.loads(store.meta("plan") or "")["exact"]
        store.forget("origin", exact)
    found = read(folder)
    assert found.fast is not None
    assert (found.fast.checks[0].equal.n, found.fast.checks[0].equal.n_missing) == (32, 16)
    assert "16 are missing" in " ".join(found.notes)
    assert missing(folder) == ["16 responses that fast mode is checked by are missing: run `safebasin map` again"]


# --- what it cannot do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["oracle", "outcome(harm=oracle)"])
def test_judges_that_want_whole_texts_are_refused_before_anything_is_written(tmp_path: Path, judge: str) -> None:
    with pytest.raises(StudyError, match=r"judges must be such that a refusal decides .*; got '(oracle|outcome)"):
        fast(tmp_path / "study", judges=[KEYWORD, judge])
    assert not (tmp_path / "study").exists()


def test_an_engine_that_does_not_end_repetition_is_refused(tmp_path: Path) -> None:
    class Plain(ScriptedEngine):
        def facts(self) -> Any:
            from dataclasses import replace

            return replace(super().facts(), stops=frozenset({"none"}))

    with pytest.raises(StudyError, match=r"engine must be one that ends repetition"):
        fast(tmp_path / "study", engine=Plain(near, model=GUILD))
