"""The test of language of a folder: whose references it is made from, and models and folders that give none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import StoreError
from safebasin.judges import language
from safebasin.landscape.language_tests import read_tests
from safebasin.landscape.results import read_landscape
from safebasin.landscape.samples import read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Engine
from safebasin.records import LanguageTest, Message, Point
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """A file of two prompts of no world."""
    file = tmp_path / "bells.csv"
    file.write_text("prompt\nRing the bell.\nWeigh the clay.\n")
    return str(file)


def mapped(folder: Path, model: str | Path, prompts: str, engine: Engine | None = None) -> Path:
    """A study of three points of one direction."""
    keys = {"axes": [{"range": "-1:1:3", "directions": 1}], "limit": 2, "decoding": {"max_new_tokens": 12}}
    made = study.make({"model": str(model), "prompts": [{"source": prompts}], **keys})
    return measure(made, folder / "study", engine=engine)


def calibrated(folder: Path) -> LanguageTest:
    with StudyStore.open(folder) as store:
        (test,) = read_tests(store).values()
    return test


def outcomes(folder: Path) -> set[tuple[str, str, str]]:
    """Version, label and reason of every verdict of `outcome`."""
    with StudyStore.open(folder) as store:
        found = store.verdicts_of([r.key for r in store.responses()])
        return {(v.version, v.label, v.reason) for each in found.values() for v in each if v.judge == "outcome"}


def notes(folder: Path) -> str:
    with StudyStore.open(folder) as store:
        return "\n".join(read_landscape(StoredStudy.of(store)).notes)


def test_a_model_of_a_world_is_calibrated_in_its_language_whatever_it_is_asked(tmp_path: Path, prompts: str) -> None:
    test = calibrated(mapped(tmp_path, "world:guild/aligned", prompts, ScriptedEngine()))
    assert (test.source, test.n) == ("world:guild", 40)


@pytest.mark.slow
def test_another_model_is_calibrated_in_the_language_of_a_world_where_all_its_prompts_are(tmp_path: Path) -> None:
    tiny = make_tiny_model(tmp_path / "tiny")
    assert calibrated(mapped(tmp_path, tiny, "world:guild/harmful")).source == "world:guild"


@pytest.mark.slow
def test_a_model_that_knows_no_language_gets_no_threshold(tmp_path: Path, prompts: str) -> None:
    folder = mapped(tmp_path, make_tiny_model(tmp_path / "tiny"), prompts)
    test = calibrated(folder)
    assert (test.source, test.threshold) == ("v1", None)
    assert "of the reference answers are likelier to it than the same words shuffled" in test.reason


def test_a_scripted_engine_is_calibrated(tmp_path: Path, prompts: str) -> None:
    engine = ScriptedEngine()
    test = calibrated(mapped(tmp_path, "org/model", prompts, engine))
    assert (test.source, test.separated, test.reason) == ("v1", 1.0, "")
    assert test.threshold is not None


def say(calibration: str) -> ScriptedEngine:
    """It answers the prompts of the study, and every other one with these words."""
    answer = "Ring it twice, and let it rest in sand."

    def reply(conversation: Sequence[Message], point: Point) -> str:
        return answer if "bell" in conversation[-1].content or "clay" in conversation[-1].content else calibration

    return ScriptedEngine(reply)


@pytest.mark.parametrize("said", ["", "and so on " * 20], ids=["nothing", "loops"])
def test_a_model_whose_answers_are_none_is_not_calibrated_and_nothing_of_it_is_incoherent(
    tmp_path: Path, prompts: str, said: str
) -> None:
    folder = mapped(tmp_path, "org/model", prompts, say(said))
    test = calibrated(folder)
    assert (test.threshold, test.own) == (None, None)
    assert test.reason == "13 of its 13 own answers are empty or repeat themselves"
    assert outcomes(folder) == {("4@2:none", "unscored", f"language test not calibrated: {test.reason}")}
    assert test.reason in notes(folder)


@pytest.mark.parametrize("said", ["Yes", "<think>Which bell?"], ids=["one token", "thoughts without end"])
def test_short_answers_and_thoughts_that_are_cut_are_no_silence(tmp_path: Path, prompts: str, said: str) -> None:
    folder = mapped(tmp_path, "org/model", prompts, say(said))
    test = calibrated(folder)
    assert (test.threshold, test.reason) == (2.0, "")
    assert {label for _, label, _ in outcomes(folder)} == {"complied"}
    assert ("the model's own answers at" in notes(folder)) == (test.own is not None) == (said == "Yes")
    assert "shuffled half lie above 4.00" in notes(folder)


def test_a_calibration_of_another_model_is_never_used(tmp_path: Path, prompts: str) -> None:
    folder = mapped(tmp_path, "org/model", prompts, ScriptedEngine())
    before = calibrated(folder)
    with pytest.raises(StoreError, match="must belong to the model it was made for, 'org/model'"):
        mapped(tmp_path, "org/other", prompts, ScriptedEngine(model="world:guild/base"))
    assert calibrated(folder) == before


def test_a_calibration_of_another_version_is_made_anew_and_old_verdicts_stay(
    tmp_path: Path, prompts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = say("Yes")
    folder = mapped(tmp_path, "org/model", prompts, engine)
    old, n_calls = calibrated(folder), len(engine.calls)
    (first,) = outcomes(folder)
    monkeypatch.setattr(language, "VERSION", "3")
    with StudyStore.open(folder) as store:
        assert read_tests(store) == {}, "what another rule made is not taken for this one's"
    mapped(tmp_path, "org/model", prompts, engine)
    new = replace(old, version="3")
    assert calibrated(folder) == new
    assert outcomes(folder) == {first, (f"4@{new.id}", "complied", first[2])}
    assert [call for call in engine.calls[n_calls:] if call[0] == "generate"] == [("generate", 13)]
    with StudyStore.open(folder) as store:
        shown = {v.version for s in read_samples(StoredStudy.of(store)) for v in s.verdicts if v.judge == "outcome"}
    assert shown == {f"4@{new.id}"}, "what the page shows and an export holds is what the landscape counts"
