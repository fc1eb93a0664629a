"""Rounds of a study: walked through from what is stored, up to the first that is not whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Judge
from safebasin.run import execute
from safebasin.run.execute import measure
from safebasin.run.inputs import gather
from safebasin.run.preview import preview
from safebasin.run.rounds import following, reached
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

GUILD = "world:guild/aligned"
KEYWORD = "keyword/peng2024"


def test_a_folder_is_walked_through_to_the_first_round_that_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study.make({"model": GUILD, "limit": 6, "judges": [KEYWORD], "points": "auto",
                       "axes": [{"range": "-1:1:21", "directions": 2}]})  # fmt: skip
    rounds: list[Plan] = []
    kept = execute.write_last_plan

    def write(store: StudyStore, plan: Plan, judges: Sequence[Judge]) -> None:
        rounds.append(plan)
        kept(store, plan, judges)

    monkeypatch.setattr(execute, "write_last_plan", write)
    engine = ScriptedEngine()
    measure(made, tmp_path / "study", engine=engine)
    assert len(rounds) > 2
    inputs = gather(made, engine=engine)
    of_study = inputs.judges, inputs.main_judge
    with StudyStore.open(tmp_path / "study") as store:
        assert reached(store, rounds[0], *of_study) == rounds[-1]
        assert [following(store, plan, *of_study) for plan in rounds] == [*rounds[1:], None]
        for number in range(len(rounds) - 1, 0, -1):
            new = set(rounds[number].point_keys) - set(rounds[number - 1].point_keys)
            store.forget(min(new), rounds[0].decoding.key)
            assert reached(store, rounds[0], *of_study) == rounds[number]


@pytest.mark.slow
def test_a_plan_of_a_folder_counts_what_its_rounds_have_got_to(tmp_path: Path) -> None:
    made = study.make({"model": GUILD, "limit": 130, "judges": [KEYWORD], "fast": True, "batch_size": 64,
                       "device": "cpu", "decoding": {"max_new_tokens": 24},
                       "axes": [{"range": "-1:1:9", "directions": 1}], "points": "auto"})  # fmt: skip
    measure(made, tmp_path / "study")
    with StoredStudy.open(tmp_path / "study") as stored:
        plan = stored.plan
    assert plan.stopped
    assert len(plan.points) > preview(made, tmp_path / "nowhere").points
    shown = preview(made, tmp_path / "study")
    assert (shown.responses, shown.done) == (plan.size, plan.size)
    assert (shown.points, shown.batches_left) == (len(plan.points), 0)
    assert not any("fast mode" in words or "sampled" in words for words in shown.unknown)
