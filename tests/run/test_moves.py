"""Whether an engine can go where a plan wants it is told before it is asked anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, StudyError
from safebasin.protocols import EngineFacts
from safebasin.run.execute import measure


class Told(ScriptedEngine):
    """One that says this of itself."""

    told: dict[str, object]

    def facts(self) -> EngineFacts:
        return replace(super().facts(), **self.told)


def ask(folder: Path, told: dict[str, object], only: str | None) -> Told:
    """The engine that says this of itself, and was asked at three points of a line, if at any."""
    axis = {"range": "-1:1:3", "directions": 1, **({} if only is None else {"only": only})}
    keys = {"model": "world:guild/aligned", "prompts": [{"source": "world:guild/harmful"}], "limit": 1, "axes": [axis]}
    engine = Told()
    engine.told = told
    measure(study.make({**keys, "judges": ["keyword/peng2024"]}), folder, engine=engine)
    return engine


@pytest.mark.parametrize(
    ("told", "only", "error", "said"),
    [
        ({"moves": False}, None, ModelError, "one whose weights can be moved"),
        ({"perturbed": ("a.weight",)}, "b.*", StudyError, r"only must be .* got 'b.\*'. Names look like 'a.weight'"),
        ({"perturbed": ("a.weight",)}, "a.*, b.*", StudyError, r"got 'b.\*'"),
    ],
)
def test_a_plan_that_leads_nowhere(
    tmp_path: Path, told: dict[str, object], only: str | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ask(tmp_path / "study", told, only)
    assert not (tmp_path / "study").exists()  # as where nothing was measured


@pytest.mark.parametrize("told", [{}, {"excluded": {"a.weight": "a norm"}}, {"perturbed": ("b.a.weight",)}])
def test_patterns_that_find_something_or_whose_engine_does_not_tell(tmp_path: Path, told: dict[str, object]) -> None:
    assert ask(tmp_path / "study", told, "a.*").calls
