"""Perplexity, KL and tasks at the points of a study: measured once, kept, and there in the landscape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import StudyError
from safebasin.judges import load_judge
from safebasin.landscape.last_plan import write_last_plan
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Landscape
from safebasin.run.execute import measure
from safebasin.run.measurements import planned_measurements, unmeasured
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, put_measurements

TEXT = "The clerk of the guild weighs the clay and rings the bell. " * 8


def made(tmp_path: Path, **capability: object) -> study.Study:
    return study.make(
        {
            "model": "world:guild/aligned",
            "limit": 2,
            "axes": [{"range": "-1:1:3", "directions": 1}],
            "decoding": {"max_new_tokens": 8},
            "capability": capability,
        }
    )


def mapped(folder: Path, asked: study.Study) -> Landscape:
    with StudyStore.open(measure(asked, folder)) as store:
        return read_landscape(StoredStudy.of(store))


@pytest.mark.slow
@pytest.mark.integration
def test_perplexity_and_kl_at_every_point(tmp_path: Path) -> None:
    text = tmp_path / "guild.txt"
    text.write_text(TEXT)
    asked = made(tmp_path, texts=[str(text)], max_tokens=100)
    (panel,) = mapped(tmp_path / "study", asked).panels
    at = {(m.name, m.coords[0]): m for m in panel.measurements}
    assert {name for name, _ in at} == {f"{kind}:guild.txt" for kind in ("perplexity", "nll", "kl", "agreement")}
    assert at["kl:guild.txt", 0.0].value == 0
    assert at["agreement:guild.txt", 0.0].value == 1
    kl = at["kl:guild.txt", 1.0].value
    assert kl is not None
    assert kl > 0
    assert at["nll:guild.txt", 0.0].n <= 100
    again = mapped(tmp_path / "study", asked).panels[0].measurements
    assert again == panel.measurements


def test_another_text_under_the_same_name_is_another_measurement(tmp_path: Path) -> None:
    text = tmp_path / "guild.txt"
    text.write_text(TEXT)
    before = planned_measurements(made(tmp_path, texts=[str(text)]).capability)
    text.write_text(TEXT + "And more.")
    assert planned_measurements(made(tmp_path, texts=[str(text)]).capability)[0].setting != before[0].setting


def test_texts_of_equal_content_are_measured_each_however_the_run_is_interrupted(tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(TEXT)
    asked = made(tmp_path, texts=[str(tmp_path / name) for name in ("one.txt", "two.txt")])
    one, two = planned_measurements(asked.capability)
    folder = measure(asked.model_copy(update={"capability": None}), tmp_path / "study", engine=ScriptedEngine())
    with StoredStudy.open(folder) as stored:
        plan = replace(stored.plan, study=asked, measurements=(one.setting, two.setting))
        write_last_plan(stored.store, plan, [load_judge(name) for name, _ in stored.judges])

        def put(name: str) -> None:
            rows = (
                StoredMeasurement(point=point.key, name=f"nll:{name}", setting=one.setting, value=1.0)
                for point in plan.points
            )
            put_measurements(stored.store, rows)

        put("one.txt")
        assert unmeasured(stored.store, plan, (one, two)) == {two: plan.points}
        assert unmeasured(stored.store, plan, (replace(one, label="renamed.txt"),)) == {}
        again = StoredStudy.of(stored.store)
        assert again.missing().measurements == {one.setting: plan.points}
        put("two.txt")
        assert unmeasured(stored.store, plan, (one, two)) == again.missing().measurements == {}
        shown = [m.name for panel in read_landscape(again).panels for m in panel.measurements]
        assert sorted(shown) == ["nll:one.txt"] * 3 + ["nll:two.txt"] * 3


def test_a_text_that_is_not_there_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="text must be an existing file"):
        measure(made(tmp_path, texts=["/nowhere.txt"]), tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.integration
def test_tasks_of_lm_eval_at_every_point(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    rows = [{"q": "The bell is", "a": " rung."}, {"q": "The clay is", "a": " weighed."}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "guild.yaml").write_text(
        f"""
task: guild_words
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path / "rows.jsonl"}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: [" rung.", " weighed."]
doc_to_target: "{{{{a}}}}"
metric_list: [{{metric: acc}}]
"""
    )
    asked = made(tmp_path, tasks=["guild_words"], task_folder=str(tmp_path))
    (panel,) = mapped(tmp_path / "study", asked).panels
    assert {m.coords for m in panel.measurements} == {(-1.0,), (0.0,), (1.0,)}
    assert all(m.name == "task:guild_words/acc" and m.n == 2 for m in panel.measurements)
