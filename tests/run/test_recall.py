"""What a folder was last asked: labels that change from run to run, on the same responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.run.execute import measure
from safebasin.run.recall import recall
from safebasin.store.db import StudyStore


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("recall") / "model")


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
        plan, _ = recall(store)
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
        before, _, after = plan.partition('"labels":[')
        store.set_meta("plan", before.removesuffix(",") + after.partition("]")[2])
    assert labels(tmp_path / "study") == {"benign"}
