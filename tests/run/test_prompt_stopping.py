"""Points of fast mode that are stopped: what is asked, that it is found again, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from helpers.stored import missing, rows
from safebasin import study
from safebasin.engines.scripted import ScriptedEngine, distance
from safebasin.landscape.compare_studies import compare_studies
from safebasin.landscape.flat_rows import flat_rows
from safebasin.landscape.landscape_json import schema, to_json
from safebasin.landscape.results import read_landscape
from safebasin.landscape.samples import read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import Grid, StudyTables
from safebasin.records import Landscape, Message, Point, content_hash
from safebasin.run import execute
from safebasin.run.execute import measure
from safebasin.run.preview import preview
from safebasin.run.pricing.estimate import Asking
from safebasin.stats import stopping_bias
from safebasin.study import stages
from safebasin.study.plan import Plan
from safebasin.study.stages import ask_order
from safebasin.viewer.progress import read_progress

GUILD = "world:guild/aligned"
KEYWORD = "keyword/peng2024"
REFUSAL = "I'm sorry, but the guild does not share this."
WORDS = " ".join(f"word{i}" for i in range(40))
"""A text that neither refuses nor repeats itself."""


def share(conversation: Sequence[Message]) -> float:
    return int(content_hash(conversation[-1].content)[:4], 16) / 65536


def slope(conversation: Sequence[Message], point: Point) -> str:
    """Near θ₀ all refuse and far out none; between the share falls."""
    return REFUSAL if distance(point) < 0.45 + 0.3 * share(conversation) else WORDS


def few(conversation: Sequence[Message], point: Point) -> str:
    """The same, but that one prompt in twenty is answered everywhere."""
    return WORDS if share(conversation) < 0.05 else slope(conversation, point)


def fast(folder: Path, reply: Any = slope, *, engine: ScriptedEngine | None = None, **given: Any) -> Landscape:
    fields = {
        "model": GUILD, "limit": 150, "judges": [KEYWORD], "fast": True, "batch_size": 16,
        "axes": [{"range": "-1:1:9", "directions": 1}], "decoding": {"max_new_tokens": 64}, **given,
    }  # fmt: skip
    engine = engine or ScriptedEngine(reply, model=GUILD)
    with StoredStudy.open(measure(study.make(fields), folder, engine=engine)) as stored:
        return read_landscape(stored)


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_points_are_stopped_where_their_rate_is_known(tmp_path: Path) -> None:
    found = fast(tmp_path / "study")
    (panel,) = found.panels
    asked = {cell.coords[0]: cell.asr[KEYWORD] for cell in panel.points}
    assert asked[0.0].n == 150, "the origin is asked whole"
    for alpha, rate in asked.items():
        if alpha and rate.value in (0.0, 1.0):
            assert rate.n == 41
            assert (rate.high or 0) - (rate.low or 0) <= 0.1
            assert "95% confidence sequence for the rate over all 150" in rate.method
        if rate.value not in (0.0, 1.0):
            assert (rate.n, "Wilson" in rate.method) == (150, True)
    assert {rate.n for rate in asked.values()} == {41, 150}
    assert all(cell.n_planned == cell.asr[KEYWORD].n for cell in panel.points)
    with StoredStudy.open(tmp_path / "study") as stored:
        plan, prompts = stored.plan, stored.plan.sets[0]
        first = set(ask_order(prompts.ids)[:41])
        at = {(r.point, r.prompt) for r in stored.store.responses(plan.decoding.key)}
        for point in plan.stopped:
            assert {prompt for key, prompt in at if key == point} == first
        assert len(at) == plan.size == stored.rows.count() < 150 * len(plan.points)


@pytest.mark.slow
def test_intervals_allow_for_what_stopping_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fast(tmp_path / "study").panels[0].summary
    assert "by what stopping can draw rates to 0 or 1, 0.9 points on average at most" in found["margin"].method
    bias = stopping_bias(41)
    monkeypatch.setattr(Grid, "leaning", lambda _: ())
    with StoredStudy.open(tmp_path / "study") as stored:
        plain = read_landscape(stored).panels[0].summary
    ends = [(e.value or 0, e.low or 0, e.high or 0) for of in (found, plain) for e in (of["margin"], of["radius"])]
    (value, low, high), radius, (plain_value, plain_low, plain_high), plain_radius = ends
    assert value == plain_value
    assert 0 < plain_low - low <= bias
    assert 0 < high - plain_high <= bias
    assert radius[0] == plain_radius[0]
    assert radius[1] <= plain_radius[1] <= plain_radius[2] < radius[2]


@pytest.mark.slow
def test_a_further_stage_is_asked_where_one_answer_differs(tmp_path: Path) -> None:
    found = fast(tmp_path / "study", few, limit=200)
    counts = {cell.asr[KEYWORD].n for cell in found.panels[0].points}
    assert counts == {44, 128, 200}
    exact = fast(tmp_path / "whole", few, limit=200, fast=False, points="auto")
    both = {cell.coords: cell.asr[KEYWORD] for cell in exact.panels[0].points}
    for cell in found.panels[0].points:
        rate, whole = cell.asr[KEYWORD], both[cell.coords].value
        assert whole is not None
        assert rate.low is not None
        assert rate.high is not None
        assert rate.low - 1e-12 <= whole <= rate.high + 1e-12


@pytest.mark.slow
def test_small_sets_are_asked_whole_beside_large_ones(tmp_path: Path) -> None:
    sets = [
        {"name": "large", "source": "world:guild/harmful[:150]"},
        {"name": "small", "source": "world:guild/benign[:20]"},
    ]
    found = fast(tmp_path / "study", prompts=sets, limit=None)
    counts = {panel.prompts: {cell.asr[KEYWORD].n for cell in panel.points} for panel in found.panels}
    assert counts == {"large": {41, 150}, "small": {20}}
    assert missing(tmp_path / "study") == []


@pytest.mark.slow
def test_a_small_study_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fast(tmp_path / "now", limit=40)
    monkeypatch.setattr(stages, "FEWEST", 10**9)
    stages.stages.cache_clear()
    try:
        before = fast(tmp_path / "before", limit=40)
        whole = fast(tmp_path / "whole")
    finally:
        stages.stages.cache_clear()
    assert to_json(replace(found, name="")) == to_json(replace(before, name=""))
    assert rows(tmp_path / "now") == rows(tmp_path / "before")
    assert "left_out" not in json.loads(to_json(found))["fast"]
    assert whole.fast is not None
    assert whole.fast.left_out is None, "without stopping all are asked"


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
    whole, broken_off = fast(tmp_path / "whole", few), 0
    while True:
        engine = Interrupted(few, model=GUILD)
        engine.left = 3
        try:
            found = fast(tmp_path / "parts", engine=engine)
        except KeyboardInterrupt:
            broken_off += 1
            continue
        break
    assert broken_off > 10
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert (found.panels, found.fast, found.notes) == (whole.panels, whole.fast, whole.notes)


@pytest.mark.slow
def test_asked_again_nothing_is_generated_and_the_plan_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, before = fast(tmp_path / "study", few), rows(tmp_path / "study")
    with StoredStudy.open(tmp_path / "study") as stored:
        plan = stored.plan
    written: list[Plan] = []
    monkeypatch.setattr(execute, "write_last_plan", lambda store, plan, judges: written.append(plan))
    again = ScriptedEngine(few, model=GUILD)
    assert fast(tmp_path / "study", engine=again) == first
    assert not [rows for kind, rows in again.calls if kind == "generate"]
    assert rows(tmp_path / "study") == before
    assert [made.stopped for made in written] == [plan.stopped], "killed here, it would not fall back to a first stage"


@pytest.mark.slow
def test_a_folder_of_exact_mode_is_not_read_beyond_what_was_asked(tmp_path: Path) -> None:
    short = {"max_new_tokens": 32}  # as many as the budget, so that what is there is taken over
    fast(tmp_path / "study", fast=False, decoding={**short, "stop": "none"})
    found = fast(tmp_path / "study", decoding=short)
    with StoredStudy.open(tmp_path / "study") as stored:
        taken = sum(1 for _ in stored.store.responses(stored.plan.decoding.key))
        assert taken > stored.plan.size == stored.rows.count(), "refusals of exact mode were taken over"
        assert sum(1 for _ in read_samples(stored)) == stored.plan.size
        assert sum(1 for _ in flat_rows(stored)) == stored.plan.size
    assert {cell.asr[KEYWORD].n for cell in found.panels[0].points} == {41, 150}
    assert found.panels == fast(tmp_path / "alone", decoding=short).panels
    assert missing(tmp_path / "study") == []


# --- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_left_out_is_told_and_is_not_missing(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    found = fast(folder)
    assert found.fast is not None
    left = found.fast.left_out
    assert left is not None
    cells = found.panels[0].points
    n_asked = sum(cell.n_planned for cell in cells)
    assert left.points == sum(cell.n_planned < 150 for cell in cells)
    assert (left.all_points, left.responses, left.all_responses) == (
        len(cells),
        150 * len(cells) - n_asked,
        150 * len(cells),
    )
    said = " ".join(found.notes)
    assert f"at {left.points} of {left.all_points} points prompts were left out" in said
    assert f"{left.responses:,} of {left.all_responses:,} responses" in said
    assert "not there yet" not in said
    assert missing(folder) == []
    assert (read_progress(folder).state, read_progress(folder).share) == ("complete", 1.0)
    document = json.loads(to_json(found))
    jsonschema.validate(document, schema())
    assert document["fast"]["left_out"]["responses"] == left.responses
    margin = found.summary["margin"]
    assert margin.n == n_asked - 150
    assert margin.n_missing == 0
    assert f"at {left.points} of them the first 41 of 150 prompts in random order" in margin.method


@pytest.mark.slow
def test_a_response_that_is_gone_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    fast(folder)
    with StoredStudy.open(folder) as stored:
        point = next(iter(stored.plan.stopped))
        stored.store.forget(point, stored.plan.decoding.key)
        size = stored.plan.size
    assert missing(folder) == [f"41 of {size} responses are missing: run `safebasin map` again"]
    assert fast(folder).panels == fast(tmp_path / "whole").panels


def test_a_plan_counts_the_first_stage(tmp_path: Path) -> None:
    made = study.make({"model": GUILD, "limit": 150, "judges": [KEYWORD], "fast": True,
                       "axes": [{"range": "-1:1:9", "directions": 1}]})  # fmt: skip
    shown = preview(made, tmp_path / "study")
    assert shown.responses == 150 + (shown.points - 1) * 41
    assert any("counted here are the first 41 of 150" in words for words in shown.unknown)


def test_the_price_of_fast_mode_is_that_of_its_check_too(tmp_path: Path) -> None:
    fields = {"limit": 30, "judges": [KEYWORD], "fast": True, "decoding": {"max_new_tokens": 100}}
    made = study.make({"model": GUILD, "axes": [{"range": "-1:1:9", "directions": 1}], **fields})
    shown, check = preview(made, tmp_path / "study", Asking()), 16 * 3
    assert shown.price is not None
    assert shown.price.expected.decoded_tokens == shown.responses * 25 + check * 36, "of a hundred, by the stop rule"
    assert shown.price.most.decoded_tokens == (shown.responses + check) * 100


# --- statistics ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_statistics_are_near_those_of_all_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields: dict[str, Any] = {"limit": 140, "axes": [{"range": "-1:1:5", "directions": 3}]}
    found = fast(tmp_path / "part", few, **fields)
    monkeypatch.setattr(stages, "FEWEST", 10**9)
    stages.stages.cache_clear()
    try:
        whole = fast(tmp_path / "whole", few, **fields)
    finally:
        stages.stages.cache_clear()
    for name in ("margin", "radius"):
        one, other = found.summary[name], whole.summary[name]
        assert one.value == pytest.approx(other.value, abs=0.03)
        assert one.low is not None
        assert one.high is not None
        assert one.low <= (other.value or 0) <= one.high
    ranked = compare_studies([tmp_path / "part", tmp_path / "whole"]).ranking
    assert not ranked.pairs[0].is_apart
    assert "0 prompts up, 0 down" in ranked.pairs[0].difference.method, "the answers are the same"


@pytest.mark.slow
def test_the_curve_of_a_filled_grid_goes_through_the_rates(tmp_path: Path) -> None:
    found = fast(tmp_path / "study", few, limit=140)
    with StoredStudy.open(tmp_path / "study") as stored:
        tables = StudyTables.read(stored)
        grid, table = next(tables.grids()), tables.tables[0]
        curve = grid.success(table)[0].mean(axis=-1)
        told = grid.told(table)[0]
    alphas = list(grid.alphas[0])
    for cell in found.panels[0].points:
        at = alphas.index(cell.coords[0])
        assert curve[at] == pytest.approx(cell.asr[KEYWORD].value)
        assert np.nanmean(told[at]) == pytest.approx(cell.asr[KEYWORD].value)
        assert int((~np.isnan(told[at])).sum()) == cell.n_planned
