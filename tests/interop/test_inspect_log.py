"""A study as a log of Inspect, read back by inspect_ai's own reader. The tests that need it are skipped without it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.errors import MissingExtra, UsageError
from safebasin.interop import inspect_log
from safebasin.landscape.samples import read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.run.execute import measure


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("inspect_ai")
    folder = tmp_path_factory.mktemp("inspect")
    file = folder / "tea.txt"
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(4)))
    made = api.make_study(
        str(make_tiny_model(folder / "model")), prompts=file, directions=1, range="-0.2:0.2:3", max_new_tokens=4,
        judge=["keyword/peng2024", "outcome"], systems=["default", "none"], device="cpu",
    )  # fmt: skip
    return measure(made, folder / "study")


@pytest.fixture
def reader() -> Any:
    return importlib.import_module("inspect_ai.log")


def test_a_log_is_read_by_inspect_with_every_response_and_score(study: Path, tmp_path: Path, reader: Any) -> None:
    count = api.export_study(study, tmp_path / "tea.eval", with_text=True)
    log = reader.read_eval_log(str(tmp_path / "tea.eval"))
    assert (count, len(log.samples), log.status) == (24, 24, "success")
    found = {sample.metadata["response"]: sample for sample in log.samples}
    with StoredStudy.open(study) as stored:
        for sample in read_samples(stored, with_text=True):
            one = found[sample.response.key]
            assert one.output.completion == sample.text
            assert one.input[-1].text == sample.prompt_text
            assert [turn.role for turn in one.input[:-1]] == (["system"] if sample.system == "none" else [])
            assert (one.metadata["alpha"], one.metadata["direction"]) == (sample.coords[0], sample.direction)
            said = {
                name: (score.answer, score.value) for name, score in one.scores.items() if score.value == score.value
            }
            assert said == {v.judge: (v.label, float(v.success)) for v in sample.verdicts if v.success is not None}
            assert set(one.scores) == {"keyword/peng2024", "outcome"}
            assert one.output.usage.output_tokens == sample.response.n_tokens
        written = sum(row.n_tokens for row in stored.store.responses())
    (usage,) = log.stats.model_usage.values()
    assert usage.output_tokens == usage.total_tokens == written
    assert (log.stats.started_at[:4], log.stats.completed_at) == (log.eval.created[:4], "")


def test_results_are_the_statistics_of_the_study(study: Path, tmp_path: Path, reader: Any) -> None:
    api.export_study(study, tmp_path / "tea.eval")
    landscape = api.read_study(study)
    results = reader.read_eval_log(str(tmp_path / "tea.eval"), header_only=True).results
    panel = next(one for one in results.scores if one.name.endswith("· none"))
    wanted = next(p for p in landscape.panels if p.system == "none").summary
    found = {name: (metric.value, metric.metadata["low"]) for name, metric in panel.metrics.items()}
    assert found == {name: (one.value, one.low) for name, one in wanted.items() if one.value is not None}
    assert found


def test_what_redaction_withholds_is_in_no_part_of_the_log(study: Path, tmp_path: Path, reader: Any) -> None:
    api.export_study(study, tmp_path / "tea.json", format="inspect")
    text = (tmp_path / "tea.json").read_text()
    with StoredStudy.open(study) as stored:
        hidden = [s for s in read_samples(stored, with_text=True) if s.label != "refusal"]
    assert hidden
    assert not any(s.prompt_text and s.prompt_text in text for s in hidden)
    samples = reader.read_eval_log(str(tmp_path / "tea.json")).samples
    assert {s.output.completion for s in samples if s.metadata["withheld"]} == {"(withheld)"}
    assert not any(score.explanation for s in samples if s.metadata["withheld"] for score in s.scores.values())


def test_a_log_that_would_not_fit_into_memory_is_refused(
    study: Path, tmp_path: Path, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_log, "MOST_SAMPLES", 23)
    with pytest.raises(UsageError, match=r"at most 23 responses; got 24\. Write a table instead"):
        api.export_study(study, tmp_path / "tea.eval")
    assert not list(tmp_path.iterdir())


def test_without_inspect_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.delitem(sys.modules, "inspect_ai.log", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'safebasin\[inspect\]'"):
        inspect_log.write_inspect_log(cast("StoredStudy", None), tmp_path / "tea.eval", with_text=False)
    assert not list(tmp_path.iterdir())
