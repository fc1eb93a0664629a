"""What a plan says: what is done, at which pace, what is missing, and whose folder it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError, StoreError
from safebasin.judges.scored import WHOLE, TextAlone
from safebasin.run import execute
from safebasin.run.execute import measure
from safebasin.study import Study


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("preview") / "model")


def study(model: Path | str, file: Path, **given: object) -> Study:
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(4)))
    flags: dict[str, object] = {"directions": 1, "range": "-0.2:0.2:5", "max_new_tokens": 4, "batch_size": 2}
    return api.make_study(str(model), prompts=file, judge="keyword/peng2024", device="cpu", **{**flags, **given})


class Stopping(HFEngine):
    """Is interrupted before a batch, or before it scores."""

    left = 4

    def generate(self, conversations, decoding):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().generate(conversations, decoding)

    def score_prefixes(self, conversations, texts, untils, decoding):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_was_cut_short_is_told_as_it_is(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as a judge does that says nothing: without the attribute, what isinstance kept of the class would decide (3.12)
    monkeypatch.setattr(TextAlone, "scored_by", property(lambda judge: WHOLE))
    monkeypatch.setattr(TextAlone, "scored_until", lambda judge, response: len(response.text))
    asked, out = study(model, tmp_path / "tea.txt"), tmp_path / "out"
    before = api.plan_study(asked, out=out)
    assert (before.responses, before.done, before.seconds_left) == (20, 0, None)
    assert any("nothing was decoded yet" in sentence for sentence in before.unknown)

    with pytest.raises(KeyboardInterrupt):
        measure(asked, out, engine=Stopping(str(model), device="cpu"))
    planned = api.plan_study(asked, out=out)
    assert (planned.responses, planned.done, planned.batches_left, planned.unscored) == (20, 8, 6, 8)
    assert planned.seconds_left is not None
    assert planned.seconds_left > 0
    assert not any("pace" in sentence for sentence in planned.unknown)

    engine = Stopping(str(model), device="cpu")
    engine.left = 9
    with pytest.raises(KeyboardInterrupt):
        measure(asked, out, engine=engine)
    planned = api.plan_study(asked, out=out)
    assert (planned.done, planned.batches_left, planned.unscored, planned.seconds_left) == (20, 0, 20, 0)


def test_the_pace_is_recorded_now_and_then(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    original = execute.StudyStore.set_meta

    def set_meta(store: execute.StudyStore, key: str, value: str) -> None:
        kept.append(key)
        original(store, key, value)

    monkeypatch.setattr(execute.StudyStore, "set_meta", set_meta)
    measure(study(model, tmp_path / "tea.txt"), tmp_path / "out")
    assert kept.count("seconds_per_response") == 2  # after the first batch, and at the end: it took no five seconds


def test_what_is_missing_is_named_all_at_once(model: Path, tmp_path: Path) -> None:
    asked = study(
        model, tmp_path / "tea.txt", system="@none.txt", directions=None, axis=["to:./nowhere", "adapter:./neither"],
        trajectory=str(tmp_path / "unmade"), template_arg={"chat_template": "@none.jinja"},
    )  # fmt: skip
    (tmp_path / "tea.txt").unlink()
    planned = api.plan_study(asked, out=tmp_path / "out")
    for named in ("tea.txt", "none.txt", "none.jinja", "./nowhere", "./neither", "unmade"):
        assert sum(repr(named)[1:-1] in error for error in planned.missing) == 1, named
    assert all(" must be " in error for error in planned.missing)
    assert planned.prompts == 0


def test_a_model_that_is_not_there_is_an_error_and_one_of_the_hub_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got '\./modle'"):
        api.plan_study(study("./modle", tmp_path / "tea.txt"), out=tmp_path / "out")
    planned = api.plan_study(
        study("org/model", tmp_path / "tea.txt", axis="to:org/other", directions=None), out=tmp_path / "out"
    )
    assert planned.missing == ()
    assert [sum(name in sentence for sentence in planned.unknown) for name in ("org/model", "org/other")] == [1, 1]


def test_a_folder_of_another_model_or_of_no_study_is_refused(model: Path, tmp_path: Path) -> None:
    asked = study(model, tmp_path / "tea.txt", range="0:0:1")
    measure(asked, tmp_path / "out")
    with pytest.raises(StoreError, match="must belong to the model it was made for"):
        api.plan_study(study("world:guild/base", tmp_path / "tea.txt"), out=tmp_path / "out")
    for other in (tmp_path, tmp_path / "tea.txt"):
        with pytest.raises(StoreError, match="study folder must be"):
            api.plan_study(asked, out=other)
