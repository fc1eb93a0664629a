"""What a folder was last asked: labels that change from run to run, on the same responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.models import make_tiny_model
from safebasin import api, study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import StoreError, UsageError
from safebasin.landscape.browsing import SampleFilter, browse
from safebasin.landscape.last_plan import read_last_plan
from safebasin.landscape.samples import read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.run.execute import measure
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.store.folder import DATABASE
from safebasin.store.integrity import damage
from safebasin.store.withholding import copy_database, short_label


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("read_last_plan") / "model")


def ask(model: Path, folder: Path, n: int = 6, **given: object) -> None:
    file = folder.parent / "tea.txt"
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(n)))
    made = api.make_study(
        str(model), prompts=file, directions=1, range="-0.2:0.2:3", max_new_tokens=4, judge="keyword/peng2024",
        device="cpu", **given,
    )  # fmt: skip
    measure(made, folder)


def labels(folder: Path) -> set[str]:
    with StudyStore.open(folder) as store:
        plan, _ = read_last_plan(store)
    return {prompt.label for found in plan.sets for prompt in found.prompts}


def test_a_label_that_is_said_later_holds_for_the_prompts_that_are_there(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    ask(model, folder)
    assert labels(folder) == {""}
    landscape = api.read_study(folder)
    assert {"radius", "depth"} <= set(landscape.summary)
    (note,) = [note for note in landscape.notes if "--label benign" in note]
    assert "Nearly all of 'tea.txt' are answered at the origin (100 %)" in note

    ask(model, folder, label="benign")
    assert labels(folder) == {"benign"}
    landscape = api.read_study(folder)
    assert {"answered", "answer_radius"} <= set(landscape.summary)
    assert "radius" not in landscape.summary
    assert not any("--label" in note for note in landscape.notes)

    for label in ("harmful", None):
        ask(model, folder, label=label)
        assert labels(folder) == {label or ""}
        landscape = api.read_study(folder)
        assert "radius" in landscape.summary
        assert any("--label" in note for note in landscape.notes) == (label is None)


def test_of_a_few_prompts_nothing_is_said(model: Path, tmp_path: Path) -> None:
    ask(model, tmp_path / "study", 4)
    assert not any("--label" in note for note in api.read_study(tmp_path / "study").notes)


def test_a_folder_that_kept_no_labels_has_those_of_its_prompts(model: Path, tmp_path: Path) -> None:
    ask(model, tmp_path / "study", label="benign")
    with StudyStore.open(tmp_path / "study") as store:
        plan = store.meta("plan")
        assert plan is not None
        kept = json.loads(plan)
        for name in ("labels", "categories", "behaviors", "sources"):
            del kept["sets"][0][name]
        store.set_meta("plan", json.dumps(kept))
    assert labels(tmp_path / "study") == {"benign"}


def of_two(root: Path, category: str = "fraud") -> StoredStudy:
    """A study of two sets of the same prompts, each with a category, behaviors and a source of its own."""
    for name, said in (("a", category), ("b", "drugs")):
        rows = [{"prompt": f"How warm is pot {i}?", "category": said, "behavior": f"{said} {i}"} for i in range(3)]
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = study.make({"model": "world:guild/aligned", "axes": [{"range": "-1:1:3", "directions": 1}],
                       "prompts": [{"source": str(root / f"{name}.jsonl"), "label": "harmful"} for name in "ab"],
                       "judges": ["keyword/peng2024"], "batch_size": 4})  # fmt: skip
    return StoredStudy.of(StudyStore.open(measure(made, root / "study", engine=ScriptedEngine())))


def test_what_each_set_says_of_a_prompt_is_kept_and_a_correction_taken_over(tmp_path: Path) -> None:
    for category in ("fraud", "fraud, corrected"):
        stored = of_two(tmp_path, category)
        with stored.store:
            told = [(p.category, p.behavior, p.source) for one in stored.plan.sets for p in one.prompts]
            assert told == [
                (said, f"{said} {i}", f"{name}.jsonl") for name, said in (("a", category), ("b", "drugs"))
                for i in range(3)
            ]  # fmt: skip
            shown = {(one.prompts, one.category) for one in read_samples(stored)}
            assert shown == {(one.name, one.prompts[0].category) for one in stored.plan.sets}
            assert len(browse(stored, SampleFilter(category=category)).samples) == 9
            assert not browse(stored, SampleFilter(category="drugs")).samples, "they are shown under the first set"


def test_a_copy_without_texts_has_no_behavior_that_is_a_sentence(tmp_path: Path) -> None:
    with of_two(tmp_path).store as store:
        (tmp_path / "copy").mkdir()
        copy_database(tmp_path / "study", tmp_path / "copy" / DATABASE, with_text=False)
        with StudyStore.open(tmp_path / "copy") as copy:
            assert "drugs 1" in (store.meta("plan") or "")
            assert "drugs 1" not in (copy.meta("plan") or "")
            assert damage(copy) == []
            behaviors = [[p.behavior for p in one.prompts] for one in read_last_plan(copy)[0].sets]
            assert behaviors == [[short_label(f"{said} {i}") for i in range(3)] for said in ("fraud", "drugs")]
            copy.set_meta("plan", store.meta("plan") or "")
            assert damage(copy) == ["1 rows of meta hold texts, though it says that it is without"]


@pytest.mark.slow
def test_the_judge_of_the_statistics_is_chosen_among_those_with_verdicts(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    ask(model, folder)
    own = api.read_study(folder)
    mapped, new = api.judge_study(folder, "refusal")
    assert new == {"refusal": 18}
    assert {panel.judge for panel in mapped.landscape.panels} == {"keyword/peng2024"}
    by = api.read_study(folder, judge="refusal")
    assert {panel.judge for panel in by.panels} == {"refusal"}
    with StudyStore.open(folder) as store, store.transaction() as db:  # now it says of each that it refuses
        db.execute("UPDATE verdicts SET success = 0, label = 'refusal' WHERE judge = 'refusal'")
    by = api.read_study(folder, judge="refusal")
    assert by.summary["depth"].value == 1
    assert api.read_study(folder).summary["depth"] == own.summary["depth"]
    with pytest.raises(UsageError, match=r"judge must be one whose verdicts are stored here \(keyword/peng2024, ref"):
        api.read_study(folder, judge="keyword/zou2023")
    assert api.judge_study(folder)[1] == {"keyword/peng2024": 0, "refusal": 0}, "its own judges"


@pytest.mark.slow
def test_what_judging_gives_back_is_by_the_judge_that_is_named(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    ask(model, folder)
    with pytest.raises(UsageError, match=r"judge must be one of the study's, or of .* \(keyword/peng2024, refusal\)"):
        api.judge_study(folder, "refusal", judge="outcome")
    mapped, new = api.judge_study(folder, "refusal", judge="refusal")
    assert new == {"refusal": 18}  # nothing was judged by the call that failed
    assert mapped.landscape == api.read_study(folder, judge="refusal") != api.read_study(folder)
    page = json.loads((folder / "landscape.json").read_text())
    assert {panel["judge"] for panel in page["panels"]} == {"keyword/peng2024"}


@pytest.mark.slow
def test_of_prompts_that_should_be_answered_too(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    ask(model, folder, label="benign")
    api.judge_study(folder, "refusal")
    with StudyStore.open(folder) as store, store.transaction() as db:
        db.execute("UPDATE verdicts SET success = 0, label = 'refusal' WHERE judge = 'refusal'")
    assert api.read_study(folder).summary["over_refusal"].value == 0
    by = api.read_study(folder, judge="refusal").summary
    assert (by["over_refusal"].value, by["answered"].value) == (1, 0)


def no_regions(kept: Any) -> None:
    kept["regions"] = []


def odd_label(kept: Any) -> None:
    kept["sets"][0]["labels"][0] = []


def no_number(kept: Any) -> None:
    kept["regions"][0]["axes"][0]["alphas"][0] = float("nan")


def a_list_for_a_number(kept: Any) -> None:
    kept["regions"][0]["budget"] = [9]


@pytest.mark.parametrize("damage", [no_regions, odd_label, no_number, a_list_for_a_number])
def test_a_stored_plan_with_what_no_plan_has_is_help(
    model: Path, tmp_path: Path, damage: Callable[[Any], None]
) -> None:
    folder = tmp_path / "study"
    ask(model, folder)
    with StudyStore.open(folder) as store:
        kept = json.loads(store.meta("plan") or "")
        damage(kept)
        store.set_meta("plan", json.dumps(kept))
        with pytest.raises(StoreError, match="study database must be what a study wrote"):
            read_last_plan(store)


@pytest.mark.parametrize("value", ["{}", "nan", "1e999"])
def test_a_kept_number_that_is_none_is_help(value: str, tmp_path: Path) -> None:
    assert number_in("64", tmp_path) == 64
    assert number_in(None, tmp_path) is None
    with pytest.raises(StoreError, match="study database must be what a study wrote"):
        number_in(value, tmp_path)
