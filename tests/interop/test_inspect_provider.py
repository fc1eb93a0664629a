"""Inspect asks the model at a point of a study, offline, and the judges of the study score. Skipped without Inspect."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from safebasin import api
from safebasin.landscape.stored import StoredStudy
from safebasin.run.execute import measure

pytestmark = [
    pytest.mark.slow,
    # of Inspect's own: an argument of its retries, streams that it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("inspect_ai")
    made = api.make_study(limit=6, directions=1, range="-1.2:1.2:3", max_new_tokens=24, stop="none", device="cpu")
    return measure(made, tmp_path_factory.mktemp("provider") / "study")


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path / "logs"))
    return importlib.import_module("inspect_ai")


def test_inspect_gets_the_answers_and_the_verdicts_of_the_study(study: Path, inspect: Any) -> None:
    provider = importlib.import_module("safebasin.interop.inspect_provider")
    (log,) = inspect.eval(provider.study(str(study)), model=f"safebasin/{study}@alpha=-1.2", display="none")
    assert (log.status, len(log.samples)) == ("success", 6)
    with StoredStudy.open(study) as stored:
        point = next(p for _, place, p in stored.plan.numbered_places() if place.coords == (-1.2,))
        wanted = {r.prompt: r for r in stored.store.responses(point=point.key)}
        verdicts = stored.store.verdicts_of(response.key for response in wanted.values())
    for sample in log.samples:
        response = wanted[sample.id]
        assert sample.output.completion == response.text
        said = {v.judge: v.success for v in verdicts[response.key]}
        assert sample.scores["judged"].value == {judge: float(success) for judge, success in said.items()}
    means = {score.name: score.metrics["mean"].value for score in log.results.scores}
    assert set(means) == {"keyword/peng2024", "outcome"}


@pytest.mark.parametrize(
    ("name", "said"), [("@alpha=9", "alpha must be from -1.2 to 1.2"), ("@beta=1", "a coordinate per axis")]
)
def test_a_point_that_is_none_is_told_in_one_line(study: Path, inspect: Any, name: str, said: str) -> None:
    model = importlib.import_module("inspect_ai.model")
    importlib.import_module("safebasin.interop.inspect_provider")
    with pytest.raises(Exception, match=said) as caught:
        model.get_model(f"safebasin/{study}{name}")
    assert type(caught.value).__name__ == "PrerequisiteError"


def test_sampling_is_refused(study: Path, inspect: Any) -> None:
    provider = importlib.import_module("safebasin.interop.inspect_provider")
    (log,) = inspect.eval(
        provider.study(str(study), limit=1), model=f"safebasin/{study}", temperature=0.7, display="none"
    )
    assert log.status == "error"
    assert "temperature must be left out" in log.error.message
